"""Datasets as LightningDataModules: one file per dataset, one loader beneath them all."""

from datamodules.base import VFIDataModule
from datamodules.loader import DataError, split_batch

__all__ = ["DataError", "VFIDataModule", "split_batch"]
