"""Distance index maps and time indices against the published ones."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from datamodules.storage.distance_maps import (
    PREPARATIONS,
    MapPreparation,
    blur,
    distance_map,
    enlarge,
    shrink,
    time_index,
)
from tests.goldens.golden import frame
from tests.helpers.golden_cases import load

RIFE = load("functions_RIFE", "distance_index")
INTERPANY = load("functions_InterpAny-Clearer", "distance_index")


def test_maps_of_rife_equal_the_published_ones_at_every_stage() -> None:
    end = (frame(48, 64, 0, 90)[0, :2] - 0.5).transpose(1, 2, 0) * np.float32(12)
    middle = np.float32(0.4) * end + (frame(48, 64, 0, 91)[0, :2] - 0.5).transpose(1, 2, 0) * np.float32(4)
    ratio = distance_map(end, middle)
    assert np.abs(ratio - RIFE.arrays["ratio"]).max() <= 2e-6
    stored = shrink(RIFE.arrays["ratio"])
    assert stored.dtype == np.float16
    assert np.array_equal(stored, RIFE.arrays["stored_half"])


@pytest.mark.parametrize(
    ("recipe", "array"),
    [("rife_d", "d_prepared"), ("test", "d_prepared"), ("rife_dr_test", "dr_test_prepared")],
)
def test_prepared_maps_equal_the_published_ones(recipe: str, array: str) -> None:
    got = PREPARATIONS[recipe].load(RIFE.arrays["stored_half"], (48, 64))
    assert got.dtype == np.float32
    assert np.abs(got - RIFE.arrays[array]).max() <= 2e-7
    assert PREPARATIONS[recipe].finish(got) is got


def test_a_crop_of_rife_dr_is_clipped_and_blurred_by_itself() -> None:
    recipe = PREPARATIONS["rife_dr"]
    full = recipe.load(RIFE.arrays["stored_half"], (48, 64))
    got = recipe.finish(full[5:37, 9:41])
    assert np.abs(got - RIFE.arrays["dr_train_crop_prepared"]).max() <= 2e-7


def test_maps_of_the_other_families_equal_the_published_ones() -> None:
    golden = INTERPANY.arrays
    ratio = distance_map(golden["flow_1to3"], golden["flow_1to2"])
    assert np.abs(ratio - golden["ratio"]).max() <= 2e-7
    assert np.array_equal(shrink(golden["ratio"]), golden["stored_half"].astype(np.float16))


def test_maps_at_loading_equal_the_published_ones() -> None:
    golden = load("functions_InterpAny-Clearer", "map_loading").arrays
    stored = golden["stored"].astype(np.float16)
    assert np.array_equal(enlarge(stored, (32, 48)), golden["train_upsampled"])
    training, test = PREPARATIONS["amt_s_dr"], PREPARATIONS["test"]
    assert np.abs(training.load(stored, (32, 48)) - golden["train_blurred"]).max() <= 2e-7
    assert np.abs(test.load(stored, (32, 48)) - golden["eval_map"]).max() <= 2e-7
    assert np.abs(test.load(stored, (33, 50)) - golden["eval_map_33x50"]).max() <= 2e-7


def test_steady_motion_gives_the_time_and_no_motion_nan() -> None:
    end = np.random.default_rng(0).normal(size=(6, 8, 2)).astype(np.float32)
    end[2, 3] = 0
    got = distance_map(end, np.float32(0.25) * end)
    assert np.isnan(got[2, 3])
    assert np.abs(np.delete(got.ravel(), 2 * 8 + 3) - 0.25).max() <= 1e-7


def test_motion_across_the_path_counts_for_nothing() -> None:
    end = np.full((2, 2, 2), (3, 4), np.float32)
    across = np.full((2, 2, 2), (-4, 3), np.float32)
    assert np.abs(distance_map(end, 0.5 * end + 7 * across) - 0.5).max() <= 1e-6


def test_enlarging_repeats_pixels() -> None:
    stored = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float16)
    assert np.array_equal(enlarge(stored, (10, 14)), stored.astype(np.float32).repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize("taps", [5, 9])
def test_the_blur_is_that_of_opencv(taps: int) -> None:
    x = np.random.default_rng(0).random((20, 24), dtype=np.float32)
    assert np.abs(blur(x, taps) - cv2.GaussianBlur(x, (taps, taps), 0)).max() <= 2e-7


def test_a_recipe_without_clip_and_blur_leaves_the_map() -> None:
    stored = RIFE.arrays["stored_half"]
    recipe = PREPARATIONS["ema_vfi_dr"]
    got = recipe.finish(recipe.load(stored, (48, 64)))
    assert np.array_equal(got[::2, ::2], stored.astype(np.float32))
    assert got.max() > 1
    assert got.min() < 0


def test_an_infinite_value_is_clipped_at_half_size_and_spoils_the_sample_later() -> None:
    stored = np.full((12, 16), 0.5, np.float16)
    stored[6, 8] = np.inf
    assert np.isfinite(PREPARATIONS["rife_d"].load(stored, (24, 32))).all()
    assert not np.isfinite(PREPARATIONS["ema_vfi_dr"].load(stored, (24, 32))).all()


def test_time_indices_equal_the_published_ones() -> None:
    golden = load("functions_RIFE", "time_index").info
    for start, middle, end, expected in golden["values"]:
        assert time_index(start, middle, end) == expected


def test_mistakes_are_one_sentence() -> None:
    flow = np.zeros((4, 4, 2), np.float32)
    with pytest.raises(ValueError, match=r"two flows H W 2 of one size; got \(4, 4, 2\) and \(4, 4, 1\)"):
        distance_map(flow, flow[..., :1])
    with pytest.raises(ValueError, match=r"4x4 cannot be shrunk by 5: choose 1 to 4"):
        shrink(flow[..., 0], 5)
    with pytest.raises(ValueError, match=r"is H W; got the shape \(4, 4, 2\)"):
        enlarge(flow, (8, 8))
    with pytest.raises(ValueError, match=r"5 or 9 taps, or 0 for none; got 3"):
        MapPreparation(taps=3)
    with pytest.raises(ValueError, match=r"'stored', 'frame' or 'crop'; got 'late'"):
        MapPreparation(stage="late")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"frame 7 has no time between the frames 0 and 6"):
        time_index(0, 7, 6)
