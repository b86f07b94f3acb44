"""NIQE: a quality score without a reference image.

An image's blocks have 36 features each; NIQE is the distance of their mean and covariance to those of pristine
photographs, which are read from a file given by the user (`read_pristine`).

Source: Mittal, Soundararajan and Bovik, "Making a 'Completely Blind' Image Quality Analyzer", SPL 2013, as BasicSR
computes it (the InterpAny-Clearer benchmarks).
"""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vfi_train.errors import UserError

Array = NDArray[np.float64]
BLOCK = 96  # pixels at full size; half as many at half size
LUMA = np.array((65.481, 128.553, 24.966))  # of R, G, B in 0..1, to Y in 16..235
SHAPES = {"mu_pris_param": (1, 36), "cov_pris_param": (36, 36), "gaussian_window": (7, 7)}
SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))  # rows, columns
# Cubic convolution (a = -0.5) stretched to half size, at 3.5, 2.5, 1.5 and 0.5 pixels from the new pixel's centre.
HALVING = np.array((-0.01171875, -0.03515625, 0.11328125, 0.43359375))

ALPHAS = np.arange(200, 10_001) / 1000
_LOG_GAMMA = {k: np.array([math.lgamma(k / alpha) for alpha in ALPHAS]) for k in (1, 2, 3)}
RATIOS = np.exp(2 * _LOG_GAMMA[2] - _LOG_GAMMA[1] - _LOG_GAMMA[3])  # E|x|^2 / E[x^2] of a Gaussian of that shape


@dataclass(frozen=True)
class Pristine:
    """Statistics of pristine photographs: mean (36) and covariance (36 36) of features, and the 7x7 window."""

    mean: Array
    covariance: Array
    window: Array


def read_pristine(path: str | Path) -> Pristine:
    """Read the statistics from a file in BasicSR's layout (`niqe_pris_params.npz`).

    Raises:
        UserError: the file is missing, broken, or does not hold the three arrays.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"NIQE needs statistics of pristine photographs, and there is no file {path}: "
            "give the path of BasicSR's niqe_pris_params.npz"
        )
    try:
        with np.load(path, allow_pickle=False) as content:
            arrays = {name: np.asarray(content[name], np.float64) for name in SHAPES if name in content}
    except (OSError, ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:  # of np.load
        raise UserError(f"{path} is not a complete .npz file of numbers ({error}): download it again") from None
    shapes = {name: array.shape for name, array in arrays.items()}
    if shapes != SHAPES:
        raise UserError(f"{path} holds {shapes or 'none'} of the arrays {SHAPES}: give BasicSR's niqe_pris_params.npz")
    return Pristine(arrays["mu_pris_param"][0], arrays["cov_pris_param"], arrays["gaussian_window"])


def niqe(image: Tensor, pristine: Pristine, *, rounded: bool = False) -> Tensor:
    """Distance of images to pristine ones; lower is better.

    Args:
        image: B 3 H W, RGB, 0..1, at least two blocks of 96x96; incomplete blocks are left out.
        pristine: see `read_pristine`.
        rounded: round the image to 8 bit first, as the [D], [T,R] and [D,R] benchmarks do.

    Returns:
        B numbers, float64, on the CPU.

    Raises:
        UserError: an image is too small or has fewer than two blocks with texture.

    Source: InterpAny-Clearer's benchmarks (BasicSR's function without a crop of the border).
    """
    if image.ndim != 4 or image.shape[1] != 3 or (image.shape[2] // BLOCK) * (image.shape[3] // BLOCK) < 2:
        raise UserError(
            f"NIQE takes images B 3 H W of at least two blocks of {BLOCK}x{BLOCK}; got {tuple(image.shape)}"
        )
    images = image.detach().double().cpu().numpy().transpose(0, 2, 3, 1)
    if rounded:
        images = (images * 255).round() / 255
    distances = [_distance(features(luma(p).round(), pristine.window), pristine) for p in images]
    return torch.tensor(distances, dtype=torch.float64)


def luma(image: Array) -> Array:
    """Y of an image H W 3, RGB 0..1, in the 16..235 of BT.601, not rounded."""
    return image @ LUMA + 16


def features(y: Array, window: Array) -> Array:
    """Features of the blocks of a grey image H W in 0..255: N 36, 18 from full size and 18 from half size."""
    height, width = (side // BLOCK * BLOCK for side in y.shape)
    y = y[:height, :width]
    full = block_features(_blocks(normalise(y, window), BLOCK))
    half = block_features(_blocks(normalise(halve(y), window), BLOCK // 2))
    return np.concatenate((full, half), axis=1)


def normalise(y: Array, window: Array) -> Array:
    """A grey image H W minus its windowed mean, over its windowed standard deviation plus 1."""
    mean = cv2.filter2D(y, cv2.CV_64F, window, borderType=cv2.BORDER_REPLICATE)
    square = cv2.filter2D(y * y, cv2.CV_64F, window, borderType=cv2.BORDER_REPLICATE)
    return np.asarray((y - mean) / (np.sqrt(np.abs(square - mean * mean)) + 1))


def halve(y: Array) -> Array:
    """An image H W of even sides at half size: MATLAB's bicubic `imresize` with antialiasing."""
    for _ in range(2):
        padded = np.pad(y, ((3, 3), (0, 0)), mode="symmetric")
        rows = y.shape[0]
        y = sum(
            weight * (padded[k : k + rows : 2] + padded[7 - k : 7 - k + rows : 2]) for k, weight in enumerate(HALVING)
        ).T
    return y


