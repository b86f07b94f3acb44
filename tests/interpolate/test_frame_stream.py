"""From pairs to frames, with a network whose answers are known: order, batches, repeats, depth, memory."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from datamodules.storage.media import Frame
from tests.helpers.videos import Blend, MiddleBlend, frames, pan, texture
from vfi_train.architectures import create_model
from vfi_train.errors import UserError
from vfi_train.inference.batch_predictor import BatchPredictor
from vfi_train.inference.interpolator import Interpolator
from vfi_train.interpolate.frame_stream import FrameStream, Output
from vfi_train.interpolate.frame_times import Plan, make_plan
from vfi_train.interpolate.pairs import PairClassifier, largest_change, pairs, without_repeats


class Run:
    """The outputs for some frames, and what made them."""

    def __init__(
        self, model: Blend, given: list[Frame], wanted: Plan, *, thresholds: tuple = (16.0, 1.0), batch: int = 1,
        precision: str = "fp32", insert: list[int] | None = None, **options: Any,
    ) -> None:  # fmt: skip
        self.notes: list[str] = []
        self.model, self.interpolator = model, Interpolator(model, precision=precision, **options)
        predictor = BatchPredictor(self.interpolator, insert=insert, smaller_tiles=True, note=self.notes.append)
        self.stream = FrameStream(predictor, wanted, batch=batch, note=self.notes.append)
        items = pairs(given, wanted, PairClassifier(*thresholds))
        self.outputs: list[Output] = list(self.stream.outputs(items))
        self.counts = self.stream.counts


def blend(given: list[Frame], when: Fraction) -> np.ndarray:
    """What `Blend` answers at a time on the clock of frames at 24 per second."""
    place = min(when * 24, Fraction(len(given) - 1))
    index, time = int(place), float(place - int(place))
    after = given[min(index + 1, len(given) - 1)].image
    return given[index].image * (1 - time) + after * time


@pytest.mark.parametrize("batch", [1, 2, 3, 5])
@pytest.mark.parametrize("given", [{"factor": 3}, {"rate": 60}, {"rate": 24 * 7 / 5}, {"times": [0.25, 0.5]}])
def test_frames_come_in_order_and_show_their_time(given: dict, batch: int) -> None:
    inputs = frames(pan(8))
    run = Run(Blend(), inputs, make_plan(**given), batch=batch)
    wanted = make_plan(**given)
    planned = [p for a, b in pairwise(inputs) for p in wanted.between(a, b)]
    planned += wanted.after(inputs[-1], has_clock=False)
    assert [output.frame.time for output in run.outputs] == [p.appears for p in planned]
    for output in run.outputs:
        difference = np.abs(output.frame.image - blend(inputs, output.frame.time)).max()
        assert difference <= (0.5 + 1e-3 if output.frame.time * 24 % 1 else 0)
    between = sum(0 < p.time < 1 for p in planned)
    assert run.counts["predicted"] == run.model.frames == between


def test_a_pair_is_encoded_once_for_all_its_times() -> None:
    run = Run(Blend(), frames(pan(5)), make_plan(factor=8), batch=2)
    assert (run.model.pairs, run.model.frames) == (4, 28)


def test_frames_that_are_given_are_not_computed() -> None:
    inputs = frames(pan(3))
    run = Run(Blend(), inputs, make_plan(rate=12))
    assert [output.frame.image is inputs[2 * i].image for i, output in enumerate(run.outputs)] == [True, True]
    assert run.model.pairs == 0


def test_a_cut_is_not_blended_over() -> None:
    inputs = frames(pan(4, seed=1) + pan(4, seed=2))
    run = Run(Blend(), inputs, make_plan(factor=4))
    around = run.outputs[12:17]  # frame 3, three moments before the cut, frame 4
    for output in around[:4]:
        assert np.array_equal(output.frame.image, inputs[3].image)
    assert np.array_equal(around[4].frame.image, inputs[4].image)
    assert (run.counts["cut"], run.counts["moving"], run.counts["predicted"]) == (1, 6, 18)
    run = Run(Blend(), inputs, make_plan(factor=4), thresholds=(None, 1.0))
    assert run.counts["cut"] == 0
    assert np.abs(run.outputs[14].frame.image - blend(inputs, Fraction(14, 96))).max() <= 0.5


def test_still_pairs_are_not_computed_again() -> None:
    first, second = pan(2)
    noisy = first ^ (np.arange(first.size).reshape(first.shape) % 2).astype(np.uint8)  # half a level on average
    inputs = frames([first, first, noisy, second])
    run = Run(Blend(), inputs, make_plan(factor=2))
    assert (run.counts["static"], run.model.frames) == (2, 1)
    assert np.array_equal(run.outputs[1].frame.image, first)
    assert np.array_equal(run.outputs[3].frame.image, first)
    assert np.array_equal(run.outputs[4].frame.image, noisy)
    assert Run(Blend(), inputs, make_plan(factor=2), thresholds=(16.0, None)).model.frames == 3


def test_a_small_thing_that_moves_is_no_stillness() -> None:
    """A lip of 8x4 pixels in a 720p image changes the mean over the image by 0.002 levels."""
    first = np.full((720, 1280, 3), 90, np.uint8)
    second = first.copy()
    second[300:304, 600:608] = 40
    assert np.abs(first.astype(int) - second).mean() < 0.002
    assert largest_change(first, second) == pytest.approx(50 * 32 / 256, rel=0.1)
    assert largest_change(first.astype(np.uint16) * 257, second.astype(np.uint16) * 257) == pytest.approx(6.25, rel=0.1)


def test_repeated_frames_can_be_left_out() -> None:
    a, b, c = pan(3)
    kept = list(without_repeats(frames([a, a, b, b, b, c, c])))
    assert [frame.time * 24 for frame in kept] == [0, 2, 5, 6]
    run = Run(Blend(), kept, make_plan(rate=24))
    assert np.abs(run.outputs[3].frame.image - (b * (2 / 3) + c * (1 / 3))).max() <= 0.501


def test_sixteen_bits_stay_sixteen_bits() -> None:
    images = [(image.astype(np.uint16) * 257 + 13 * i).astype(np.uint16) for i, image in enumerate(pan(3))]
    inputs = frames(images)
    run = Run(Blend(), inputs, make_plan(times=[0.5]))
    for output, (first, second) in zip(run.outputs, pairwise(images), strict=True):
        assert output.frame.image.dtype == np.uint16
        assert np.abs(output.frame.image - (first.astype(float) + second) / 2).max() <= 0.51


# --- networks that give the middle frame alone, and rounds


def test_halving_reaches_powers_of_two_exactly_and_others_nearly() -> None:
    inputs = frames(pan(3))
    run = Run(MiddleBlend(), inputs, make_plan(factor=8), recursive=True)
    assert run.model.frames == 14
    for output in run.outputs:
        assert np.abs(output.frame.image - blend(inputs, output.frame.time)).max() <= 0.51
    near = Run(MiddleBlend(), inputs, make_plan(factor=5), recursive=True, recursion_depth=5).outputs
    for index, output in enumerate(near):  # 1/5, 2/5 ... become 6/32, 13/32, ...: the image of that time
        rounded = (index // 5 + Fraction([0, 6, 13, 19, 26][index % 5], 32)) / 24
        assert np.abs(output.frame.image - blend(inputs, rounded)).max() <= 0.51


def test_rounds_start_from_the_frames_of_the_round_before() -> None:
    inputs = frames(pan(3))
    wanted = make_plan(insert=[1, 2])
    run = Run(Blend(), inputs, wanted, insert=[1, 2])
    assert len(run.outputs) == 13
    assert run.model.pairs == 2 * 3  # the pair, then its two halves
    for output in run.outputs:
        assert np.abs(output.frame.image - blend(inputs, output.frame.time)).max() <= 0.51
    both = Run(Blend(), inputs, wanted, insert=[1, 2], batch=2).outputs
    assert all(np.array_equal(a.frame.image, b.frame.image) for a, b in zip(run.outputs, both, strict=True))


# --- precision and memory


@pytest.mark.parametrize(("precision", "most"), [("bf16", 4), ("fp16", 1)])
def test_half_precision_is_near_fp32(precision: str, most: int) -> None:
    model = create_model("ifrnet_tiny").eval()
    torch.manual_seed(0)
    inputs = frames(pan(2))
    exact = Run(model, inputs, make_plan(factor=2)).outputs
    rough = Run(model, inputs, make_plan(factor=2), precision=precision).outputs
    difference = np.abs(exact[1].frame.image.astype(int) - rough[1].frame.image)
    assert 0 < difference.max() <= most  # bfloat16 has eight bits, float16 eleven
    assert not torch.is_autocast_enabled("cpu")


class Hungry(Blend):
    """Wants an exabyte for more pixels than it was told."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def decode(self, encoding, time, **extras):
        if encoding.frame0.numel() > 3 * self.most:
            torch.empty(10**18)
        return super().decode(encoding, time, **extras)


