"""Datasets as LightningDataModules: one file per dataset."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datamodules.core.datamodule import VFIDataModule
    from datamodules.core.samplers import split_batch

__all__ = ["VFIDataModule", "split_batch"]
_PLACES = {"VFIDataModule": "datamodules.core.datamodule", "split_batch": "datamodules.core.samplers"}


def __getattr__(name: str) -> Any:
    """Import on first use, so that what reads files only does not wait for torch."""
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
