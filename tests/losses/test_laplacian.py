"""The Laplacian loss against the goldens of the four repositories that have it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from losses import LossSet
from losses.laplacian import Laplacian, LaplacianPyramid
from tests.helpers.golden_cases import assert_near, frame, load
from vfi_train.contract import Batch, Prediction


def loss(prediction: torch.Tensor, target: torch.Tensor, **options: object) -> torch.Tensor:
    return Laplacian(**options)(Prediction(frame=prediction), Batch(target=target))


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 64), (64, 160)])
def test_bands_and_loss_of_ema_vfi(height: int, width: int) -> None:
    case = load("functions_EMA-VFI", "laplacian_loss")
    a, b = frame(height, width, 0, 5, 2), frame(height, width, 1, 5, 2)
    pyramid = LaplacianPyramid()
    pairs = zip(pyramid(a, 5), pyramid(b, 5), strict=True)
    bands = torch.stack([(band_a - band_b).abs().mean() for band_a, band_b in pairs])
    torch.testing.assert_close(bands, case.tensor(f"levels_{height}x{width}"), rtol=1e-5, atol=0)
    torch.testing.assert_close(loss(a, b), case.tensor(f"loss_{height}x{width}")[0], rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("folder", "name", "image", "keys"),
    [
        (
            "functions_EMA-VFI",
            "laplacian_loss",
            (64, 64, 0, 5, 2),
            [f"pyramid64_level{k}_img0" for k in range(5)],
        ),
        ("functions_RIFE", "laplacian_loss", (64, 64, 0, 43, 2), [f"level{k}" for k in range(5)]),
        ("functions_ATM-VFI", "laplacian_bands", (96, 128, 0, 7, 2), [f"band{k}" for k in range(3)]),
    ],
)
def test_bands(folder: str, name: str, image: tuple[int, ...], keys: list[str]) -> None:
    case = load(folder, name)
    image = frame(*image)[:1]
    if folder == "functions_ATM-VFI":
        image = image[:, :, :32, :48]
    for key, band in zip(keys, LaplacianPyramid()(image, len(keys)), strict=True):
        assert_near(band, case.tensor(key).reshape(band.shape), 1e-6, key)


def test_loss_of_rife_and_interpany() -> None:
    case = load("functions_RIFE", "laplacian_loss")
    got = loss(frame(64, 64, 0, 43, 2), frame(64, 64, 1, 43, 2))
    assert got.item() == pytest.approx(case.info["loss"], rel=1e-5)
    case = load("functions_InterpAny-Clearer", "losses_and_metrics")
    got = loss(frame(64, 96, 0, 77, 2), frame(64, 96, 0.35, 77, 2))
    assert got.item() == pytest.approx(case.info["laplacian_5_levels"], rel=1e-5)


@pytest.mark.parametrize("levels", [2, 3, 4, 5])
def test_fewer_levels(levels: int) -> None:
    case = load("functions_ATM-VFI", "losses")
    got = loss(frame(96, 128, 0, 7, 2), frame(96, 128, 0.5, 7, 2), levels=levels)
    assert got.item() == pytest.approx(case.info["values"][f"lap_{levels}"], rel=1e-5)


@pytest.mark.parametrize(("name", "scales", "later_levels"), [("five_scales", 5, 2), ("four_scales", 4, 3)])
def test_blends_of_all_scales(name: str, scales: int, later_levels: int) -> None:
    golden = load("functions_ATM-VFI", "losses").info["criterion"][name]
    image, target = frame(128, 192, 0.0, 9, 2), frame(128, 192, 0.5, 9, 2)
    blends = [image]
    for _ in range(scales - 1):
        blends.append(F.interpolate(blends[-1], scale_factor=0.5, mode="bilinear", align_corners=True))
    prediction = Prediction(frame=image, merged=blends[::-1])
    for levels, (main, warping, total) in zip((5, later_levels), golden, strict=True):
        terms = LossSet(
            {"main": Laplacian(levels=levels), "warping": Laplacian(0.25, "merged", levels=[5, 5, 4, 3, 2])}
        )
        got = terms(prediction, Batch(target=target))
        expected = {"main": main, "warping": warping, "total": total}
        assert {k: v.item() for k, v in got.items()} == pytest.approx(expected, rel=1e-5)


def test_gradient() -> None:
    a, b = (frame(16, 24, phase, 1).double() for phase in (0.0, 1.0))
    a.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, b, levels=2), (a,), fast_mode=True)


def test_only_the_low_pass_image_is_free() -> None:
    image = frame(64, 64, 0)
    assert loss(image, image).item() == 0
    assert loss(image + 0.25, image).item() == pytest.approx(0, abs=1e-6)


def test_a_field_of_the_teacher() -> None:
    a, b, target = (frame(64, 64, phase) for phase in (0.0, 1.0, 0.5))
    prediction = Prediction(frame=a, teacher=Prediction(frame=b))
    got = Laplacian(field="teacher.frame")(prediction, Batch(target=target))
    assert got.item() == loss(b, target).item()


def test_mistakes_are_named() -> None:
    image = frame(64, 64, 0)
    with pytest.raises(ValueError, match=r"needs sides that are multiples of 32 and at least 64; got 48x64"):
        loss(image[:, :, :48], image[:, :, :48])
    with pytest.raises(ValueError, match=r"'lap' reads prediction\.merged, which this architecture does not give"):
        LossSet({"lap": Laplacian(field="merged")})(Prediction(frame=image), Batch(target=image))
    uneven = Prediction(frame=image, merged=[image[:, :, :40, :40]])
    with pytest.raises(ValueError, match=r"at the target's size, a half, a quarter"):
        Laplacian(field="merged")(uneven, Batch(target=image))
    half = Prediction(frame=image, merged=[image[:, :, ::2, ::2]])
    with pytest.raises(ValueError, match="give levels for 2 sizes"):
        Laplacian(field="merged", levels=[5])(half, Batch(target=image))
