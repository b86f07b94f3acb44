"""EMA-VFI: motion and appearance from attention between the frames (Zhang et al., CVPR 2023)."""

from vfi_train.architectures.ema_vfi.network import EMAVFI, EMAVFIt
from vfi_train.architectures.registry import register_model

__all__ = ["EMAVFI", "EMAVFIt", "ema_vfi", "ema_vfi_small", "ema_vfi_small_t", "ema_vfi_t"]


@register_model
def ema_vfi(**options: object) -> EMAVFI:
    """EMA-VFI for the middle frame ("ours"): 65,662,359 parameters."""
    return EMAVFI(width=32, depths=(2, 2, 2, 4, 4), **options)  # type: ignore[arg-type]


@register_model
def ema_vfi_small(**options: object) -> EMAVFI:
    """EMA-VFI small for the middle frame ("ours_small"): 14,489,815 parameters."""
    return EMAVFI(width=16, depths=(2, 2, 2, 2, 2), **options)  # type: ignore[arg-type]


@register_model
def ema_vfi_t(**options: object) -> EMAVFIt:
    """EMA-VFI at any time ("ours_t"): the network of `ema_vfi`, trained on triples of septuplets."""
    return EMAVFIt(width=32, depths=(2, 2, 2, 4, 4), **options)  # type: ignore[arg-type]


@register_model
def ema_vfi_small_t(**options: object) -> EMAVFIt:
    """EMA-VFI small at any time ("ours_small_t"): the network of `ema_vfi_small`, trained likewise."""
    return EMAVFIt(width=16, depths=(2, 2, 2, 2, 2), **options)  # type: ignore[arg-type]
