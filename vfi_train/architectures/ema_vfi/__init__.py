"""EMA-VFI: motion and appearance from attention between the frames (Zhang et al., CVPR 2023); InterpAny-Clearer's."""

from vfi_train.architectures.ema_vfi.network import EMAVFI, EMAVFIr, EMAVFIt
from vfi_train.architectures.registry import register_model

__all__ = [
    "EMAVFI",
    "EMAVFIr",
    "EMAVFIt",
    "ema_vfi",
    "ema_vfi_d",
    "ema_vfi_dr",
    "ema_vfi_r",
    "ema_vfi_small",
    "ema_vfi_small_t",
    "ema_vfi_t",
]


@register_model
def ema_vfi(**options: object) -> EMAVFI:
    """EMA-VFI for the middle frame ("ours"): 65,662,359 parameters."""
    return EMAVFI(width=32, depths=(2, 2, 2, 4, 4), **options)  # type: ignore[arg-type]


@register_model
def ema_vfi_small(**options: object) -> EMAVFI:
    """EMA-VFI small for the middle frame ("ours_small"): 14,489,815 parameters."""
    return EMAVFI(width=16, depths=(2, 2, 2, 2, 2), **options)  # type: ignore[arg-type]


@register_model
def ema_vfi_t(reference: bool = False) -> EMAVFIt:
    """EMA-VFI at any time ("ours_t"): the network of `ema_vfi`, trained on triples of septuplets.

    Args:
        reference: start from a reference frame too (`EMAVFIr`), as `ema_vfi_dr` does; an option of both sizes.
    """
    return (EMAVFIr if reference else EMAVFIt)(width=32, depths=(2, 2, 2, 4, 4))


@register_model
def ema_vfi_small_t(reference: bool = False) -> EMAVFIt:
    """EMA-VFI small at any time ("ours_small_t"): the network of `ema_vfi_small`, trained likewise."""
    return (EMAVFIr if reference else EMAVFIt)(width=16, depths=(2, 2, 2, 2, 2))


@register_model
def ema_vfi_d() -> EMAVFIt:
    """InterpAny-Clearer's [T] and [D]: `ema_vfi_t` by the name of the recipe, with distance index maps."""
    return ema_vfi_t()


@register_model
def ema_vfi_r() -> EMAVFIt:
    """InterpAny-Clearer's [T,R]: the network of `ema_vfi_dr`, trained on uniform maps."""
    return ema_vfi_t(reference=True)


@register_model
def ema_vfi_dr() -> EMAVFIt:
    """InterpAny-Clearer's [D,R]: 65,663,511 parameters."""
    return ema_vfi_t(reference=True)
