"""Datasets as LightningDataModules: one file per dataset."""

from datamodules.core.datamodule import VFIDataModule
from datamodules.core.samplers import split_batch

__all__ = ["VFIDataModule", "split_batch"]
