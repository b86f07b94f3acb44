"""Augmentations against the published ones, and properties that hold for any."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from datamodules.transforms import (
    CenterCrop,
    Compose,
    HorizontalFlip,
    RandomCrop,
    RandomResize,
    RandomTurn,
    ReverseChannels,
    ReverseTime,
    Rotate90,
    Transform,
    Transpose,
    VerticalFlip,
    crop,
)
from tests.helpers.golden_cases import load
from tests.helpers.scenes import scene, warp_errors
from vfi_train.errors import DataError, UserError

PUBLISHED = {
    "resize": RandomResize(2, 1),
    "reverse_channel": ReverseChannels(1),
    "vertical_flip": VerticalFlip(1),
    "horizontal_flip": HorizontalFlip(1),
    "rotate": Transpose(1),
    "reverse_time": ReverseTime(1),
}
EVERY = [*PUBLISHED.values(), Rotate90(1), CenterCrop(20), RandomCrop((18, 22))]
RNG = np.random.default_rng(0)
NAMES = {"frame0": "img0", "target": "imgt", "frame1": "img1", "flow": "flow"}


def golden_sample(prefix: str = "") -> dict[str, Any]:
    arrays = load("functions_IFRNet", "augmentation").arrays
    return {name: arrays[prefix + golden] for name, golden in NAMES.items()}


def assert_equal(got: dict[str, Any], prefix: str) -> None:
    for name, expected in golden_sample(prefix).items():
        assert got[name].dtype == expected.dtype
        digits = 0 if expected.dtype == np.uint8 else 3e-7  # the published flow is enlarged in float64
        np.testing.assert_allclose(got[name], expected, rtol=0, atol=digits, err_msg=f"{prefix}{name}")


@pytest.mark.parametrize("name", PUBLISHED)
def test_each_equals_the_published_one(name: str) -> None:
    sample = {**golden_sample(), "time": 0.5, "key": "golden"}
    assert_equal(PUBLISHED[name](sample, RNG), f"{name}_")
    assert_equal(sample, "")  # the given sample is as it was


@pytest.mark.parametrize("name", PUBLISHED)
def test_each_equals_amts(name: str) -> None:
    """AMT's differ from IFRNet's in nothing; its golden holds images as float32 that were uint8."""
    arrays = load("functions_AMT", "augmentations").arrays
    frames = {n: arrays[NAMES[n]].astype(np.uint8) for n in ("frame0", "target", "frame1")}
    got = PUBLISHED[name]({**frames, "flow": arrays["flow"], "time": 0.5, "key": "golden"}, RNG)
    for ours, published in NAMES.items():
        expected = arrays[f"random_{name}_{published}"]
        # The published flow, of up to 14 pixels, is enlarged in float64: float32's last digit differs.
        digits = 1e-6 if (name, ours) == ("resize", "flow") else 0
        np.testing.assert_allclose(got[ours], expected, rtol=0, atol=digits, err_msg=ours)


def test_all_in_the_published_order() -> None:
    sample = crop(PUBLISHED["resize"]({**golden_sample(), "time": 0.5, "key": "golden"}, RNG), 2, 3, 6, 6)
    assert_equal(Compose([t for name, t in PUBLISHED.items() if name != "resize"])(sample, RNG), "all_")


@pytest.mark.parametrize(
    ("transform", "moved"),
    [
        (VerticalFlip(1), lambda e: e[:, ::-1]),
        (HorizontalFlip(1), lambda e: e[:, :, ::-1]),
        (Transpose(1), lambda e: e.swapaxes(1, 2)),
        (Rotate90(1), lambda e: np.rot90(e, axes=(1, 2))),
        (ReverseTime(1), lambda e: e[::-1]),
        (ReverseChannels(1), lambda e: e),
    ],
    ids=lambda value: type(value).__name__,
)
def test_flow_stays_true_to_the_pixel(transform: Transform, moved: Any) -> None:
    sample = scene()
    np.testing.assert_allclose(warp_errors(transform(sample, RNG)), moved(warp_errors(sample)), atol=1e-9)


@pytest.mark.parametrize("name", ["vertical_flip", "horizontal_flip", "rotate", "reverse_time", "reverse_channel"])
def test_twice_is_the_identity(name: str) -> None:
    sample = {**scene(0.25), "time": np.linspace(0, 1, 24 * 32, dtype=np.float32).reshape(24, 32)}
    twice = PUBLISHED[name](PUBLISHED[name](sample, RNG), RNG)
    for key in ("frame0", "frame1", "target", "flow"):
        np.testing.assert_array_equal(twice[key], sample[key])
    np.testing.assert_allclose(twice["time"], sample["time"], atol=1e-7)


def test_four_quarter_turns_are_the_identity() -> None:
    sample = scene()
    turned = Compose([Rotate90(1)] * 4)(sample, RNG)
    np.testing.assert_array_equal(turned["flow"], sample["flow"])
    np.testing.assert_array_equal(turned["frame0"], sample["frame0"])


def test_reversing_time_turns_the_time() -> None:
    assert ReverseTime(1)(scene(0.25), RNG)["time"] == 0.75
    distance = np.full((24, 32), 0.125, np.float32)
    assert (ReverseTime(1)({**scene(), "time": distance}, RNG)["time"] == 0.875).all()


@pytest.mark.parametrize("transform", EVERY, ids=lambda t: type(t).__name__)
def test_a_distance_map_goes_with_the_pixels(transform: Transform) -> None:
    """A map equal to a channel of all frames stays equal to it; only time reversal changes it."""
    ramp = np.random.default_rng(1).random((24, 32)).astype(np.float32)
    image = np.repeat(ramp[..., None], 3, axis=2)
    sample = {"frame0": image, "frame1": image, "target": image, "time": ramp, "key": "ramp"}
    got = transform(sample, np.random.default_rng(2))
    expected = 1 - got["target"] if isinstance(transform, ReverseTime) else got["target"]
    np.testing.assert_array_equal(got["time"], expected[..., 0])
    assert got["frame0"].shape == got["target"].shape


def test_crops_reach_every_place_and_no_other() -> None:
    rng, seen = np.random.default_rng(0), set()
    rows, columns = np.mgrid[:5, :6]
    image = np.stack((rows, columns, rows), axis=2).astype(np.uint8)
    sample = {"frame0": image, "frame1": image, "target": image, "time": 0.5, "key": "grid"}
    for _ in range(300):
        got = RandomCrop((3, 4))(sample, rng)["frame0"]
        assert got.shape == (3, 4, 3)
        seen.add((int(got[0, 0, 0]), int(got[0, 0, 1])))
    assert seen == {(top, left) for top in range(3) for left in range(3)}
    middle = CenterCrop(2)(sample, rng)["frame0"]
    assert (int(middle[0, 0, 0]), int(middle[0, 0, 1])) == (1, 2)  # floor(5 / 2) - 1, 6 / 2 - 1


def test_a_crop_that_does_not_fit_is_one_sentence() -> None:
    with pytest.raises(DataError, match=r"^scene is 24x32 pixels, too small for a crop of 64x64"):
        RandomCrop(64)(scene(), RNG)


@pytest.mark.parametrize("probability", [0.05, 0.5, 0.9])
def test_a_transform_acts_with_its_probability(probability: float) -> None:
    rng, sample = np.random.default_rng(3), scene()
    acted = sum(ReverseTime(probability)(sample, rng) is not sample for _ in range(2000))
    assert abs(acted / 2000 - probability) < 4 * (probability * (1 - probability) / 2000) ** 0.5  # 4 sigma


def test_a_probability_beyond_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"ReverseTime takes a probability from 0 to 1; got 50"):
        ReverseTime(50)


@pytest.mark.parametrize("factor", [2, 3, 1.5])
@pytest.mark.parametrize("window", [RandomCrop((18, 22)), CenterCrop(20), RandomCrop((24, 32))])
def test_an_enlargement_is_cropped_as_if_the_whole_had_been_made(window: RandomCrop, factor: float) -> None:
    """Bit for bit, with the same random numbers; `Compose` enlarges only what the crop keeps."""
    resize = RandomResize(factor, 0.7)
    sample = {**scene(), "time": np.random.default_rng(6).random((24, 32), np.float32)}
    sample |= {name: (sample[name] * 255).astype(np.uint8) for name in ("frame0", "frame1")}
    for seed in range(30):
        one_by_one, at_once = np.random.default_rng(seed), np.random.default_rng(seed)
        expected = window(resize(sample, one_by_one), one_by_one)
        got = Compose([resize, window])(sample, at_once)
        assert one_by_one.random() == at_once.random()
        for name in ("frame0", "frame1", "target", "flow", "time"):
            np.testing.assert_array_equal(got[name], expected[name], err_msg=f"{name}, seed {seed}")


def test_turns_equal_the_published_ones() -> None:
    arrays = load("ebme_functions", "augmentation").arrays
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    sample = {"frame0": image, "key": "golden"}
    cases = {"channels_reversed": ReverseChannels(1), "rows_flipped": VerticalFlip(1)}
    cases |= {"columns_flipped": HorizontalFlip(1), **{f"turned_{n}": RandomTurn(1, [n]) for n in (1, 2, 3)}}
    for name, transform in cases.items():
        np.testing.assert_array_equal(transform(sample, RNG)["frame0"], arrays[name], err_msg=name)
    rng = np.random.default_rng(0)
    turned = [RandomTurn(0.5, [1, 2, 3])(sample, rng)["frame0"].tobytes() for _ in range(600)]
    counts = {name: turned.count(arrays[name].tobytes()) for name in ("turned_1", "turned_2", "turned_3")}
    assert all(70 < count < 130 for count in counts.values())  # 1/6 each
    assert turned.count(image.tobytes()) == 600 - sum(counts.values())
    with pytest.raises(UserError, match=r"quarters from 0 to 3; got \[4\]"):
        RandomTurn(1, [4])
