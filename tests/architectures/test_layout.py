"""Layouts of maps and of their gradients."""

from __future__ import annotations

import pytest
import torch

from vfi_train.architectures.layers.layout import keep_gradients_layout
from vfi_train.architectures.layers.residual import join
from vfi_train.architectures.layers.warp import warp

LAYOUTS = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_gradient_of_a_warped_map_has_its_layout(layout: torch.memory_format) -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, 4, 5, 6, generator=generator).to(memory_format=layout).requires_grad_()
    flow = torch.randn(2, 2, 5, 6, generator=generator)
    (gradient,) = torch.autograd.grad(warp(image, flow).square().sum(), image)
    assert gradient.is_contiguous(memory_format=layout)


def test_keeping_the_layout_changes_no_gradient() -> None:
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x = x.to(memory_format=torch.channels_last).requires_grad_()
    assert torch.equal(keep_gradients_layout(x), x)
    assert torch.autograd.gradcheck(lambda x: keep_gradients_layout(x).square(), (x,))
    assert torch.autograd.gradgradcheck(lambda x: keep_gradients_layout(x).square(), (x,))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_joined_maps_have_the_layout_of_the_first(layout: torch.memory_format) -> None:
    maps = [torch.randn(2, channels, 4, 5, generator=torch.Generator().manual_seed(2)) for channels in (3, 1, 2)]
    joined = join([maps[0].to(memory_format=layout), *maps[1:]])
    assert torch.equal(joined, torch.cat(maps, dim=1))
    assert joined.is_contiguous(memory_format=layout)
