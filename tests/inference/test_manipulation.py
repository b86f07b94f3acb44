"""Timings of objects against the published app's, and what frames they lead to."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.manipulation import BLUE, MOVING, RED, STILL, WAYS, frames, scene, travelled
from datamodules.synthetic import to_uint8
from tests.helpers.golden_cases import assert_near, frame, load
from vfi_train.architectures import Architecture, Encoding
from vfi_train.contract import Prediction
from vfi_train.inference.interpolator import Interpolator
from vfi_train.inference.manipulation import (
    anchors,
    compose,
    manipulate,
    masked_average,
    retime,
    smooth,
    time_maps,
    timing,
)

CASE = load("functions_InterpAny-Clearer", "manipulation")
HEIGHTS = ([0, 60, 10, 80, 30, 100], [100, 40, 0], [20, 90])


class Blend(Architecture):
    """time * frame1 + (1 - time) * frame0 for every pixel; counts encodings."""

    family = "blend"
    size_multiple = 8
    arbitrary_time = True
    takes_time_map = True
    encodings = 0

    def encode(self, frame0: torch.Tensor, frame1: torch.Tensor, *, scale: float = 1.0) -> Encoding:
        self.encodings += 1
        return Encoding(frame0, frame1, scale)

    def decode(self, encoding, time, *, target=None, reference=None, reference_time=None) -> Prediction:
        return Prediction(encoding.frame0 * (1 - time) + encoding.frame1 * time)


def black_and_white(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A frame of `Blend` between them has the time as its colour."""
    return np.zeros((height, width, 3), np.float32), np.ones((height, width, 3), np.float32)


# --- the app's own numbers


def published_masks() -> list[np.ndarray]:
    """Three masks of the image 30x45, with ones where the app pads it to 32x64."""
    images = (frame(30, 45, 0.0, 130 + i)[0, i].numpy() for i in range(3))
    return [np.pad(image > 0.52, ((0, 2), (0, 19)), constant_values=True) for image in images]


def test_curves_and_maps_equal_the_published_ones() -> None:
    timings = [timing([height / 100 for height in heights], 7, 0.1, 0.9) for heights in HEIGHTS]
    assert_near(torch.from_numpy(np.stack(timings)), CASE.arrays["curves"], 1e-6)
    maps = time_maps(published_masks(), timings)
    assert maps.dtype == np.float32
    assert_near(torch.from_numpy(maps), CASE.arrays["maps"], 1e-6)
    assert_near(torch.from_numpy(smooth(maps)), CASE.arrays["maps_blurred_sigma_1_7"], 1e-6)


def test_frames_are_made_between_the_published_anchors() -> None:
    schedule = CASE.info["whole_picture_mode_schedule"]
    assert len(schedule) == 9
    for count, expected in schedule.items():
        made = anchors(int(count))
        assert sorted(made) == [tuple(row) for row in expected]
        there = {0, int(count) - 1}
        for index, left, right in made:
            assert {left, right} <= there
            there.add(index)
        assert there == set(range(int(count)))
    assert anchors(1) == anchors(2) == []


def test_maps_are_averaged_over_objects_as_published() -> None:
    case = load("functions_InterpAny-Clearer", "masked_map")
    small = (frame(16, 24, 0.0, 74)[0, 0] > 0.55, frame(16, 24, 0.0, 75)[0, 1] > 0.5)
    masks = [mask.numpy().repeat(2, 0).repeat(2, 1) for mask in small]
    assert np.array_equal(np.stack(masks, axis=-1), case.arrays["masks"][..., :2] > 0)
    got = masked_average(frame(32, 48, 0.3, 76)[0, 0].numpy(), masks)
    assert_near(torch.from_numpy(got), case.arrays["masked_map"], 1e-6)


# --- properties


