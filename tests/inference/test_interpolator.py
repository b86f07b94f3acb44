"""Interpolator: kinds of images, channel order, recursion, several times at once, test-time augmentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.golden_cases import assert_near, frame, load
from tests.helpers.mean_networks import FixedMean, Mean, ReferencedMean, pair
from vfi_train.architectures import create_model
from vfi_train.inference.interpolator import Interpolator

# --- kinds of images


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.float16])
@pytest.mark.parametrize("batch", [None, 2])
def test_numpy_images_come_back_as_they_came(dtype: type, batch: int | None) -> None:
    images = [f.movedim(1, -1).numpy() for f in pair(20, 30, batch or 1)]
    if dtype == np.uint8:
        images = [np.round(255 * p) for p in images]
    frame0, frame1 = ((p if batch else p[0]).astype(dtype) for p in images)
    got = Interpolator(Mean())(frame0, frame1, 0.25)
    assert isinstance(got, np.ndarray)
    assert got.dtype == dtype
    expected = 0.75 * frame0.astype(np.float64) + 0.25 * frame1.astype(np.float64)
    tolerance = {np.uint8: 0.5001, np.float16: 1e-3}.get(dtype, 1e-6)
    assert_near(torch.from_numpy(got.astype(np.float64)), expected, tolerance)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("batch", [None, 2])
def test_torch_images_come_back_as_they_came(dtype: torch.dtype, batch: int | None) -> None:
    images = pair(20, 30, batch or 1)
    if dtype == torch.uint8:
        images = tuple((255 * p).round() for p in images)
    frame0, frame1 = ((p if batch else p[0]).to(dtype) for p in images)
    got = Interpolator(Mean())(frame0, frame1, 0.25)
    assert got.dtype == dtype
    expected = 0.75 * frame0.double() + 0.25 * frame1.double()
    tolerance = {torch.uint8: 0.5001, torch.bfloat16: 4e-3}.get(dtype, 1e-6)
    assert_near(got, expected, tolerance)


def test_several_times_give_a_list_from_one_encoding() -> None:
    model = Mean()
    frame0, frame1 = pair(16, 16)
    got = Interpolator(model)(frame0, frame1, [0.25, 0.5, 0.75])
    assert isinstance(got, list)
    assert len(model.encodings) == 1
    for time, one in zip((0.25, 0.5, 0.75), got, strict=True):
        assert_near(one, (1 - time) * frame0 + time * frame1, 1e-6)
    assert len(Interpolator(model)(frame0, frame1, np.array([0.5]))) == 1
    for half in (np.float32(0.5), torch.tensor(0.5), np.full((16, 16), 0.5)):
        assert_near(Interpolator(model)(frame0, frame1, half), got[1], 0)
    with pytest.raises(ValueError, match="no times are given"):
        Interpolator(model)(frame0, frame1, [])


@pytest.mark.parametrize(
    ("frame0", "message"),
    [
        (np.zeros((16, 16, 4), np.uint8), r"RGB images.*\(16, 16, 4\)"),
        (np.zeros((16, 16), np.uint8), "RGB images"),
        (np.zeros((16, 16, 3), np.int64), "int64"),
        (np.full((16, 16, 3), 128.0), "divide by 255"),
        (np.full((16, 16, 3), np.nan), "divide by 255"),
        ([[0]], "got list"),
    ],
)
def test_unusable_images_are_refused_with_one_sentence(frame0: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Interpolator(Mean())(frame0, frame0)


def test_frames_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="two frames of one shape"):
        Interpolator(Mean())(np.zeros((16, 16, 3), np.uint8), np.zeros((24, 16, 3), np.uint8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"padding": "wrap"}, "padding is one of"),
        ({"padding": 1.5}, r"padding is one of .* a value from 0 to 1 \(0.5: grey\); got 1.5"),
        ({"padding_side": "left"}, "padding_side is one of"),
        ({"tta": "columns"}, "tta is one of"),
        ({"scale": 0}, "scale=0 is not a factor above 0"),
    ],
)
def test_unknown_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Interpolator(Mean(), **options)


def test_times_are_decoded_one_after_the_other() -> None:
    model = Mean()
    answers = Interpolator(model).stream(*pair(16, 16), [0.25, 0.5])
    assert next(answers).frame.shape == (1, 3, 16, 16)
    model.decode = None  # type: ignore[assignment]
    with pytest.raises(TypeError):
        next(answers)


def test_training_mode_comes_back_and_prediction_is_made_in_evaluation_mode() -> None:
    model = create_model("ifrnet_tiny").train()
    frame0, frame1 = pair(16, 16)
    got = Interpolator(model)(frame0, frame1)
    assert model.training
    assert not got.requires_grad


def test_weights_are_loaded_through_the_weights_package(tmp_path: Path) -> None:
    source, path = create_model("ifrnet_tiny").eval(), tmp_path / "tiny.pth"
    torch.save(source.state_dict(), path)
    frames = pair(16, 16)
    got = Interpolator("ifrnet_tiny", weights=path)
    assert_near(got(*frames), Interpolator(source)(*frames), 0)


# --- channel order


def test_bgr_networks_see_bgr_and_answer_rgb() -> None:
    model = FixedMean()
    frame0, frame1 = pair(16, 16)
    got = Interpolator(model).predict(frame0, frame1)
    assert_near(model.encodings[0].frame0, frame0[:, [2, 1, 0]], 0)
    for seen in (got.frame, got.merged[0]):
        assert_near(seen, (frame0 + frame1) / 2, 1e-6)
    assert_near(got.warped0[0], frame0, 0)


# --- recursion


def test_recursion_equals_the_published_demo() -> None:
    case = load("amt_s", "recursion2_128x128")
    frames = [frame(128, 128, phase, 6) for phase in (0.0, 1.0)]
    got = Interpolator(case.model().eval(), recursive=True)(*frames, [0, 0.25, 0.5, 0.75, 1])
    for i, one in enumerate(got):
        blocks = torch.nn.functional.avg_pool2d(one, 8)
        assert_near(blocks, case.arrays[f"frame{i}_block8_mean"], 1e-4, f"frame {i}")


def test_recursion_makes_each_frame_once() -> None:
    model = FixedMean()
    frame0, frame1 = pair(16, 16)
    got = Interpolator(model, recursive=True)(frame0, frame1, [0.125, 0.25, 0.75, 1.0])
    assert len(model.encodings) == 4  # 1/2, 1/4, 1/8, 3/4
    for time, one in zip([0.125, 0.25, 0.75, 1.0], got, strict=True):
        assert_near(one, (1 - time) * frame0 + time * frame1, 1e-6)


@pytest.mark.parametrize("time", [0.3, 1 / 3, 1.5, -0.25])
def test_recursion_refuses_times_that_halving_does_not_reach(time: float) -> None:
    with pytest.raises(ValueError, match=r"k / 2\^n.*take"):
        Interpolator(FixedMean(), recursive=True)(*pair(16, 16), time)


def test_a_fixed_time_model_refuses_another_time() -> None:
    with pytest.raises(ValueError, match="only the middle frame"):
        Interpolator(FixedMean())(*pair(16, 16), 0.25)


# --- several times as one batch


@pytest.mark.parametrize(
    "name",
    [
        "ifrnet_tiny",
        "amt_s",
        *(pytest.param(x, marks=pytest.mark.slow) for x in ("ema_vfi_small_t", "rife_m", "atm_vfi_lite_t")),
    ],
)
def test_times_at_once_are_the_times_one_by_one(name: str) -> None:
    torch.manual_seed(0)
    model, times = create_model(name).eval(), [0.25, 0.5, 0.75]
    frames = pair(128, 128, batch=2)
    one_by_one = list(Interpolator(model).stream(*frames, times))
    calls: list[int] = []
    decode = model.decode
    model.decode = lambda *given, **more: calls.append(1) or decode(*given, **more)  # type: ignore[method-assign]
    for at_once, expected_calls in ((3, 1), (2, 2)):
        calls.clear()
        with torch.no_grad():
            got = list(Interpolator(model, times_at_once=at_once).stream(*frames, times))
        assert len(calls) == expected_calls
        for mine, wanted in zip(got, one_by_one, strict=True):
            assert_near(mine.frame, wanted.frame.detach(), 1e-5)
            assert_near(mine.flow1[-1], wanted.flow1[-1].detach(), 1e-3)
    assert not torch.equal(one_by_one[0].flow1[-1], one_by_one[2].flow1[-1])  # times matter


def test_times_at_once_may_be_numbers_beside_maps_and_are_one_or_more() -> None:
    frames, plane = pair(16, 16, batch=2), torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    alone, together = (
        [p.frame for p in Interpolator(Mean(), times_at_once=count).stream(*frames, [0.3, plane])] for count in (1, 2)
    )
    assert_near(torch.stack(together), torch.stack(alone), 1e-6)
    with pytest.raises(ValueError, match="times_at_once is a number of times, 1 or more; got 0"):
        Interpolator(Mean(), times_at_once=0)


# --- test-time augmentation


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize(("tta", "dims"), [(True, (-2, -1)), ("flip_hw", (-2, -1)), ("flip_h", (-2,))])
def test_augmentation_is_the_mean_over_flips(tta: bool | str, dims: tuple, batched: bool) -> None:
    model = create_model("ifrnet_tiny").eval()
    frame0, frame1 = pair(32, 48, batch=2)
    plain = Interpolator(model)
    expected = (plain(frame0, frame1, 0.3) + plain(frame0.flip(dims), frame1.flip(dims), 0.3).flip(dims)) / 2
    got = Interpolator(model, tta=tta, tta_batched=batched)
    assert_near(got(frame0, frame1, 0.3), expected, 1e-6)
    prediction = got.predict(frame0, frame1, 0.3)
    assert_near(prediction.flow0[-1], plain.predict(frame0, frame1, 0.3).flow0[-1], 1e-5)


@pytest.mark.parametrize("batched", [True, False])
def test_augmentation_flips_maps_and_references_too(batched: bool) -> None:
    """Mean answers pixel by pixel, so that flipping all inputs changes nothing."""
    frame0, frame1 = pair(20, 27)
    plane, reference = frame(20, 27, 0.5)[:, :1], frame(20, 27, 0.2)
    extras = {"reference": reference, "reference_time": plane * 0.5}
    expected = Interpolator(ReferencedMean())(frame0, frame1, [plane], **extras)[0]
    got = Interpolator(ReferencedMean(), tta=True, tta_batched=batched)(frame0, frame1, [plane], **extras)[0]
    assert_near(got, expected, 1e-6)
