"""AMT: all-pairs multi-field transforms (Li et al., CVPR 2023), and InterpAny-Clearer's."""

from __future__ import annotations

from vfi_train.architectures.amt.network import AMT, AMTEncoding, Moment, Size
from vfi_train.architectures.amt.update import UpdateWidths
from vfi_train.architectures.amt.variants import AMTd, AMTdr, AMTdrV0, AMTdrV2
from vfi_train.architectures.registry import register_model

__all__ = [
    "AMT",
    "GLOBAL",
    "LARGE",
    "SMALL",
    "AMTEncoding",
    "AMTd",
    "AMTdr",
    "AMTdrV0",
    "AMTdrV2",
    "Moment",
    "Size",
    "amt_g",
    "amt_l",
    "amt_s",
    "amt_s_d",
    "amt_s_dr",
    "amt_s_dr_v0",
    "amt_s_dr_v2",
    "amt_s_r",
]

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
def amt_s(fields: int = 3, levels: int = 4, radius: int = 3, time_map: bool = False, reference: bool = False) -> AMT:
    """AMT-S, 2,990,543 parameters; the published GoPro weights belong to it too.

    Args:
        fields, levels, radius: see `AMT`.
        time_map: take a distance index map for the time (`AMTd`), as `amt_s_d` does; an option of every size.
        reference: start from a reference frame too (`AMTdr`), as `amt_s_dr` does; it brings the map along.
    """
    return _network(time_map, reference)(SMALL, fields, levels, radius)


@register_model
def amt_l(fields: int = 5, levels: int = 4, radius: int = 3, time_map: bool = False, reference: bool = False) -> AMT:
    """AMT-L, 12,935,367 parameters. Options as `amt_s`."""
    return _network(time_map, reference)(LARGE, fields, levels, radius)


@register_model
def amt_g(fields: int = 5, levels: int = 4, radius: int = 3, time_map: bool = False, reference: bool = False) -> AMT:
    """AMT-G, 30,638,919 parameters: each level from 1/4 up is updated a second time on its own grid.

    Options as `amt_s`.
    """
    return _network(time_map, reference)(GLOBAL, fields, levels, radius)


@register_model
def amt_s_d() -> AMT:
    """InterpAny-Clearer's [D]: the tensors of `amt_s`, a distance index map for the time."""
    return amt_s(time_map=True)


@register_model
def amt_s_r() -> AMT:
    """InterpAny-Clearer's [T,R]: the network of `amt_s_dr`, trained on uniform maps."""
    return amt_s(reference=True)


@register_model
def amt_s_dr() -> AMT:
    """InterpAny-Clearer's [D,R], released as version 1: 3,047,999 parameters."""
    return amt_s(reference=True)


@register_model
def amt_s_dr_v0() -> AMT:
    """An experiment of InterpAny-Clearer's (`AMTdrV0`), 3,138,719 parameters; no weights are released."""
    return AMTdrV0(SMALL, fields=3)


@register_model
def amt_s_dr_v2() -> AMT:
    """An experiment of InterpAny-Clearer's (`AMTdrV2`), 3,050,591 parameters; no weights are released."""
    return AMTdrV2(SMALL, fields=3)


def _network(time_map: bool, reference: bool) -> type[AMT]:
    if reference:
        return AMTdr
    return AMTd if time_map else AMT
