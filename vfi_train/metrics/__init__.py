"""Metrics: pure functions for each image, and torchmetrics objects that average them over a dataset."""

from vfi_train.metrics.functional import interpolation_error, psnr, ssim2d, ssim3d, ssim_uniform
from vfi_train.metrics.torchmetrics import PSNR, SSIM, ImageMetric, InterpolationError

__all__ = [
    "PSNR",
    "SSIM",
    "ImageMetric",
    "InterpolationError",
    "interpolation_error",
    "psnr",
    "ssim2d",
    "ssim3d",
    "ssim_uniform",
]
