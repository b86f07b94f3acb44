"""Flows from the target, reversed for splatting: closed forms."""

from __future__ import annotations

import pytest
import torch

from tests.helpers.golden_cases import assert_near, frame
from vfi_train.architectures import create_model
from vfi_train.architectures.layers.reversal import blend_splatted, reverse_flow, splat_from
from vfi_train.architectures.layers.warp import warp


def shift(x: float, y: float = 0.0) -> torch.Tensor:
    return torch.tensor([x, y]).view(1, 2, 1, 1).expand(1, 2, 12, 16).clone()


def test_a_shift_is_reversed() -> None:
    back, pointed_to = reverse_flow(shift(3, -2))
    assert_near(back[..., :10, 3:], -shift(3, -2)[..., :10, 3:], 1e-6)
    assert not back[..., :3].any()  # no target pixel points to the first columns
    assert (pointed_to[..., :10, 3:] == 1).all()


def test_a_frame_arrives_where_warping_reads_it() -> None:
    image, flow = frame(12, 16, 0.0), shift(3)
    moved, arrived = splat_from(image, flow)
    assert_near(moved[..., :13], warp(image, flow)[..., :13], 1e-6)
    assert (arrived[..., :13] == 1).all()
    assert not arrived[..., 13:].any()
    assert not moved[..., 13:].any()


def test_where_one_frame_does_not_arrive_the_other_counts_alone() -> None:
    frame0, frame1 = frame(12, 16, 0.0), frame(12, 16, 1.0)
    blend = blend_splatted(
        torch.cat((frame0, frame1)), torch.cat((shift(3), shift(-3)), 1), torch.full((1, 1, 12, 16), 0.25)
    )
    assert_near(blend[..., 3:13], (0.25 * frame0[..., 6:] + 0.75 * frame1[..., :10]), 1e-5)
    assert_near(blend[..., :3], frame0[..., 3:6], 1e-5)
    assert_near(blend[..., 13:], frame1[..., 10:13], 1e-5)


def test_ifrnet_splats_by_configuration_with_the_same_weights() -> None:
    torch.manual_seed(0)
    warping, splatting = create_model("ifrnet_tiny"), create_model("ifrnet_tiny", synthesis="splat")
    splatting.load_state_dict(warping.state_dict())
    given = frame(48, 64, 0.0), frame(48, 64, 1.0)
    one, other = warping(*given), splatting(*given)
    for name in ("flow0", "flow1", "mask", "residual"):
        assert torch.equal(*(torch.as_tensor(getattr(p, name)[-1]) for p in (one, other)))
    assert not torch.equal(one.frame, other.frame)
    other.frame.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in splatting.parameters())
    with pytest.raises(ValueError, match="synthesis=scatter is none of warp, splat"):
        create_model("ifrnet_tiny", synthesis="scatter")
