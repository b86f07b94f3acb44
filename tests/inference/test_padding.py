"""Padding: sizes and pixels of the published padders, and that it is undone."""

from __future__ import annotations

import pytest
import torch

from tests.helpers.golden_cases import assert_near, frame, load
from tests.helpers.mean_networks import Mean, ReferencedMean, pair
from vfi_train.architectures import create_model
from vfi_train.inference.interpolator import Interpolator
from vfi_train.inference.padding import Padding, padded_size


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


@pytest.mark.parametrize("mode", ["replicate", "zeros", "reflect", 0.5])
@pytest.mark.parametrize("side", ["center", "right_bottom"])
def test_padding_is_undone(mode: str | float, side: str) -> None:
    x = frame(13, 18, 0.0)
    padding = Padding.between((13, 18), (16, 24), mode, side)
    padded = padding.pad(x)
    assert padded.shape[-2:] == (16, 24)
    assert_near(padding.crop(padded), x, 0)
    if side == "right_bottom":
        assert_near(padded[..., :13, :18], x, 0)
    zero = 0 * x[..., 0, 0]
    corner = {"replicate": x[..., -1, -1], "zeros": zero, "reflect": x[..., -2, -2], 0.5: zero + 0.5}[mode]
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