def test_where_memory_runs_out_tiles_get_smaller() -> None:
    images = [texture(0, 300, 400), texture(1, 300, 400)]
    inputs = frames(images)
    run = Run(Hungry(200 * 200), inputs, make_plan(factor=4), thresholds=(None, None))
    assert run.interpolator.tile == (128, 128)
    assert run.notes == [f"memory ran out: going on with tiles of {n}x{n} pixels (tile={n})" for n in (224, 128)]
    for output in run.outputs:
        assert np.abs(output.frame.image - blend(inputs, output.frame.time)).max() <= 0.51


def test_where_memory_runs_out_batches_are_given_up_first() -> None:
    inputs = frames(pan(5))
    run = Run(Hungry(64 * 96), inputs, make_plan(factor=2), batch=4)
    assert run.notes == ["memory ran out: going on with one pair at a time (batch=1)"]
    assert (run.stream.batch, run.interpolator.tile, len(run.outputs)) == (1, None, 9)


def test_where_no_tile_is_small_enough_it_is_told() -> None:
    inputs = frames([texture(0, 300, 400), texture(1, 300, 400)])
    with pytest.raises(UserError, match="memory runs out even for tiles of 128x128 pixels"):
        Run(Hungry(100), inputs, make_plan(factor=2), thresholds=(None, None))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 0}, "batch=0 is not"),
        ({"precision": "fp8"}, "precision=fp8 is not known: did you mean 'fp32' or 'fp16'"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Run(Blend(), frames(pan(2)), make_plan(factor=2), **options)


class Laid(Blend):
    """Gives frames in a memory layout."""

    layout = torch.contiguous_format

    def decode(self, encoding, time, **extras):
        prediction = super().decode(encoding, time, **extras)
        return type(prediction)(prediction.frame.contiguous(memory_format=self.layout))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_images_lie_as_encoders_take_them(layout: torch.memory_format, dtype: Any) -> None:
    """The numbers are those of rounding in float32, whatever the layout of the network's frames."""
    model = Laid()
    model.layout = layout
    inputs = frames([(image.astype(dtype) * (257 if dtype == np.uint16 else 1)) for image in pan(2)])
    _, output, _ = Run(model, inputs, make_plan(factor=2), thresholds=(None, None)).outputs
    levels = np.float32(np.iinfo(dtype).max)
    x0, x1 = (torch.from_numpy(frame.image.astype(np.float32) / levels) for frame in inputs)
    expected = ((x0 * 0.5 + x1 * 0.5).clamp(0, 1) * float(levels)).round().numpy().astype(dtype)
    assert output.frame.image.dtype == dtype
    assert output.frame.image.flags.c_contiguous
    assert np.array_equal(output.frame.image, expected)
