"""Metrics: pure functions for each picture, and torchmetrics objects that average them over a dataset."""

from vfi_train.metrics.functional import interpolation_error, psnr, ssim2d, ssim3d, ssim_uniform
from vfi_train.metrics.pictures import PSNR, SSIM, InterpolationError, PictureMetric

__all__ = [
    "PSNR",
    "SSIM",
    "InterpolationError",
    "PictureMetric",
    "interpolation_error",
    "psnr",
    "ssim2d",
    "ssim3d",
    "ssim_uniform",
]
