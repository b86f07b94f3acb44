"""AMT: all-pairs multi-field transforms (Li et al., CVPR 2023)."""

from __future__ import annotations

from vfi_train.architectures.amt.network import AMT, AMTEncoding, Moment, Size
from vfi_train.architectures.amt.update import UpdateWidths
from vfi_train.architectures.registry import register_model

__all__ = ["AMT", "GLOBAL", "LARGE", "SMALL", "AMTEncoding", "Moment", "Size", "amt_g", "amt_l", "amt_s"]

SMALL = Size(
    widths=(20, 32, 44, 56),
    first_kernel=3,
    side_channels=20,
    matching_widths=(32, 64, 96),
    matching_bottlenecks=True,
    matching_channels=84,
    update=UpdateWidths(correlation=(64,), flow=20, joint=68, hidden=76),
    combine_kernel=3,
)
LARGE = Size(
    widths=(48, 64, 72, 128),
    first_kernel=7,
    side_channels=48,
    matching_widths=(64, 72, 128),
    matching_bottlenecks=False,
    matching_channels=128,
    update=UpdateWidths(correlation=(256, 160), flow=48, joint=124, hidden=128),
    combine_kernel=7,
)
GLOBAL = Size(
    widths=(84, 96, 112, 128),
    first_kernel=7,
    side_channels=84,
    matching_widths=(64, 112, 160, 160),
    matching_bottlenecks=False,
    matching_channels=128,
    update=UpdateWidths(correlation=(256, 192), flow=64, joint=188, hidden=192),
    combine_kernel=7,
    high_updates=True,
)


@register_model
def amt_s(fields: int = 3, levels: int = 4, radius: int = 3) -> AMT:
    """AMT-S, 2,990,543 parameters; the published GoPro weights belong to it too."""
    return AMT(SMALL, fields, levels, radius)


@register_model
def amt_l(fields: int = 5, levels: int = 4, radius: int = 3) -> AMT:
    """AMT-L, 12,935,367 parameters."""
    return AMT(LARGE, fields, levels, radius)


@register_model
def amt_g(fields: int = 5, levels: int = 4, radius: int = 3) -> AMT:
    """AMT-G, 30,638,919 parameters: each level from 1/4 up is updated a second time on its own grid."""
    return AMT(GLOBAL, fields, levels, radius)
