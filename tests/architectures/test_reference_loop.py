"""The calls of a network: the steps from a reference, and rounds of frames between frames."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.helpers.golden_cases import assert_near, frame, load
from vfi_train.architectures import Architecture, Encoding
from vfi_train.architectures.layers.reference import known_reference
from vfi_train.contract import Prediction
from vfi_train.inference.interpolator import Interpolator
from vfi_train.inference.nested import insert_frames
from vfi_train.inference.padding import Padding, padded_size

SCHEDULES = load("functions_InterpAny-Clearer", "schedules").info


class Stepper(Architecture):
    """Goes on from the reference in a straight line to frame 1; records its calls."""

    family = "stepper"
    size_multiple = 8
    arbitrary_time = True
    takes_time_map = True
    takes_reference = True

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Tensor, Tensor, Tensor]] = []

    def encode(self, frame0: Tensor, frame1: Tensor, *, scale: float = 1.0) -> Encoding:
        return Encoding(frame0, frame1, scale)

    def decode(self, encoding, time, *, target=None, reference=None, reference_time=None) -> Prediction:
        image, known = known_reference(encoding.frame0, time, reference, reference_time)
        self.calls.append((time, known, image))
        return Prediction(image + (time - known) * (encoding.frame1 - encoding.frame0))


def pair() -> tuple[Tensor, Tensor]:
    """Frames of two colours: at time t the straight line has the colour t / 2."""
    return torch.zeros(1, 3, 8, 8), torch.full((1, 3, 8, 8), 0.5)


# --- the steps from a reference


@pytest.mark.parametrize("iterations", [1, 2, 3])
def test_steps_divide_the_way_as_published(iterations: int) -> None:
    model = Stepper()
    interpolator = Interpolator(model, iterations=iterations)
    time = 0.75
    assert_near(interpolator(*pair(), time), torch.full((1, 3, 8, 8), time / 2), 1e-6)
    fractions = SCHEDULES["reference_loop_fraction_pairs"][str(iterations)]
    assert len(model.calls) == len(fractions) == iterations
    for (to, known, image), (since, until) in zip(model.calls, fractions, strict=True):
        assert to.item() == pytest.approx(time * until, rel=1e-6)
        assert known.item() == pytest.approx(time * since, rel=1e-6)
        assert_near(image, torch.full((1, 3, 8, 8), time * since / 2), 1e-6)  # the last step's prediction


def test_steps_start_at_the_reference_that_is_given_and_go_pixel_by_pixel() -> None:
    model = Stepper()
    to, since = frame(8, 8, 0.0, 1)[:, :1], frame(8, 8, 1.0, 2)[:, :1]
    frame0, frame1 = pair()
    reference = since / 2 * torch.ones(1, 3, 1, 1)
    extras = {"reference": reference, "reference_time": since}
    got = Interpolator(model, iterations=4).predict(frame0, frame1, to, **extras)
    assert_near(got.frame, (to / 2).expand(1, 3, 8, 8), 1e-6)
    for step, (until, known, image) in enumerate(model.calls):
        assert_near(known, since + (to - since) * step / 4, 1e-6)
        assert_near(until, since + (to - since) * (step + 1) / 4, 1e-6)
        assert_near(image, (known / 2).expand(1, 3, 8, 8), 1e-6)
    assert_near(model.calls[0][2], reference, 0)


def test_each_time_has_steps_of_its_own() -> None:
    model = Stepper()
    Interpolator(model)(*pair(), [0.25, 1.0])
    assert [(to.item(), known.item()) for to, known, _ in model.calls] == [
        (0.125, 0.0), (0.25, 0.125), (0.5, 0.0), (1.0, 0.5),
    ]  # fmt: skip


def test_training_and_plain_calls_take_one_step() -> None:
    model = Stepper()
    model(*pair(), 0.5)
    model(*pair(), 0.5, reference=pair()[1], reference_time=1.0)
    assert [(to.item(), known.item()) for to, known, _ in model.calls] == [(0.5, 0.0), (0.5, 1.0)]


def test_steps_without_end_or_half_a_reference_are_refused() -> None:
    with pytest.raises(ValueError, match="iterations is a number of steps, 1 or more; got 0"):
        Interpolator(Stepper(), iterations=0)
    with pytest.raises(ValueError, match="belong together; got only `reference`: give both"):
        Interpolator(Stepper())(*pair(), 0.5, reference=pair()[0])


# --- rounds of frames between frames


@pytest.mark.parametrize("num", [[1], [3], [1, 1, 1], [1] * 7, [5, 5], [2, 3]])
def test_rounds_make_as_many_frames_as_published(num: list[int]) -> None:
    """A straight line shows where each frame lies: evenly spaced, whatever the rounds."""
    first, last = (f.double() for f in pair())
    got = list(insert_frames(Interpolator(Stepper().double()), [first, last], num))
    assert len(got) == SCHEDULES["frame_counts"][str(num)]
    assert got[0] is first
    assert got[-1] is last
    for i, image in enumerate(got):
        assert_near(image, torch.full((1, 3, 8, 8), 0.5 * i / (len(got) - 1)).double(), 1e-6)


def test_each_round_asks_between_the_frames_of_the_last() -> None:
    calls: list[tuple[float, float, list[float]]] = []

    def line(frame0: float, frame1: float, times: list[float]) -> list[float]:
        calls.append((frame0, frame1, times))
        return [frame0 + (frame1 - frame0) * time for time in times]

    got = list(insert_frames(line, iter([0.0, 1.0, 3.0]), [1, 2]))
    thirds = [1 / 3, 2 / 3]
    assert sorted(calls) == [
        (0.0, 0.5, thirds), (0.0, 1.0, [0.5]), (0.5, 1.0, thirds),
        (1.0, 2.0, thirds), (1.0, 3.0, [0.5]), (2.0, 3.0, thirds),
    ]  # fmt: skip
    assert got == pytest.approx([*(i / 6 for i in range(6)), *(1 + i / 3 for i in range(7))])


def test_eight_bit_frames_are_rounded_between_the_rounds() -> None:
    first, last = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 3, np.uint8)
    got = [image[0, 0, 0] for image in insert_frames(Interpolator(Stepper()), [first, last], [1, 1])]
    # 1.5 becomes 2, halfway to which is 1; halfway from it 2.5 becomes 2.
    assert got == [0, 1, 2, 2, 3]


def test_no_rounds_and_single_frames_come_back() -> None:
    first, last = pair()
    interpolator = Interpolator(Stepper())
    assert list(insert_frames(interpolator, [first, last], [])) == [first, last]
    assert list(insert_frames(interpolator, [first], [2])) == [first]


@pytest.mark.parametrize("num", [[0], [1, 1.5], ["2"]])
def test_other_rounds_are_refused(num: list) -> None:
    with pytest.raises(ValueError, match="insert lists whole numbers from 1"):
        insert_frames(Interpolator(Stepper()), pair(), num)


# --- padding


def test_padding_equals_the_published_one() -> None:
    rows = SCHEDULES["input_padder_left_right_top_bottom"]
    assert len(rows) == 7
    for key, expected in rows.items():
        height, width, multiple = map(int, key.replace("x", "/").split("/"))
        padded = padded_size((height, width), Stepper(), multiple=(multiple, multiple))
        p = Padding.between((height, width), padded)
        assert [p.left, p.right, p.top, p.bottom] == expected
