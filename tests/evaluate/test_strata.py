"""Strata add up to the complete set: samples by motion, time and scene, pixels by visibility."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.evaluation import evaluated
from tests.helpers.layouts import fabricate, frame
from vfi_train.config.selection import dataset
from vfi_train.evaluate.averages import averages, strata
from vfi_train.evaluate.benchmarks import open_split
from vfi_train.evaluate.samples import Pair

TINY = ("model=ifrnet_tiny", "weights=ifrnet_tiny_synthetic", "num_examples=0", "name=x")


def rows(count: int, time: Callable[[int], float | None] = lambda i: (i % 7 + 1) / 8) -> list[dict]:
    rng = np.random.default_rng(0)
    return [
        {
            "index": i, "key": f"s{i % 5}/{i}", "pair": f"p{i // 7}", "time": time(i), "motion": rng.gamma(2, 10),
            "motion_from": "dis", "scores": {"psnr": rng.normal(30, 4), "ssim": rng.uniform()},
        }
        for i in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize("count", [4, 77, 1001])
def test_the_count_weighted_mean_of_strata_is_the_mean(count: int) -> None:
    made = rows(count)
    found = strata(made, ["psnr", "ssim"], lambda row: row["key"].partition("/")[0])
    assert list(found) == ["motion", "time", "scene"]
    for parts in found.values():
        assert sum(part["samples"] for part in parts) == count
        for column, mean in averages(made, ["psnr", "ssim"]).items():
            total = sum(part["samples"] * part[column] for part in parts)
            assert total / count == pytest.approx(mean, abs=1e-9)
    sizes = [part["samples"] for part in found["motion"]]
    assert max(sizes) - min(sizes) <= 1
    assert [part["at"] for part in found["motion"]] == sorted(part["at"] for part in found["motion"])
    assert [part["at"] for part in found["time"]] == [(k + 1) / 8 for k in range(min(7, count))]


def test_times_that_are_maps_or_many() -> None:
    by_number = strata(rows(77, lambda i: None), ["psnr"], None)["time"]
    assert [(part["stratum"], part["samples"]) for part in by_number] == [(f"target {k}", 11) for k in range(1, 8)]
    eighths = strata(rows(100, lambda i: i / 100), ["psnr"], None)["time"]
    assert [part["stratum"] for part in eighths][::7] == ["0 to 0.125", "0.875 to 1"]
    assert [part["samples"] for part in eighths] == [13, 12, 13, 12, 13, 12, 13, 12]
    assert strata(rows(8, lambda i: 0.5), ["psnr"], None).keys() == {"motion"}


def test_motion_that_rows_do_not_have_or_have_from_elsewhere() -> None:
    old, mixed = rows(8, lambda i: 0.5), rows(8, lambda i: 0.5)
    del old[3]["motion"], old[3]["motion_from"]
    mixed[3]["motion_from"] = "data"
    assert strata(old, ["psnr"], None) == strata(mixed, ["psnr"], None) == {}


def test_motion_is_in_pixels_of_the_frames() -> None:
    """A texture that moves by 6 pixels; in wide images it is estimated at a quarter of the size."""
    for size in ((128, 192), (256, 1024)):
        first, second = (np.roll(frame(3, 0, size), shift, axis=1) for shift in (0, 6))
        assert Pair("", first, second).motion == pytest.approx(6, rel=0.1)
        assert Pair("", first / np.float32(255), second / np.float32(255)).motion == Pair("", first, second).motion


def test_visible_and_occluded_pixels_of_scenes_add_up(tmp_path: Path) -> None:
    options = {"size": [48, 64], "val_samples": 6, "times": [0.25, 0.5]}
    given = [f"+benchmark.options.{key}={str(value).replace(' ', '')}" for key, value in options.items()]
    (result,) = evaluated(tmp_path, *TINY, "benchmark=synthetic", *given)
    found = result.strata()
    pixels = {part["stratum"]: part for part in found["pixels"]}
    source, _ = open_split({**dataset("synthetic"), **options})
    samples = [source.sample(index, None) for index in range(6)]
    hidden = [sample["occluded"] for sample in samples]  # type: ignore[call-overload]
    assert pixels["occluded"]["pixels"] == sum(map(np.count_nonzero, hidden)) > 0
    assert sum(part["pixels"] for part in pixels.values()) == 6 * 48 * 64
    complete = np.mean([10 ** (-row["scores"]["psnr"] / 10) for row in result.samples])
    assert sum(p["pixels"] * p["mse"] for p in pixels.values()) / (6 * 48 * 64) == pytest.approx(complete, abs=1e-9)
    assert pixels["occluded"]["psnr"] < pixels["visible"]["psnr"]
    moved = [np.hypot(*np.moveaxis(s["flow"][..., 2:] - s["flow"][..., :2], -1, 0)).mean() for s in samples]  # type: ignore[call-overload]
    assert [row["motion"] for row in result.samples] == pytest.approx(moved, abs=1e-4)


def test_a_benchmark_without_flow_has_strata_of_estimated_motion(tmp_path: Path) -> None:
    root = fabricate("ucf101", tmp_path, size=(64, 96), clips=5)
    (result,) = evaluated(tmp_path / "out", *TINY, "benchmark=ucf101", f"root={root}")
    (kind,) = result.strata().items()
    assert kind[0] == "motion"
    assert sum(part["samples"] for part in kind[1]) == 5
    assert [row["motion_from"] for row in result.samples] == ["dis"] * 5
