"""NIQE, stage by stage: against the published luma, closed forms and another library."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.goldens.golden import frame
from tests.helpers.golden_cases import load
from vfi_train.errors import UserError
from vfi_train.metrics.niqe import block_features, features, fit, halve, luma, niqe, normalise, read_pristine

QUANTILES = (np.arange(20_000) + 0.5) / 20_000
TAPS = np.exp(-((np.arange(7) - 3.0) ** 2) / 2)
WINDOW = np.outer(TAPS, TAPS) / TAPS.sum() ** 2


def sharp_image() -> np.ndarray:
    """The golden's image, RGB 0..1; it was made as BGR 0..255."""
    noise = 6 * np.random.RandomState(7).standard_normal((256, 448, 3))
    values = frame(256, 448, 0.5, 100)[0].transpose(1, 2, 0) * 255 + noise
    return values.round().clip(0, 255)[..., ::-1] / 255


def as_tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]


def pristine_file(path: Path, mean: np.ndarray, covariance: np.ndarray) -> Path:
    np.savez(path, mu_pris_param=mean[None], cov_pris_param=covariance, gaussian_window=WINDOW)
    return path


def test_luma_has_the_published_mean() -> None:
    golden = load("functions_RIFE", "niqe").info
    y = luma(sharp_image())
    assert abs(y.mean() - golden["y_channel_mean"]) <= 1e-5
    assert abs(y.round().mean() - golden["y_rounded_mean"]) <= 1e-5


def test_luma_of_black_and_white() -> None:
    assert luma(np.zeros((1, 1, 3))) == 16
    assert abs(luma(np.ones((1, 1, 3))) - 235) <= 1e-12


def test_halving_is_antialiased_bicubic() -> None:
    y = np.random.default_rng(0).random((40, 56))
    other = F.interpolate(torch.from_numpy(y)[None, None], scale_factor=0.5, mode="bicubic", antialias=True)[0, 0]
    assert np.abs(halve(y) - other.numpy())[2:-2, 2:-2].max() <= 1e-7
    ramp = np.add.outer(2.0 * np.arange(24), np.arange(32.0))
    assert np.abs(halve(ramp) - (ramp[::2, ::2] + 1.5))[2:-2, 2:-2].max() <= 1e-12
    assert np.abs(halve(np.full((12, 16), 7.0)) - 7).max() <= 1e-12  # to the border
    mirrored = np.pad(y, 8, mode="symmetric")
    assert np.abs(halve(mirrored)[4:-4, 4:-4] - halve(y)).max() <= 1e-12


def test_normalising_takes_brightness_off_and_most_of_contrast() -> None:
    y = np.random.default_rng(0).random((20, 24)) * 100
    assert np.abs(normalise(y + 50, WINDOW) - normalise(y, WINDOW)).max() <= 1e-10
    assert np.abs(normalise(np.full((9, 9), 77.0), WINDOW)).max() <= 1e-12
    checkers = np.indices((32, 32)).sum(axis=0) % 2 * 20.0  # mean 10, deviation 10, but for the window's own ripple
    ripple = (WINDOW * (-1.0) ** np.indices((7, 7)).sum(axis=0)).sum() * 10
    expected = (10 - ripple) / (math.sqrt(100 - ripple**2) + 1)
    assert np.abs(np.abs(normalise(checkers, WINDOW)[8:-8, 8:-8]) - abs(expected)).max() <= 1e-9


@pytest.mark.parametrize("scale", [(1.0, 1.0), (3.0, 3.0)])
def test_a_gaussian_has_shape_2(scale: tuple[float, float]) -> None:
    x = scale[0] * np.array([NormalDist().inv_cdf(q) for q in QUANTILES])
    alpha, left, right = (float(part[0]) for part in fit(x[None]))
    assert abs(alpha - 2) <= 2e-3
    assert abs(left / scale[0] - math.sqrt(2)) <= 2e-3
    assert abs(left - right) <= 1e-9 * scale[0]


