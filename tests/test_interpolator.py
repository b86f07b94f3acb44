"""Interpolator: kinds of pictures, padding, channel order, recursion, test-time augmentation, tiles."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.golden_cases import assert_near, frame, load
from vfi_train.architectures import Architecture, Encoding, create_model
from vfi_train.contract import Prediction
from vfi_train.interpolator import Interpolator
from vfi_train.padding import Padding, padded_size
from vfi_train.tiling import Tiles


class Mean(Architecture):
    """time * frame1 + (1 - time) * frame0, and a flow that counts columns; remembers what it was asked."""

    family = "mean"
    size_multiple = 8
    min_size = 16
    arbitrary_time = True
    takes_time_map = True

    def __init__(self) -> None:
        super().__init__()
        self.encodings: list[Encoding] = []

    def encode(self, frame0: Tensor, frame1: Tensor, *, scale: float = 1.0) -> Encoding:
        self.encodings.append(Encoding(frame0, frame1, scale))
        return self.encodings[-1]

    def decode(self, encoding, time, *, target=None, reference=None, reference_time=None) -> Prediction:
        blend = encoding.frame0 * (1 - time) + encoding.frame1 * time
        if reference is not None:
            blend = blend + reference_time * (reference - blend)
        columns = torch.arange(blend.shape[-1]).expand(blend.shape[0], 2, *blend.shape[-2:]).float()
        small = [columns[..., ::2, ::2] / 2, columns]
        return Prediction(
            blend,
            merged=[blend],
            warped0=[encoding.frame0],
            flow0=small,
            flow1=small,
            features=[blend],
            residual=blend * 0,
        )


class ReferencedMean(Mean):
    takes_reference = True


class FixedMean(Mean):
    arbitrary_time = False
    channel_order = "bgr"


def pair(height: int, width: int, batch: int = 1) -> tuple[Tensor, Tensor]:
    return frame(height, width, 0.0, 3, batch), frame(height, width, 1.0, 3, batch)


# --- kinds of pictures


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.float16])
@pytest.mark.parametrize("batch", [None, 2])
def test_numpy_pictures_come_back_as_they_came(dtype: type, batch: int | None) -> None:
    pictures = [f.movedim(1, -1).numpy() for f in pair(20, 30, batch or 1)]
    if dtype == np.uint8:
        pictures = [np.round(255 * p) for p in pictures]
    frame0, frame1 = ((p if batch else p[0]).astype(dtype) for p in pictures)
    got = Interpolator(Mean())(frame0, frame1, 0.25)
    assert isinstance(got, np.ndarray)
    assert got.dtype == dtype
    expected = 0.75 * frame0.astype(np.float64) + 0.25 * frame1.astype(np.float64)
    tolerance = {np.uint8: 0.5001, np.float16: 1e-3}.get(dtype, 1e-6)
    assert_near(torch.from_numpy(got.astype(np.float64)), expected, tolerance)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("batch", [None, 2])
def test_torch_pictures_come_back_as_they_came(dtype: torch.dtype, batch: int | None) -> None:
    pictures = pair(20, 30, batch or 1)
    if dtype == torch.uint8:
        pictures = tuple((255 * p).round() for p in pictures)
    frame0, frame1 = ((p if batch else p[0]).to(dtype) for p in pictures)
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
        (np.zeros((16, 16, 4), np.uint8), r"RGB pictures.*\(16, 16, 4\)"),
        (np.zeros((16, 16), np.uint8), "RGB pictures"),
        (np.zeros((16, 16, 3), np.int64), "int64"),
        (np.full((16, 16, 3), 128.0), "divide by 255"),
        (np.full((16, 16, 3), np.nan), "divide by 255"),
        ([[0]], "got list"),
    ],
)
def test_unusable_pictures_are_refused_with_one_sentence(frame0: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Interpolator(Mean())(frame0, frame0)


def test_frames_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="two frames of one shape"):
        Interpolator(Mean())(np.zeros((16, 16, 3), np.uint8), np.zeros((24, 16, 3), np.uint8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"padding": "wrap"}, "padding is one of"),
        ({"padding_side": "left"}, "padding_side is one of"),
        ({"tta": "columns"}, "tta is one of"),
        ({"scale": 0}, "scale is a factor above 0"),
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


# --- padding


@pytest.mark.parametrize("case", ["AMT", "ATM-VFI", "EMA-VFI", "IFRNet"])
def test_padding_amounts_equal_the_published_padders(case: str) -> None:
    rows = published_padding(case)
    assert len(rows) > 5
    for height, width, divisor, *expected in rows:
        padded = padded_size((height, width), Mean(), multiple=(divisor, divisor))
        p = Padding.between((height, width), padded)
        assert [p.left, p.right, p.top, p.bottom] == expected


def published_padding(case: str) -> list[list[int]]:
    folder = f"functions_{case}"
    if case == "AMT":
        return [list(row.values()) for row in load(folder, "padder").info["table"]]
    if case == "EMA-VFI":
        return load(folder, "padder").info["rows"]
    if case == "IFRNet":
        rows = load(folder, "snu_film_padding").info["rows"]
        return [[r["height"], r["width"], 20, r["left"], r["right"], r["top"], r["bottom"]] for r in rows]
    table = load(folder, "padding").info["table"]
    return [[*map(int, key.replace("x", "/").split("/")), *value] for key, value in table.items()]


def test_padded_pixels_equal_the_published_padders() -> None:
    example = load("functions_EMA-VFI", "padder").tensor("example")
    x = torch.arange(35.0).view(1, 1, 5, 7)
    assert_near(Padding.between((5, 7), (8, 8)).pad(x), example, 0)
    padded = load("functions_ATM-VFI", "padding").tensor("padded")
    assert_near(Padding.between((5, 7), (8, 8)).pad(frame(5, 7, 0.0, 1)), padded, 0)


@pytest.mark.parametrize("mode", ["replicate", "zeros", "reflect"])
@pytest.mark.parametrize("side", ["center", "right_bottom"])
def test_padding_is_undone(mode: str, side: str) -> None:
    x = frame(13, 18, 0.0)
    padding = Padding.between((13, 18), (16, 24), mode, side)
    padded = padding.pad(x)
    assert padded.shape[-2:] == (16, 24)
    assert_near(padding.crop(padded), x, 0)
    if side == "right_bottom":
        assert_near(padded[..., :13, :18], x, 0)
    corner = {"replicate": x[..., -1, -1], "zeros": 0 * x[..., 0, 0], "reflect": x[..., -2, -2]}[mode]
    assert_near(padded[..., 12 + padding.top + 1, 17 + padding.left + 1], corner, 0)


def test_small_frames_cannot_be_reflected_far() -> None:
    with pytest.raises(ValueError, match="too small to be reflected"):
        Interpolator(Mean(), padding="reflect")(*pair(5, 20))


@pytest.mark.parametrize(
    ("size", "scale", "expected"),
    [
        ((16, 16), 1.0, (16, 16)),
        ((17, 30), 1.0, (32, 32)),
        ((1, 1), 1.0, (16, 16)),
        ((100, 140), 0.8, (100, 140)),  # IFRNet and AMT on SNU-FILM: multiples of 20
        ((101, 141), 0.8, (120, 160)),
        ((100, 100), 0.5, (128, 128)),
        ((1080, 1920), 16 / 22, (1100, 1936)),  # AMT's demo: divisor 22
        ((100, 100), 2.0, (104, 104)),
        ((50, 60), 16 / 49, (245, 245)),  # 49 * (16 / 49) is floored to 15, 98 and 196 likewise
    ],
)
def test_padded_size_is_a_multiple_after_scaling(size: tuple, scale: float, expected: tuple) -> None:
    assert padded_size(size, create_model("ifrnet_tiny"), scale) == expected


@pytest.mark.parametrize(("scale", "expected"), [(2.0, 128), (1.0, 128), (0.8, 160), (0.5, 128), (0.25, 128)])
def test_networks_that_also_work_at_full_size_get_multiples_there(scale: float, expected: int) -> None:
    """RIFE: multiples of max(32, 32 / scale)."""
    model = Mean()
    model.size_multiple = model.full_size_multiple = model.min_size = 32
    assert padded_size((100, 100), model, scale) == (expected, expected)
    with pytest.raises(ValueError, match="before scaling too; got 40x40"):
        model.check(*pair(40, 40), scale=0.8)


def test_a_scale_that_fits_no_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"take a scale of 8/n, for example 8/13"):
        Interpolator(Mean(), scale=0.61803)(*pair(16, 16))


def test_amt_demo_scales_are_met() -> None:
    """The published rule's scale and divisor (AMT demo) lead to the same padded size."""
    for row in load("functions_AMT", "demo_scale").info["table"]:
        size, d = (row["height"], row["width"]), row["divisor"]
        expected = tuple(-(-n // d) * d for n in size)
        assert padded_size(size, create_model("ifrnet_tiny"), row["scale"]) == expected


def test_a_canvas_of_its_own_size() -> None:
    """Middlebury: any frame on a 480x640 canvas of zeros, top left."""
    model = Mean()
    options = {"padding": "zeros", "padding_side": "right_bottom", "padding_multiple": (48, 64)}
    frame0, frame1 = pair(30, 50)
    Interpolator(model, **options)(frame0, frame1)
    seen = model.encodings[0].frame0
    assert seen.shape[-2:] == (48, 64)
    assert_near(seen[..., :30, :50], frame0, 0)
    assert seen[..., 30:, :].abs().max() == 0


def test_full_size_fields_are_cropped_and_coarse_ones_kept() -> None:
    got = Interpolator(Mean()).predict(*pair(20, 27))
    assert got.frame.shape == got.merged[0].shape == got.residual.shape == (1, 3, 20, 27)
    assert got.flow0[1].shape == (1, 2, 20, 27)
    assert got.flow0[0].shape == (1, 2, 12, 16)
    assert got.features[0].shape == (1, 3, 24, 32)
    assert got.flow0[1][0, 0, 0, 0] == 2  # the crop starts at the third padded column


def test_maps_and_references_are_padded_with_the_frames() -> None:
    frame0, frame1 = pair(20, 27)
    plane = frame(20, 27, 0.5)[:, :1]
    reference = frame(20, 27, 0.2)
    network = Interpolator(ReferencedMean(), padding="zeros", iterations=1)
    got = network(frame0, frame1, [plane], reference=reference, reference_time=0.25 * plane)[0]
    blend = frame0 * (1 - plane) + frame1 * plane
    assert_near(got, blend + 0.25 * plane * (reference - blend), 1e-6)
    flat = network(frame0, frame1, [plane[0, 0].numpy()], reference=reference, reference_time=0.25 * plane[:, 0])
    assert_near(flat[0], got, 0)


@pytest.mark.parametrize("multiple", [None, 20])
def test_ifrnet_on_padded_frames_equals_the_network_on_frames_padded_by_hand(multiple: int | None) -> None:
    model = create_model("ifrnet_tiny").eval()
    frame0, frame1 = pair(75, 90)
    hand = [torch.nn.functional.pad(f, (5, 5, 2, 3), mode="replicate") for f in (frame0, frame1)]
    with torch.no_grad():
        expected = model(*hand, 0.3, scale=0.8).frame[..., 2:-3, 5:-5]
    got = Interpolator(model, scale=0.8, padding_multiple=multiple)
    assert_near(got(frame0, frame1, 0.3), expected, 1e-6)


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
    with pytest.raises(ValueError, match="middle frame alone"):
        Interpolator(FixedMean())(*pair(16, 16), 0.25)


# --- several times as one batch


@pytest.mark.parametrize("name", ["ifrnet_tiny", "amt_s", "ema_vfi_small_t", "rife_m", "atm_vfi_lite_t"])
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
@pytest.mark.parametrize(("tta", "dims"), [(True, (-2, -1)), ("turn", (-2, -1)), ("rows", (-2,))])
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


# --- tiles


class Blur(Mean):
    """A mean of frames blurred over 5x5 pixels: an answer that depends on a small surrounding alone."""

    def decode(self, encoding, time, *, target=None, reference=None, reference_time=None) -> Prediction:
        blend = encoding.frame0 * (1 - time) + encoding.frame1 * time
        padded = torch.nn.functional.pad(blend, (2, 2, 2, 2), mode="replicate")
        return Prediction(torch.nn.functional.avg_pool2d(padded, 5, stride=1))


@pytest.mark.parametrize("size", [(64, 64), (150, 64), (131, 203)])
@pytest.mark.parametrize(("tile", "overlap"), [(64, 16), ((48, 80), 12), (40, 36)])
def test_tiles_leave_no_seams(size: tuple, tile: int | tuple, overlap: int) -> None:
    """Tiles equal the whole where the network looks no further than a quarter of the overlap."""
    frame0, frame1 = pair(*size)
    times = [0.25, 0.5]
    expected = Interpolator(Blur())(frame0, frame1, times)
    got = Interpolator(Blur(), tile=tile, tile_overlap=overlap)(frame0, frame1, times)
    for one, other in zip(got, expected, strict=True):
        assert_near(one, other, 1e-6)


def test_tiles_take_the_maps_of_their_window() -> None:
    frame0, frame1 = pair(70, 90)
    plane, reference = frame(70, 90, 0.5)[:, :1], frame(70, 90, 0.2)
    extras = {"reference": reference, "reference_time": plane * 0.5}
    expected = Interpolator(ReferencedMean())(frame0, frame1, [plane], **extras)[0]
    got = Interpolator(ReferencedMean(), tile=40, tile_overlap=10)(frame0, frame1, [plane], **extras)[0]
    assert_near(got, expected, 1e-6)


@pytest.mark.parametrize(("height", "width"), [(100, 100), (131, 203), (300, 64), (65, 64), (720, 1280)])
def test_windows_cover_the_frame_and_overlap_enough(height: int, width: int) -> None:
    tiles = Tiles(height, width, (64, 80), 16)
    windows = list(tiles.windows())
    weights, covered = torch.zeros(height, width), torch.zeros(height, width)
    for rows, columns in windows:
        assert (rows.stop - rows.start, columns.stop - columns.start) == (min(64, height), min(80, width))
        weights[rows, columns] += tiles.weight(rows, columns, weights)
        covered[rows, columns] += 1
    assert covered.min() >= 1
    assert weights.min() >= 0.25
    starts = sorted({rows.start for rows, _ in windows})
    assert all(b - a <= 64 - 16 for a, b in pairwise(starts))


def test_tiles_must_be_larger_than_their_overlap() -> None:
    with pytest.raises(ValueError, match="cannot overlap by 64"):
        Interpolator(Mean(), tile=64)(*pair(80, 80))


def test_weights_are_loaded_through_the_weights_package(tmp_path: Path) -> None:
    source, path = create_model("ifrnet_tiny").eval(), tmp_path / "tiny.pth"
    torch.save(source.state_dict(), path)
    frames = pair(16, 16)
    got = Interpolator("ifrnet_tiny", weights=path)
    assert_near(got(*frames), Interpolator(source)(*frames), 0)
