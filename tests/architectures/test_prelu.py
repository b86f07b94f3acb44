"""Our PReLU against PyTorch's."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.helpers.golden_cases import assert_near
from vfi_train.architectures.layers.prelu import PReLU


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_value_and_gradients_equal_pytorchs(layout: torch.memory_format) -> None:
    generator = torch.Generator().manual_seed(0)
    numbers = [torch.randn(2, 5, 7, 9, dtype=torch.float64, generator=generator) for _ in range(2)]
    x, outer = (n.to(memory_format=layout) for n in numbers)
    x[0, 0, 0, 0] = 0.0  # the slope applies at zero
    ours = PReLU(5, dtype=torch.float64)
    ours.weight.data = torch.tensor([0.25, -0.5, 0.0, 1.5, 0.1], dtype=torch.float64)
    x.requires_grad_()
    got = ours(x)
    wanted = F.prelu(x, ours.weight)
    assert torch.equal(got, wanted)
    pairs = zip(*(torch.autograd.grad(y, (x, ours.weight), outer) for y in (got, wanted)), strict=True)
    for gradient, expected in pairs:
        assert_near(gradient, expected, 1e-13)
    assert torch.autograd.grad(ours(x), x, outer)[0].is_contiguous(memory_format=layout)


def test_half_precision_and_states_are_pytorchs() -> None:
    ours, theirs = PReLU(3), nn.PReLU(3)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(1)).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        got, wanted = ours(x), theirs(x)
    assert got.dtype == wanted.dtype
    assert torch.equal(got, wanted)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradients_from_what_came_out(layout: torch.memory_format) -> None:
    """Slopes above zero, however small."""
    generator = torch.Generator().manual_seed(2)
    x, outer = (torch.randn(2, 4, 7, 9, generator=generator).to(memory_format=layout) for _ in range(2))
    x[0, :, 0, 0] = 0.0
    ours, kept = PReLU(4), []
    ours.weight.data = torch.tensor([0.25, 1e-5, 3.0, 1.0])
    x.requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        got = ours(x)
    assert any(tensor.data_ptr() == got.data_ptr() for tensor in kept)
    assert all(tensor.data_ptr() != x.data_ptr() for tensor in kept)
    wanted = F.prelu(x.double(), ours.weight.double())
    gradient, of_slope = torch.autograd.grad(got, (x, ours.weight), outer)
    expected, of_slope_expected = torch.autograd.grad(wanted, (x, ours.weight), outer.double())
    assert torch.equal(gradient, F.prelu(x, ours.weight).new_tensor(expected.numpy()))
    assert_near(of_slope, of_slope_expected.float(), 1e-5)
