"""EBME: enhanced bi-directional motion estimation (Jin et al., WACV 2023)."""

from __future__ import annotations

from vfi_train.architectures.ebme.network import EBME, EBMEEncoding, pyramid_levels
from vfi_train.architectures.registry import register_model

__all__ = ["EBME", "EBMEEncoding", "ebme", "ebme_h", "pyramid_levels"]


@register_model
def ebme(levels: int = 3) -> EBME:
    """EBME, 3,907,864 parameters.

    Args:
        levels: of the motion's pyramid; see `EBME`.
    """
    return EBME(levels)


@register_model
def ebme_h(levels: int = 3) -> EBME:
    """EBME-H, 3,930,833 parameters: the fusion works at twice the size. Options as `ebme`."""
    return EBME(levels, high_resolution=True)
