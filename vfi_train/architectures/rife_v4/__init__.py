"""RIFE 4 (Practical-RIFE, hzwer): 4.6, 4.25 and 4.26 with their lite and heavy sizes, at any time."""

from vfi_train.architectures.registry import register_model
from vfi_train.architectures.rife_v4.network import RIFE46, RIFE425, RIFE425Lite

__all__ = [
    "RIFE46",
    "RIFE425",
    "RIFE425Lite",
    "rife_v4_6",
    "rife_v4_25",
    "rife_v4_25_heavy",
    "rife_v4_25_lite",
    "rife_v4_25_tiny",
    "rife_v4_26",
    "rife_v4_26_heavy",
]

HEAVY = (384, 256, 192, 128, 64)  # twice the usual widths


@register_model
def rife_v4_6(**options: object) -> RIFE46:
    """RIFE 4.6: 5,306,256 parameters. The only one here with an ensemble."""
    return RIFE46(**options)  # type: ignore[arg-type]


@register_model
def rife_v4_25(**options: object) -> RIFE425:
    """RIFE 4.25, which its author recommends: 5,664,776 parameters."""
    return RIFE425(**options)  # type: ignore[arg-type]


@register_model
def rife_v4_25_lite(**options: object) -> RIFE425Lite:
    """RIFE 4.25.lite, for half the operations: 5,622,700 parameters."""
    return RIFE425Lite(**options)  # type: ignore[arg-type]


@register_model
def rife_v4_25_heavy(**options: object) -> RIFE425:
    """RIFE 4.25.heavy, a beta that was withdrawn: 21,663,528 parameters."""
    return RIFE425(widths=HEAVY, **options)  # type: ignore[arg-type]


@register_model
def rife_v4_25_tiny(**options: object) -> RIFE425:
    """A narrow RIFE 4.25 of ours, for drawn scenes and tests: 1,728,816 parameters."""
    return RIFE425(widths=(64, 64, 64, 64, 48), **options)  # type: ignore[arg-type]


@register_model
def rife_v4_26(**options: object) -> RIFE425:
    """RIFE 4.26: the network of `rife_v4_25`, published with other weights."""
    return RIFE425(**options)  # type: ignore[arg-type]


@register_model
def rife_v4_26_heavy(**options: object) -> RIFE425:
    """RIFE 4.26.heavy, withdrawn: 16 features of each frame; 5,723,156 parameters."""
    return RIFE425(head_channels=16, **options)  # type: ignore[arg-type]