def test_a_curve_goes_through_its_heights_and_a_parabola_is_met_exactly() -> None:
    line = timing([0, 1], 5)
    assert line.tolist() == [0, 0.25, 0.5, 0.75, 1]
    for nodes in (3, 4, 6):
        parabola = timing([(i / (nodes - 1)) ** 2 for i in range(nodes)], 9)
        assert parabola == pytest.approx(np.linspace(0, 1, 9) ** 2, abs=1e-6)
    assert timing([0.3, 0.9], 1).tolist() == pytest.approx([0.3])


def test_the_first_mask_wins_and_pixels_in_none_follow_elsewhere() -> None:
    left, middle = np.zeros((2, 4), bool), np.zeros((2, 4), int)
    left[:, :2] = True
    middle[:, 1:3] = 1
    maps = time_maps([left, middle], [[0.1, 0.2], [0.5, 0.6]])
    assert maps[:, 0].tolist() == pytest.approx(np.array([[0.1, 0.1, 0.5, 0], [0.2, 0.2, 0.6, 0]]))
    maps = time_maps([left], [[0.1, 0.2]], elsewhere=[0.7, 0.8])
    assert maps[:, 1].tolist() == pytest.approx(np.array([[0.1, 0.1, 0.7, 0.7], [0.2, 0.2, 0.8, 0.8]]))


def test_an_average_over_masks_keeps_the_mean_and_flattens() -> None:
    plane = np.random.default_rng(0).random((6, 8), np.float32)
    half = np.zeros((6, 8), bool)
    half[:3] = True
    got = masked_average(plane, [half])
    assert got[:3] == pytest.approx(np.full((3, 8), plane[:3].mean()))
    assert got[3:] == pytest.approx(np.full((3, 8), plane[3:].mean()))
    assert masked_average(plane, []) == pytest.approx(np.full((6, 8), plane.mean()))


# --- frames


def test_each_object_moves_by_its_own_timing() -> None:
    model = Blend()
    frame0, frame1 = black_and_white(40, 48)
    resting, moving = np.zeros((40, 48), bool), np.zeros((40, 48), bool)
    resting[:, :16], moving[:, 16:32] = True, True
    got = manipulate(
        Interpolator(model), frame0, frame1, [resting, moving], [[0, 0], [0, 1]], 5, elsewhere=timing([0, 1], 5)
    )
    assert len(got) == 5
    assert model.encodings == 1
    for i, image in enumerate(got):
        inner = [image[20, column, 0] for column in (6, 24, 42)]  # blurred by less than five pixels
        assert inner == pytest.approx([0.1, 0.1 + 0.8 * i / 4, i / 4], abs=1e-6)


