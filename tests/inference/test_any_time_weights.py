"""README's library example with `ifrnet_tiny_t_synthetic`: seven frames between two, each against the true one."""

from __future__ import annotations

import numpy as np
import pytest

from datamodules.scenes.style import SceneStyle
from datamodules.synthetic import VAL_EPOCH, to_uint8
from vfi_train.inference.interpolator import Interpolator
from vfi_train.inference.time_probe import MOTION, is_time_aware, moving_texture

TIMES = [k / 8 for k in range(1, 8)]
SHIFT = 8.0  # pixels between the frames


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((first.astype(float) - second) ** 2) / 255**2))


def texture(time: float) -> np.ndarray:
    return to_uint8(moving_texture(time * SHIFT / MOTION))


@pytest.fixture(scope="module")
def interpolate() -> Interpolator:
    return Interpolator("ifrnet_tiny", weights="ifrnet_tiny_t_synthetic")


def test_each_of_seven_frames_of_a_moving_texture_is_the_one_of_its_time(interpolate: Interpolator) -> None:
    frame0, frame1 = texture(0), texture(1)
    seven = interpolate(frame0, frame1, TIMES)
    table = np.array([[psnr(frame, texture(time)) for time in (0, *TIMES, 1)] for frame in seven])
    assert np.array_equal(table.argmax(axis=1), np.arange(1, 8))
    blends = [psnr(frame0 * (1 - time) + frame1 * time, texture(time)) for time in TIMES]
    own = table[:, 1:-1].diagonal()
    assert own.min() > 32.5
    assert (own - blends).min() > 0  # at 7/8, where a blend of the frames is good too
    assert (own - blends)[1:6].min() > 5
    assert is_time_aware(interpolate.model)


def test_seven_frames_of_drawn_scenes(interpolate: Interpolator) -> None:
    scores = []
    for index in range(16):
        scene = SceneStyle().draw(np.random.default_rng((0, VAL_EPOCH, index)))
        frame0, frame1 = (to_uint8(scene.render(time)) for time in (0, 1))
        truth = [to_uint8(scene.at(time).image()) for time in TIMES]
        blends = [frame0 * (1 - time) + frame1 * time for time in TIMES]
        seven = interpolate(frame0, frame1, TIMES)
        scores.append([[psnr(x, y) for x, y in zip(frames, truth, strict=True)] for frames in (seven, blends)])
    ours, blended = np.mean(scores, axis=0)
    assert ours.min() > 36.5
    assert (ours - blended).min() > 2


def test_weights_of_the_middle_frame_give_it_at_every_time() -> None:
    """Why the example does not use them: they are for `recursive=True`."""
    seven = Interpolator("ifrnet_tiny", weights="ifrnet_tiny_synthetic")(texture(0), texture(1), TIMES)
    found = [int(np.argmax([psnr(frame, texture(time)) for time in (0, *TIMES, 1)])) for frame in seven]
    assert found == [4] * 7
