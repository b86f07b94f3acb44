"""From pairs to frames, with a network whose answers are known: order, batches, repeats, depth, memory."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch

from tests.helpers.videos import Blend, MiddleBlend, frames, pan, texture
from vfi_train.architectures import create_model
from vfi_train.errors import UserError
from vfi_train.inference.interpolator import Interpolator
from vfi_train.interpolate.engine import Engine
from vfi_train.interpolate.frame_times import Plan, plan
from vfi_train.interpolate.media import Frame
from vfi_train.interpolate.pairs import Judge, largest_change, moving, pairs


def made(model, given: list[Frame], wanted: Plan, held: bool = False, judge: Judge | None = None, **options):
    """Outputs, and the engine after its work."""
    settings = {key: options.pop(key) for key in ("recursive", "tile", "tile_overlap") if key in options}
    engine = Engine(Interpolator(model, **settings), **options)
    return list(engine.outputs(pairs(given, wanted, judge or Judge(16.0, 1.0)), wanted, held)), engine


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
    outputs, engine = made(Blend(), inputs, plan(**given), batch=batch)
    wanted = plan(**given)
    moments = [m for a, b in pairwise(inputs) for m in wanted.between(a, b)]
    moments += wanted.after(inputs[-1], held=False)
    assert [output.frame.time for output in outputs] == [moment.when for moment in moments]
    for output in outputs:
        difference = np.abs(output.frame.image - blend(inputs, output.frame.time)).max()
        assert difference <= (0.5 + 1e-3 if output.frame.time * 24 % 1 else 0)
    between = sum(0 < moment.time < 1 for moment in moments)
    assert engine.counts["made"] == engine.interpolator.model.frames == between


def test_a_pair_is_encoded_once_for_all_its_times() -> None:
    _, engine = made(Blend(), frames(pan(5)), plan(factor=8), batch=2)
    assert (engine.interpolator.model.pairs, engine.interpolator.model.frames) == (4, 28)


def test_frames_that_are_given_are_not_computed() -> None:
    inputs = frames(pan(3))
    outputs, engine = made(Blend(), inputs, plan(rate=12))
    assert [output.frame.image is inputs[2 * i].image for i, output in enumerate(outputs)] == [True, True]
    assert engine.interpolator.model.pairs == 0


def test_a_cut_is_not_blended_over() -> None:
    inputs = frames(pan(4, seed=1) + pan(4, seed=2))
    outputs, engine = made(Blend(), inputs, plan(factor=4))
    around = outputs[12:17]  # frame 3, three moments before the cut, frame 4
    for output in around[:4]:
        assert np.array_equal(output.frame.image, inputs[3].image)
    assert np.array_equal(around[4].frame.image, inputs[4].image)
    assert (engine.counts["cut"], engine.counts["moving"], engine.counts["made"]) == (1, 6, 18)
    through, engine = made(Blend(), inputs, plan(factor=4), judge=Judge(None, 1.0))
    assert engine.counts["cut"] == 0
    assert np.abs(through[14].frame.image - blend(inputs, Fraction(14, 96))).max() <= 0.5


def test_still_pairs_are_not_computed_again() -> None:
    first, second = pan(2)
    noisy = first ^ (np.arange(first.size).reshape(first.shape) % 2).astype(np.uint8)  # half a level on average
    inputs = frames([first, first, noisy, second])
    outputs, engine = made(Blend(), inputs, plan(factor=2))
    assert (engine.counts["still"], engine.interpolator.model.frames) == (2, 1)
    assert np.array_equal(outputs[1].frame.image, first)
    assert np.array_equal(outputs[3].frame.image, first)
    assert np.array_equal(outputs[4].frame.image, noisy)
    assert made(Blend(), inputs, plan(factor=2), judge=Judge(16.0, None))[1].interpolator.model.frames == 3


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
    kept = list(moving(frames([a, a, b, b, b, c, c])))
    assert [frame.time * 24 for frame in kept] == [0, 2, 5, 6]
    outputs, _ = made(Blend(), kept, plan(rate=24))
    assert np.abs(outputs[3].frame.image - (b * (2 / 3) + c * (1 / 3))).max() <= 0.501


def test_sixteen_bits_stay_sixteen_bits() -> None:
    images = [(image.astype(np.uint16) * 257 + 13 * i).astype(np.uint16) for i, image in enumerate(pan(3))]
    inputs = frames(images)
    outputs, _ = made(Blend(), inputs, plan(times=[0.5]))
    for output, (first, second) in zip(outputs, pairwise(images), strict=True):
        assert output.frame.image.dtype == np.uint16
        assert np.abs(output.frame.image - (first.astype(float) + second) / 2).max() <= 0.51


# --- networks that give the middle frame alone, and rounds


def test_halving_reaches_powers_of_two_exactly_and_others_nearly() -> None:
    inputs = frames(pan(3))
    exact, engine = made(MiddleBlend(), inputs, plan(factor=8), recursive=True)
    assert engine.interpolator.model.frames == 14
    for output in exact:
        assert np.abs(output.frame.image - blend(inputs, output.frame.time)).max() <= 0.51
    near, _ = made(MiddleBlend(), inputs, plan(factor=5), recursive=True, recursion_depth=5)
    for index, output in enumerate(near):  # 1/5, 2/5 ... become 6/32, 13/32, ...: the image of that time
        rounded = (index // 5 + Fraction([0, 6, 13, 19, 26][index % 5], 32)) / 24
        assert np.abs(output.frame.image - blend(inputs, rounded)).max() <= 0.51


def test_rounds_start_from_the_frames_of_the_round_before() -> None:
    inputs = frames(pan(3))
    wanted = plan(insert=[1, 2])
    outputs, engine = made(Blend(), inputs, wanted, rounds=[1, 2])
    assert len(outputs) == 13
    assert engine.interpolator.model.pairs == 2 * 3  # the pair, then its two halves
    for output in outputs:
        assert np.abs(output.frame.image - blend(inputs, output.frame.time)).max() <= 0.51
    both, _ = made(Blend(), inputs, wanted, rounds=[1, 2], batch=2)
    assert all(np.array_equal(a.frame.image, b.frame.image) for a, b in zip(outputs, both, strict=True))


# --- precision and memory


@pytest.mark.parametrize(("precision", "most"), [("bf16", 4), ("fp16", 1)])
def test_half_precision_is_near_fp32(precision: str, most: int) -> None:
    model = create_model("ifrnet_tiny").eval()
    torch.manual_seed(0)
    inputs = frames(pan(2))
    exact, _ = made(model, inputs, plan(factor=2))
    rough, _ = made(model, inputs, plan(factor=2), precision=precision)
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
    notes: list[str] = []
    judge = Judge(None, None)
    outputs, engine = made(Hungry(200 * 200), inputs, plan(factor=4), judge=judge, note=notes.append)
    assert engine.interpolator.tile == (128, 128)
    assert notes == [f"memory ran out: going on with tiles of {n}x{n} pixels (tile={n})" for n in (224, 128)]
    for output in outputs:
        assert np.abs(output.frame.image - blend(inputs, output.frame.time)).max() <= 0.51


def test_where_memory_runs_out_batches_are_given_up_first() -> None:
    inputs = frames(pan(5))
    notes: list[str] = []
    outputs, engine = made(Hungry(64 * 96), inputs, plan(factor=2), batch=4, note=notes.append)
    assert notes == ["memory ran out: going on with one pair at a time (batch=1)"]
    assert (engine.batch, engine.interpolator.tile, len(outputs)) == (1, None, 9)


def test_where_no_tile_is_small_enough_it_is_told() -> None:
    inputs = frames([texture(0, 300, 400), texture(1, 300, 400)])
    with pytest.raises(UserError, match="memory runs out even for tiles of 128x128 pixels"):
        made(Hungry(100), inputs, plan(factor=2), judge=Judge(None, None))


@pytest.mark.parametrize(
    ("options", "message"), [({"batch": 0}, "batch=0 is not"), ({"precision": "fp8"}, "fp8 is not")]
)
def test_options_that_make_no_sense_are_refused(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Engine(Interpolator(Blend()), **options)
