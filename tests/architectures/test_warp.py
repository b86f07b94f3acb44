"""The one warp and the one resize that every family shares."""

from __future__ import annotations

import pytest
import torch

from tests.helpers.golden_cases import assert_near, load
from vfi_train.architectures.layers import warp as warp_module
from vfi_train.architectures.layers.warp import resize, resize_flow, warp


def test_warp_equals_the_published_one() -> None:
    case = load("functions_IFRNet", "warp")
    assert_near(warp(case.tensor("image"), case.tensor("flow")), case.arrays["output"], 1e-5)


def test_resize_equals_the_published_one() -> None:
    case = load("functions_IFRNet", "resize")
    x = case.tensor("x")
    for name, factor in (("by_2", 2), ("by_4", 4), ("by_0p8", 0.8), ("by_1p25", 1.25)):
        assert_near(resize(x, factor), case.arrays[name], 1e-6, name)
    assert_near(resize(x[..., :8, :8], 8), case.arrays["by_8"], 1e-6)
    assert_near(resize_flow(x, 2), 2 * case.arrays["by_2"], 1e-6)


def test_a_constant_flow_shifts_and_repeats_the_border() -> None:
    image = torch.rand(1, 3, 6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    flow = torch.tensor([2.0, -1.0], dtype=torch.float64).view(1, 2, 1, 1).expand(1, 2, 6, 8)
    shifted = warp(image, flow)  # out(x, y) = image(x + 2, y - 1)
    assert_near(shifted[..., 1:, :6], image[..., :5, 2:], 1e-12)
    assert_near(shifted[..., 0, :6], image[..., 0, 2:], 1e-12)
    assert_near(shifted[..., 1:, 7], image[..., :5, 7], 1e-12)


def test_gradients_of_image_and_flow_in_float64() -> None:
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(1, 2, 5, 6, dtype=torch.float64, generator=generator).requires_grad_()
    flow = torch.rand(1, 2, 5, 6, dtype=torch.float64, generator=generator).mul(0.8).add(0.1).requires_grad_()
    assert torch.autograd.gradcheck(warp, (image, flow))


@pytest.mark.parametrize("padding_mode", ["border", "zeros"])
def test_only_finite_coordinates_reach_the_sampling_operator(
    padding_mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []
    sample = torch.nn.functional.grid_sample

    def intercept(image: torch.Tensor, grid: torch.Tensor, **options: object) -> torch.Tensor:
        assert grid.isfinite().all()
        assert grid.abs().max() <= 1e4
        given.append(grid.clone())
        return sample(image, grid, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(warp_module.F, "grid_sample", intercept)
    generator = torch.Generator().manual_seed(2)
    image = torch.rand(2, 3, 7, 9, generator=generator)
    flow = torch.randn(2, 2, 7, 9, generator=generator) * 3
    bad = flow.clone().requires_grad_()
    with torch.no_grad():
        bad[0, 0, 1, 2], bad[0, 1, 3, 3], bad[1, 0, 6, 8], bad[1, :, 0, 0] = torch.nan, torch.inf, -torch.inf, torch.nan
    wrong = ~bad.detach().isfinite().all(dim=1, keepdim=True)
    out, expected = warp(image, bad, padding_mode=padding_mode), warp(image, flow, padding_mode=padding_mode)
    assert torch.equal(out.isnan(), wrong.expand_as(out))
    assert int(wrong.sum()) == 4
    assert torch.equal(out.masked_fill(wrong, 0), expected.masked_fill(wrong, 0))
    untouched = ~wrong.squeeze(1)
    assert torch.equal(given[0][untouched], given[1][untouched])
    (out.nansum()).backward()  # a finite loss, as of a crop without these pixels
    assert bad.grad is not None
    assert bad.grad.isfinite().all()


@pytest.mark.parametrize("distance", [1e6, 1e30])
def test_what_points_far_outside_takes_the_border_or_zero(distance: float) -> None:
    image = torch.rand(1, 1, 4, 5, generator=torch.Generator().manual_seed(3))
    flow = torch.full((1, 2, 4, 5), distance)
    assert torch.equal(warp(image, flow), image[..., -1:, -1:].expand_as(image))
    assert not warp(image, flow, padding_mode="zeros").any()
