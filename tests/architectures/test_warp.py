"""The one warp and the one resize that every family shares."""

from __future__ import annotations

import torch

from tests.helpers.golden_cases import assert_near, load
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
