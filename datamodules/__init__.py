"""Datasets as LightningDataModules: one file per dataset, one loader beneath them all."""

from datamodules.core.datamodule import VFIDataModule
from datamodules.core.samplers import split_batch

__all__ = ["VFIDataModule", "split_batch"]
