"""Metrics against the published benchmark scripts' numbers, scikit-image, and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import skimage.color
import skimage.metrics
import torch
from torch import Tensor

from tests.helpers.golden_cases import frame, load
from vfi_train.metrics import functional
from vfi_train.metrics.functional import (
    interpolation_error,
    psnr,
    round_to_8_bit,
    ssim2d,
    ssim3d,
    ssim_map,
    ssim_uniform,
)

TOLERANCE = 1e-5


def near(got: Tensor, expected: float, tolerance: float = TOLERANCE) -> None:
    assert got.numel() == 1
    assert got.item() == pytest.approx(np.asarray(expected).item(), abs=tolerance)


# --- published numbers


@pytest.mark.parametrize("suffix", ["", "2"])
def test_ifrnet(suffix: str) -> None:
    case = load("functions_IFRNet", "metrics")
    prediction, target = case.tensor(f"pred{suffix}"), case.tensor(f"gt{suffix}")
    joint = f"_{suffix}" if suffix else ""
    near(psnr(prediction, target), case.arrays[f"psnr{suffix}"])
    near(ssim3d(prediction, target), case.arrays[f"ssim_3d{joint}"])
    near(ssim2d(prediction, target), case.arrays[f"ssim_2d{joint}"])
    near(interpolation_error(prediction, target), case.arrays[f"ie{suffix}"])
    # The published window is float32 in their double run too, hence not closer.
    near(ssim3d(prediction.double(), target.double()), case.arrays[f"ssim_3d{joint}_float64"], 5e-7)


def test_ifrnet_window() -> None:
    case = load("functions_IFRNet", "metrics")
    gaussian = torch.tensor(functional.GAUSSIAN)
    assert torch.allclose(gaussian, case.tensor("gaussian"), atol=1e-7, rtol=0)
    centre = gaussian[:, None] * gaussian[None] * gaussian[5]
    assert torch.allclose(centre, case.tensor("ssim_3d_window"), atol=1e-8, rtol=0)


def test_ssim_does_not_depend_on_the_range() -> None:
    """The published 0..255 branch (L = 255) equals ours on the same images in 0..1."""
    case = load("functions_IFRNet", "metrics")
    near(ssim3d(case.tensor("pred"), case.tensor("gt")), case.arrays["ssim_3d_from_255"])


def test_amt() -> None:
    case = load("functions_AMT", "metrics")
    prediction, target = frame(48, 64, 0.3, 71), frame(48, 64, 0.5, 71)
    near(psnr(prediction, target), case.arrays["psnr"])
    near(ssim3d(prediction, target), case.arrays["ssim3d"])
    near(ssim2d(prediction, target), case.arrays["ssim2d"])
    near(interpolation_error(prediction, target), case.arrays["ie"])
    near(psnr(prediction, round_to_8_bit(target), rounded=True), case.arrays["psnr_8bit"])
    near(ssim3d(prediction, round_to_8_bit(target), rounded=True), case.arrays["ssim3d_8bit"])


def test_atm_vfi() -> None:
    values = load("functions_ATM-VFI", "metrics").info["values"]
    prediction, target = (frame(96, 128, phase, 7, 2)[:1, :, :40, :56] for phase in (0.0, 0.5))
    near(ssim3d(prediction, target), values["ssim_3d"])
    near(ssim3d(prediction, target, rounded=True), values["ssim_3d_rounded"])
    near(psnr(prediction, target), values["psnr"])
    near(psnr(prediction, target, rounded=True), values["psnr_rounded"])


def test_ema_vfi() -> None:
    values = load("functions_EMA-VFI", "metrics").info["values"]
    target = round_to_8_bit(frame(48, 64, 0.5, 7))
    prediction = (0.97 * frame(48, 64, 0.6, 7) + 0.01).clamp(0, 1)
    near(ssim3d(prediction, target), values["ssim3d_unrounded"])
    near(ssim3d(prediction, target, rounded=True), values["ssim3d_rounded"])
    near(ssim2d(prediction, target), values["ssim2d_unrounded"])
    near(psnr(prediction, target), values["psnr_unrounded"])
    near(psnr(prediction, target, rounded=True), values["psnr_rounded"])
    near(psnr(prediction, target, rounded=True), values["psnr_uint8"])
    near(ssim_uniform(prediction, target, rounded=True), values["ssim_skimage_uint8"])
    near(interpolation_error(prediction, target), values["ie_middlebury"])
    near(psnr(prediction, target, rounded=True, luma=True), values["psnr_y_hd"])


def test_rife() -> None:
    case = load("functions_RIFE", "metrics")
    values, prediction, target = case.info, case.tensor("prediction"), case.tensor("target_8bit")
    near(psnr(prediction, target, rounded=True), values["psnr_rounded_prediction"])
    near(psnr(prediction, target), values["psnr_raw_prediction"])
    near(ssim3d(prediction, target, rounded=True), values["ssim_3d_rounded"])
    near(ssim3d(prediction, target), values["ssim_3d_raw"])
    near(ssim2d(prediction, target, rounded=True), values["ssim_2d_rounded"])
    near(ssim3d(prediction, target, rounded=True), values["ssim_3d_255"])
    near(interpolation_error(prediction, target), values["ie_middlebury"])


def test_interpany_clearer() -> None:
    info = load("functions_InterpAny-Clearer", "losses_and_metrics").info
    a, b = frame(48, 64, 0.0, 77, 2), frame(48, 64, 0.35, 77, 2)
    near(ssim3d(a, b)[:1], info["ssim3d_first_image"])
    near(ssim3d(a, b).mean(), info["ssim3d_batch"])
    mse = (10 ** (-psnr(a, b) / 10)).mean()  # the published batch number is of the joint error
    near(-10 * mse.log10(), info["psnr_batch"])


# --- another library


@pytest.mark.parametrize("seed", [0, 1])
def test_scikit_image_agrees(seed: int) -> None:
    target = round_to_8_bit(frame(40, 52, 0.5, seed))
    prediction = round_to_8_bit((frame(40, 52, 0.8, seed) * 0.9).clamp(0, 1))
    x, y = (p[0].movedim(0, -1).double().numpy() for p in (target, prediction))
    options = {"channel_axis": -1, "data_range": 1.0}
    near(psnr(prediction, target), skimage.metrics.peak_signal_noise_ratio(x, y, data_range=1.0))
    near(ssim_uniform(prediction, target), skimage.metrics.structural_similarity(x, y, **options))
    gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "full": True}
    _, expected = skimage.metrics.structural_similarity(x, y, **options, **gaussian)
    inner = ssim_map(prediction, target, depth=False)[0, :, 5:-5, 5:-5].movedim(0, -1)
    np.testing.assert_allclose(inner.numpy(), expected[5:-5, 5:-5], atol=TOLERANCE)  # borders differ: reflect
    luma = [255 * skimage.color.rgb2yuv(p)[..., 0] for p in (x, y)]
    expected = skimage.metrics.peak_signal_noise_ratio(*luma, data_range=255)
    near(psnr(prediction, target, luma=True), expected)


# --- closed forms and properties


@pytest.mark.parametrize("error", [0.5, 0.1, 1 / 255])
def test_psnr_of_a_constant_error(error: float) -> None:
    target = torch.full((1, 3, 8, 8), 0.25)
    near(psnr(target + error, target), -20 * math.log10(error))
    near(psnr(target + error, target, luma=True), -20 * math.log10(error))


def test_psnr_of_one_colour_is_a_third_of_the_error() -> None:
    target = torch.zeros(1, 3, 8, 8)
    prediction = target.clone()
    prediction[:, 1] = 0.1
    near(psnr(prediction, target), 20 + 10 * math.log10(3))
    near(psnr(prediction, target, luma=True), 20 - 20 * math.log10(0.587))


@pytest.mark.parametrize("metric", [ssim3d, ssim2d, ssim_uniform])
def test_similarity_of_equal_and_of_flat_images(metric) -> None:
    image = frame(20, 24, 0.0)
    near(metric(image, image), 1.0, 0)
    a, b = 0.2, 0.6
    flat = torch.ones(1, 3, 20, 24)
    near(metric(a * flat, b * flat), (2 * a * b + 1e-4) / (a * a + b * b + 1e-4))


def test_equal_images_are_perfect() -> None:
    image = frame(16, 16, 0.0)
    assert psnr(image, image).item() == math.inf
    assert interpolation_error(image, image).item() == 0


def test_rounding_forgives_what_8_bit_cannot_show() -> None:
    target = round_to_8_bit(frame(16, 16, 0.0))
    prediction = target + 0.4 / 255
    assert psnr(prediction, target, rounded=True).item() == math.inf
    near(psnr(prediction, target), -20 * math.log10(0.4 / 255), 1e-3)
    assert interpolation_error(prediction, target).item() == 0
    assert interpolation_error(target + 2.6 / 255, target).item() == 3


@pytest.mark.parametrize("metric", [psnr, ssim3d, ssim2d, ssim_uniform, interpolation_error])
def test_each_image_of_a_batch_counts_for_itself(metric) -> None:
    a, b = frame(24, 20, 0.0, 5, 3), frame(24, 20, 0.4, 5, 3)
    together = metric(a, b)
    assert together.shape == (3,)
    assert together.dtype == torch.float64
    apart = torch.cat([metric(a[i : i + 1], b[i : i + 1]) for i in range(3)])
    assert torch.allclose(together, apart, atol=1e-9, rtol=0)


@pytest.mark.parametrize("metric", [psnr, ssim3d, interpolation_error])
def test_autocast_changes_nothing(metric) -> None:
    a, b = frame(24, 20, 0.0), frame(24, 20, 0.4)
    with torch.autocast("cpu", torch.bfloat16):
        inside = metric(a, b)
    assert torch.equal(inside, metric(a, b))


def test_float32_keeps_six_digits_on_bright_flat_images() -> None:
    noise = 1e-3 * torch.randn(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    flat = torch.full((1, 3, 48, 64), 0.95)
    for metric in (ssim3d, ssim2d):
        near(metric(flat + noise, flat), metric((flat + noise).double(), flat.double()).item(), 1e-6)


def test_images_of_two_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"two images B 3 H W of one shape; got \(1, 3, 8, 8\) and \(1, 3, 8, 9\)"):
        psnr(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 9))
    with pytest.raises(ValueError, match="7x7 window"):
        ssim_uniform(torch.zeros(1, 3, 6, 8), torch.zeros(1, 3, 6, 8))
