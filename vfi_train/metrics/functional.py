"""Metrics of a predicted image against the true one, as functions.

All take RGB images B 3 H W in [0, 1] and return B numbers in float64. They compute in float32 (float64 for float64
inputs) with float64 sums, independent of autocast, and without convolutions or matrix products, which GPUs may compute
in TF32.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_train.errors import UserError

LUMA = (0.299, 0.587, 0.114)  # BT.601, the first row of scikit-image's RGB to YUV matrix
GAUSSIAN = [math.exp(-((k - 5) ** 2) / (2 * 1.5**2)) for k in range(11)]
GAUSSIAN = [g / sum(GAUSSIAN) for g in GAUSSIAN]
C1, C2 = 0.01**2, 0.03**2  # for a data range of 1


def psnr(prediction: Tensor, target: Tensor, *, rounded: bool = False, luma: bool = False) -> Tensor:
    """Peak signal-to-noise ratio, dB: -10 log10 of the mean squared difference over colours and pixels.

    Args:
        prediction: B 3 H W.
        target: B 3 H W.
        rounded: round the prediction to 8 bit first.
        luma: compare only Y = 0.299 R + 0.587 G + 0.114 B (the HD protocols).

    Returns:
        B numbers, float64; infinite for equal images.

    Source: unrounded in IFRNet, AMT and EMA-VFI on Vimeo90K and SNU-FILM; rounded in RIFE and on UCF101.
    """
    prediction, target = _ready(prediction, target, rounded)
    difference = prediction - target
    if luma:
        red, green, blue = difference.unbind(dim=1)
        difference = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    return -10 * _mean(difference.square()).log10()


def ssim3d(prediction: Tensor, target: Tensor, *, rounded: bool = False) -> Tensor:
    """Structural similarity with a window over colours too ("matlab" variant), as reported by VFI papers.

    The image is a volume of depth 3; the window is an 11x11x11 Gaussian of standard deviation 1.5, borders are
    replicated on all three axes. Arguments and result as in `psnr`.

    Source: IFRNet, AMT, EMA-VFI, RIFE and ATM-VFI benchmark scripts (`ssim_matlab`).
    """
    return _mean(ssim_map(*_ready(prediction, target, rounded), depth=True))


def ssim2d(prediction: Tensor, target: Tensor, *, rounded: bool = False) -> Tensor:
    """Structural similarity of each colour with an 11x11 Gaussian window (Wang et al., 2004).

    Borders are replicated, so that every pixel counts. Arguments and result as in `psnr`.
    """
    return _mean(ssim_map(*_ready(prediction, target, rounded), depth=False))


def ssim_uniform(prediction: Tensor, target: Tensor, *, rounded: bool = False) -> Tensor:
    """Structural similarity with scikit-image's defaults: 7x7 uniform window, sample covariance, borders cut.

    Arguments and result as in `psnr`.

    Source: EMA-VFI's Xiph protocol (`skimage.metrics.structural_similarity`).
    """
    prediction, target = _ready(prediction, target, rounded)
    if min(prediction.shape[-2:]) < 7:
        raise UserError(f"SSIM with a 7x7 window needs at least 7x7 pixels; got {tuple(prediction.shape[-2:])}")
    return _mean(_similarity(prediction, target, lambda x: _filter(x, [1 / 7] * 7), correction=49 / 48))


def interpolation_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of the images rounded to 8 bit, in grey levels 0..255 (Middlebury).

    Source: IFRNet and EMA-VFI, Middlebury scripts.
    """
    prediction, target = _ready(prediction, target, rounded=False)
    return _mean(((255 * prediction).round() - (255 * target).round()).abs())


def ssim_map(prediction: Tensor, target: Tensor, *, depth: bool) -> Tensor:
    """SSIM of every pixel and colour, B 3 H W, with a Gaussian window; `depth`: over colours too, as in `ssim3d`."""

    def smooth(x: Tensor) -> Tensor:
        x = _filter(F.pad(x, (5, 5, 5, 5), mode="replicate"), GAUSSIAN)
        return _filter_colours(x) if depth else x

    return _similarity(prediction, target, smooth)


def round_to_8_bit(image: Tensor) -> Tensor:
    """Values k / 255, rounded to the nearest (halves to even)."""
    return (255 * image).round() / 255


def _ready(prediction: Tensor, target: Tensor, rounded: bool) -> tuple[Tensor, Tensor]:
    """Both images, checked, in float32 or float64."""
    if prediction.shape != target.shape or prediction.ndim != 4 or prediction.shape[1] != 3:
        raise UserError(
            f"a metric takes two images B 3 H W of one shape; got {tuple(prediction.shape)} and {tuple(target.shape)}"
        )
    if not (prediction.dtype == target.dtype == torch.float64):
        prediction, target = prediction.float(), target.float()
    prediction, target = prediction.detach(), target.detach()
    return round_to_8_bit(prediction) if rounded else prediction, target


def _mean(x: Tensor) -> Tensor:
    return x.flatten(1).mean(dim=1, dtype=torch.float32 if x.device.type == "mps" else torch.float64)


def _similarity(x: Tensor, y: Tensor, smooth: Callable[[Tensor], Tensor], correction: float = 1.0) -> Tensor:
    """SSIM of every pixel from windowed means and variances of the images' sum and difference.

    With means a, b, variances u, v and covariance w of the images and squared means p, m of sum and difference:
    4 a b = p - m and 2 (a^2 + b^2) = p + m; likewise 4 w and 2 (u + v) from the variances. This takes four
    windowed averages instead of five.
    """
    mean, variance_p = _moments(x + y, smooth)
    p, variance_p = mean.square(), variance_p * correction
    mean, variance_m = _moments(x - y, smooth)
    m, variance_m = mean.square(), variance_m * correction
    similar = (p - m + 2 * C1) * (variance_p - variance_m + 2 * C2)
    return similar / ((p + m + 2 * C1) * (variance_p + variance_m + 2 * C2))


def _moments(x: Tensor, smooth: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Windowed mean and variance; the image's mean is subtracted first, to keep digits."""
    centre = x.mean(dim=(1, 2, 3), keepdim=True)
    x = x - centre
    mean = smooth(x)
    return mean + centre, smooth(x.square()) - mean.square()


def _filter(x: Tensor, window: list[float]) -> Tensor:
    """Separable symmetric filter over rows and columns, without padding."""
    for dim in (-1, -2):
        size, half = x.shape[dim] - len(window) + 1, len(window) // 2
        out = x.narrow(dim, half, size) * window[half]
        for k in range(half):
            pair = x.narrow(dim, k, size) + x.narrow(dim, len(window) - 1 - k, size)
            out.add_(pair, alpha=window[k])
        x = out
    return x


def _filter_colours(x: Tensor) -> Tensor:
    """The Gaussian over the colour axis with replicated borders: a 3x3 mix of the colours."""
    mixed = []
    for colour in range(3):
        weights = [0.0, 0.0, 0.0]
        for k, g in enumerate(GAUSSIAN):
            weights[min(max(colour + k - 5, 0), 2)] += g
        mixed.append(sum(w * plane for w, plane in zip(weights, x.unbind(dim=1), strict=True)))
    return torch.stack(mixed, dim=1)  # type: ignore[arg-type]
