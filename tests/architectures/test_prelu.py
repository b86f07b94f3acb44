"""Our PReLU against PyTorch's."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.golden_cases import assert_near
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
