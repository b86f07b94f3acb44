"""Metric objects: means over images that do not depend on batches and processes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from tests.helpers.golden_cases import frame
from vfi_train.metrics import (
    PSNR,
    SSIM,
    ImageMetric,
    InterpolationError,
    interpolation_error,
    psnr,
    ssim2d,
    ssim3d,
)

PAIRS = [
    (PSNR(), psnr),
    (SSIM(), ssim3d),
    (SSIM(variant="2d"), ssim2d),
    (InterpolationError(), interpolation_error),
]


def images(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    return frame(20, 24, 0.0, 9, count), frame(20, 24, 0.5, 9, count)


@pytest.mark.parametrize(("metric", "function"), PAIRS)
@pytest.mark.parametrize("sizes", [[7], [3, 3, 1], [1] * 7])
def test_the_mean_does_not_depend_on_batches(metric: ImageMetric, function, sizes: list[int]) -> None:
    a, b = images(7)
    metric.reset()
    for x, y in zip(a.split(sizes), b.split(sizes), strict=True):
        metric.update(x, y)
    assert metric.compute().item() == pytest.approx(function(a, b).mean().item(), abs=1e-6)


def test_options_reach_the_functions() -> None:
    a, b = images(2)
    for metric, expected in (
        (PSNR(rounded=True), psnr(a, b, rounded=True)),
        (PSNR(luma=True), psnr(a, b, luma=True)),
        (SSIM(variant="2d", rounded=True), ssim2d(a, b, rounded=True)),
    ):
        metric.update(a, b)
        assert metric.compute().item() == pytest.approx(expected.mean().item(), abs=1e-6)


def test_directions() -> None:
    assert PSNR().higher_is_better
    assert SSIM().higher_is_better
    assert not InterpolationError().higher_is_better


def test_a_long_sum_keeps_its_digits() -> None:
    metric = PSNR()
    a, b = images(1)
    expected = psnr(a, b).item()
    metric.total += 100_000 * expected
    metric.count += 100_000
    metric.update(a, b)
    assert metric.total.item() == pytest.approx(100_001 * expected, rel=1e-15)


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_unknown_variants_are_refused_and_empty_means_are_nan() -> None:
    with pytest.raises(ValueError, match="one of 3d, 2d, uniform; got '4d'"):
        SSIM(variant="4d")
    assert math.isnan(PSNR().compute())


def test_uneven_processes_give_the_mean_over_images(tmp_path: Path) -> None:
    """Five images on one process, two on the other."""
    arguments = (str(tmp_path / "meeting"), str(tmp_path))
    mp.start_processes(process, args=arguments, nprocs=2, start_method="forkserver")
    a, b = images(7)
    for rank in (0, 1):
        got = torch.load(tmp_path / f"{rank}.pt")
        assert got["psnr"] == pytest.approx(psnr(a, b).mean().item(), abs=1e-6)
        assert got["ssim"] == pytest.approx(ssim3d(a, b).mean().item(), abs=1e-6)


def process(rank: int, meeting: str, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    a, b = (x[:5] if rank == 0 else x[5:] for x in images(7))
    metrics = {"psnr": PSNR(), "ssim": SSIM()}
    for metric in metrics.values():
        for x, y in zip(a.split(2), b.split(2), strict=True):
            metric.update(x, y)
    torch.save({name: metric.compute().item() for name, metric in metrics.items()}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()