def test_a_laplacian_has_shape_1_and_a_uniform_one_the_largest() -> None:
    laplacian = np.sign(QUANTILES - 0.5) * -np.log(1 - 2 * np.abs(QUANTILES - 0.5))
    signs = np.where(QUANTILES < 0.5, -1.0, 1.0)
    alpha, left, right = fit(np.stack((laplacian, signs)))
    assert abs(alpha[0] - 1) <= 2e-3
    assert abs(left[0] - 1) <= 3e-3
    assert alpha[1] == 10
    assert abs(right[1] - math.sqrt(math.gamma(0.1) / math.gamma(0.3))) <= 1e-12


def test_an_uneven_gaussian_has_two_spreads() -> None:
    x = np.array([NormalDist().inv_cdf(q) for q in QUANTILES])
    wide = 2 * x[x < 0]  # twice as wide, and so with twice the mass
    alpha, left, right = fit(np.concatenate((wide, wide, x[x > 0]))[None])
    assert abs(left[0] / right[0] - 2) <= 1e-9
    assert abs(alpha[0] - 2) <= 2e-3


def test_products_are_those_of_neighbours_around_the_border() -> None:
    block = np.random.default_rng(0).standard_normal((1, 8, 8))
    got = block_features(block)[0]
    assert got.shape == (18,)
    for n, (rows, columns) in enumerate(((0, 1), (1, 0), (1, 1), (1, -1))):
        product = [block[0, i, j] * block[0, (i - rows) % 8, (j - columns) % 8] for i in range(8) for j in range(8)]
        alpha, left, right = (float(part[0]) for part in fit(np.array(product)[None]))
        mean = (right - left) * math.gamma(2 / alpha) / math.gamma(1 / alpha)
        assert np.abs(got[2 + 4 * n : 6 + 4 * n] - (alpha, mean, left, right)).max() <= 1e-10


def test_features_leave_out_what_is_beyond_whole_blocks() -> None:
    y = luma(sharp_image()).round()
    got = features(y, WINDOW)
    assert got.shape == (8, 36)
    assert np.array_equal(got, features(y[:192, :384], WINDOW))


def test_distance_of_an_image_to_statistics_in_closed_form(tmp_path: Path) -> None:
    """With a covariance that makes the two average to the identity, the distance is the Euclidean one of means."""
    image = sharp_image()
    described = features(luma(image).round(), WINDOW)
    mean, covariance = described.mean(axis=0), np.cov(described, rowvar=False)
    path = pristine_file(tmp_path / "p.npz", mean + np.arange(36.0), 2 * np.eye(36) - covariance)
    got = niqe(as_tensor(image), read_pristine(path))
    assert got.dtype == torch.float64
    assert abs(got.item() - math.sqrt(35 * 36 * 71 / 6)) <= 1e-8


def test_a_rounded_image_and_a_batch(tmp_path: Path) -> None:
    pristine = read_pristine(pristine_file(tmp_path / "p.npz", np.zeros(36), np.eye(36)))
    exact = as_tensor(sharp_image())[..., :96, :192]
    noisy = exact + 0.001 * torch.rand(exact.shape, generator=torch.Generator().manual_seed(0))
    first, other, rounded = (niqe(x, pristine, rounded=r) for x, r in ((exact, False), (noisy, False), (noisy, True)))
    assert torch.equal(rounded, first)
    assert torch.equal(niqe(torch.cat((exact, noisy)), pristine), torch.cat((first, other)))
    assert other != first


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no file .*none\.npz: give the path of BasicSR's niqe_pris_params"):
        read_pristine(tmp_path / "none.npz")
    (tmp_path / "bad.npz").write_bytes(b"not an archive")
    with pytest.raises(ValueError, match=r"bad\.npz is not a complete \.npz file of numbers"):
        read_pristine(tmp_path / "bad.npz")
    np.savez(tmp_path / "other.npz", mu_pris_param=np.zeros((1, 35)))
    with pytest.raises(ValueError, match=r"other\.npz holds \{'mu_pris_param': \(1, 35\)\} of the arrays"):
        read_pristine(tmp_path / "other.npz")
    pristine = read_pristine(pristine_file(tmp_path / "p.npz", np.zeros(36), np.eye(36)))
    with pytest.raises(ValueError, match=r"at least two blocks of 96x96; got \(1, 3, 96, 191\)"):
        niqe(torch.zeros(1, 3, 96, 191), pristine)
    with pytest.raises(ValueError, match=r"at least two blocks with texture; this image has 0 of 2"):
        niqe(torch.full((1, 3, 96, 192), 0.5), pristine)
