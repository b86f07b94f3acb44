"""Weights that know the middle frame alone are found out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.helpers.videos import Blend, MiddleBlend
from vfi_train.architectures.layers.warp import warp
from vfi_train.contract import Prediction
from vfi_train.inference.interpolator import Interpolator
from vfi_train.inference.time_probe import MOTION, is_time_aware, moving_texture


class Mover(Blend):
    """Moves frame 0 by `speed` times the texture's own motion; `deaf` asks for half way whatever the time."""

    def __init__(self, speed: float, deaf: bool = False) -> None:
        super().__init__()
        self.speed, self.deaf = speed, deaf

    def decode(self, encoding, time, **extras) -> Prediction:
        way = -self.speed * MOTION / 2**0.5 * (torch.full_like(time, 0.5) if self.deaf else time)
        flow = way.expand(-1, 2, *encoding.frame0.shape[-2:])
        return Prediction(warp(encoding.frame0, flow))


def test_networks_are_told_apart() -> None:
    assert is_time_aware(Blend())
    assert is_time_aware(Mover(1.0))
    assert is_time_aware(Mover(0.8))
    assert not is_time_aware(Mover(1.0, deaf=True))
    assert not is_time_aware(MiddleBlend())


@pytest.mark.parametrize("name", ["ifrnet_tiny", "ifrnet_s"])
def test_the_shipped_weights_know_the_middle_and_halve_well(name: str) -> None:
    network = Interpolator(name, weights=f"{name}_synthetic", recursive=True)
    assert not is_time_aware(network.model)
    frames = network(moving_texture(0.0), moving_texture(1.0), [0.25, 0.75])
    for time, frame in zip((0.25, 0.75), frames, strict=True):
        assert np.abs(frame - moving_texture(time)).mean() < 0.2 * np.abs(frame - moving_texture(0.5)).mean()


def test_the_texture_moves_evenly() -> None:
    """Four pixels along the diagonal: warped back it lies on itself."""
    first, last = (torch.from_numpy(moving_texture(time)).permute(2, 0, 1)[None] for time in (0.0, 1.0))
    flow = torch.full((1, 2, 128, 128), MOTION / 2**0.5)
    back = warp(last, flow)[..., 8:-8, 8:-8]
    assert (back - first[..., 8:-8, 8:-8]).abs().mean() < 0.1 * (last - first).abs().mean()