def block_features(blocks: Array) -> Array:
    """18 features of each block N H W: its shape and spread, then shape, mean and spreads of four products.

    The products are those of each pixel and a neighbour, wrapping around at the block's border. NaN for blocks
    without texture.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        alpha, left, right = fit(blocks)
        columns = [alpha, (left + right) / 2]
        for shift in SHIFTS:
            alpha, left, right = fit(blocks * np.roll(blocks, shift, axis=(1, 2)))
            gammas = _gamma(2, alpha) / _gamma(1, alpha)
            columns += [alpha, (right - left) * gammas, left, right]
    return np.stack(columns, axis=1)


def fit(x: Array) -> tuple[Array, Array, Array]:
    """Asymmetric generalised Gaussians fitted to each of N blocks (N H W): shape, left and right spread."""
    x = x.reshape(len(x), -1)
    square = x * x
    negative, positive = x < 0, x > 0
    left = np.sqrt((square * negative).sum(axis=1) / negative.sum(axis=1))
    right = np.sqrt((square * positive).sum(axis=1) / positive.sum(axis=1))
    g = left / right
    ratio = np.abs(x).mean(axis=1) ** 2 / square.mean(axis=1) * (g**3 + 1) * (g + 1) / (g**2 + 1) ** 2
    alpha = ALPHAS[np.abs(RATIOS - ratio[:, None]).argmin(axis=1)]
    spread = np.sqrt(_gamma(1, alpha) / _gamma(3, alpha))
    return alpha, left * spread, right * spread


def _distance(found: Array, pristine: Pristine) -> float:
    textured = found[~np.isnan(found).any(axis=1)]
    if len(textured) < 2:
        raise UserError(
            f"NIQE needs at least two blocks with texture; this image has {len(textured)} of {len(found)}: "
            "leave out flat images"
        )
    off = pristine.mean - np.nanmean(found, axis=0)
    covariance = (pristine.covariance + np.cov(textured, rowvar=False)) / 2
    return float(np.sqrt(off @ np.linalg.pinv(covariance) @ off))


def _blocks(x: Array, side: int) -> Array:
    """N side side, row by row."""
    rows, columns = x.shape[0] // side, x.shape[1] // side
    return x.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side, side)


def _gamma(k: int, alpha: Array) -> Array:
    """The gamma function of k / alpha, for shapes of the table."""
    return np.exp(_LOG_GAMMA[k][np.rint(alpha * 1000).astype(int) - 200])
