"""Metrics: functions of single images, and torchmetrics objects that average them over a dataset."""

from vfi_train.metrics.functional import interpolation_error, psnr, ssim2d, ssim3d, ssim_uniform
from vfi_train.metrics.image_metrics import DISTS, LPIPS, PSNR, SSIM, ImageMetric, InterpolationError

__all__ = [
    "DISTS",
    "LPIPS",
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