@pytest.mark.parametrize("recursive", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_networks_without_maps_make_whole_frames_that_are_put_together(recursive: bool, dtype: type) -> None:
    model = Blend()
    model.takes_time_map = False  # type: ignore[misc]
    white = 255 if dtype is np.uint8 else 1
    frame0, frame1 = (image.astype(dtype) * dtype(white) for image in black_and_white(40, 48))
    resting, moving = np.zeros((40, 48), bool), np.zeros((40, 48), bool)
    resting[:, :16], moving[:, 8:32] = True, True  # where they overlap, the first one counts
    got = compose(
        Interpolator(model, recursive=recursive), frame0, frame1, [resting, moving], [[1, 1], [0, 1]], 5,
        elsewhere=timing([1, 0], 5),
    )  # fmt: skip
    assert len(got) == 5
    for i, image in enumerate(got):
        assert image.dtype == dtype
        inner = [image[20, column, 0] / white for column in (6, 24, 42)]
        assert inner == pytest.approx([1, i / 4, 1 - i / 4], abs=0.6 / white if white > 1 else 1e-6)
        assert 0 <= image[20, 32, 0] / white <= 1


def test_still_timings_cost_nothing() -> None:
    model = Blend()
    frame0, frame1 = black_and_white(16, 16)
    got = compose(Interpolator(model), frame0, frame1, [np.ones((16, 16), bool)], [[0, 0, 0, 0]], 3)
    assert model.encodings == 0
    assert [np.array_equal(image, frame0) for image in got] == [True] * 3


@pytest.mark.parametrize("resting", [RED, BLUE])
def test_one_object_stands_still_while_the_other_moves(resting: int) -> None:
    """Shipped weights, measured by colour: where each is in every frame, in pixels from where it starts."""
    curves = {channel: STILL if channel == resting else MOVING for channel in (RED, BLUE)}
    clip = frames(curves[RED], curves[BLUE], 9)
    for channel, curve in curves.items():
        length = np.hypot(*WAYS[channel])
        along, across = (length * np.array(travelled(clip, channel))).T * [[1], [1 / length]]
        assert np.abs(along - length * timing(curve, 9, 0.1, 0.9)).max() < 0.7
        assert np.abs(across).max() < 0.4
        gone = along[-1] - along[0]
        if channel == resting:
            assert np.ptp(along) < 0.3
        else:
            assert gone == pytest.approx(0.8 * length, abs=0.6)
            assert (np.diff(along) > 0.2).all()  # of 0.5 in each frame


def test_colours_tell_where_the_objects_are() -> None:
    """The true frames, measured in the same way."""
    for channel, way in WAYS.items():
        for time in (0.25, 1.0):
            ((along, across),) = travelled([to_uint8(scene().render(time))], channel)
            assert along == pytest.approx(time, abs=0.02)
            assert across == pytest.approx(0, abs=0.02 * np.hypot(*way))


def test_curves_that_overshoot_are_kept_between_the_frames() -> None:
    frame0, frame1 = black_and_white(16, 16)
    everything = np.ones((16, 16), bool)
    got = manipulate(Interpolator(Blend()), frame0, frame1, [everything], [[0, 0, 2, 1, 1]], 9)
    colours = [image[8, 8, 0] for image in got]
    assert max(colours) == 1
    assert min(colours) == 0


@pytest.mark.parametrize("count", [1, 2, 3, 6, 9])
def test_a_whole_image_follows_its_curve_through_its_own_frames(count: int) -> None:
    frame0, frame1 = black_and_white(8, 8)
    slow_then_fast = [0, 0.1, 0.4, 1]
    got = retime(Interpolator(Blend()), frame0, frame1, slow_then_fast, count)
    assert got[0] is frame0
    assert count == 1 or got[-1] is frame1
    # Each frame is on the straight line between its anchors, so all of them are on the curve.
    assert [image[0, 0, 0] for image in got] == pytest.approx(timing(slow_then_fast, count), abs=1e-6)


def test_an_image_that_rests_between_anchors_stays_as_it_is() -> None:
    frame0, frame1 = black_and_white(8, 8)
    got = retime(Interpolator(Blend()), frame0, frame1, [0, 0], 5)
    assert [image[0, 0, 0] for image in got] == [0, 0, 0, 0, 1]  # the last frame is frame 1, whatever the curve


@pytest.mark.parametrize(
    ("masks", "timings", "message"),
    [
        ([], [], "got 0 masks and 0 timings"),
        ([np.ones((2, 2))], [[0.1], [0.2]], "got 1 masks and 2 timings"),
        ([np.ones((2, 2)), np.ones((2, 3))], [[0.1], [0.2]], "H W of one size"),
        ([np.ones((2, 2)), np.ones((2, 2))], [[0.1], [0.2, 0.3]], "equally long"),
        ([np.ones((1, 2, 2))], [[0.1]], "H W of one size"),
    ],
)
def test_what_does_not_fit_together_is_refused(masks: list, timings: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        time_maps(masks, timings)


def test_curves_of_one_height_and_networks_without_maps_are_refused() -> None:
    with pytest.raises(ValueError, match="two heights or more, for one frame or more; got 1 heights for 3 frames"):
        timing([0.5], 3)
    model = Blend()
    model.takes_time_map = False  # type: ignore[misc]
    frame0, frame1 = black_and_white(16, 16)
    with pytest.raises(ValueError, match="one time per sample, not a map"):
        manipulate(Interpolator(model), frame0, frame1, [np.ones((16, 16))], [[0, 1]], 3)
