"""Whether the predictions of a trained network depend on the time.

An architecture that takes any time may have weights trained on triplets (IFRNet and AMT on Vimeo90K, our shipped ones),
which predict the middle frame at every time. Such networks reach other times by halving intervals.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vfi_train.architectures import Architecture
from vfi_train.inference.interpolator import Interpolator

SIDE = 128  # pixels
MOTION = 4.0  # pixels between the frames, small enough for any trained network


def is_time_aware(model: Architecture, iterations: int = 2) -> bool:
    """Whether predictions at 1/4 and 3/4 are nearer to the true frames there than to the true middle frame.

    The frames show a texture in even motion. For untrained networks the result is meaningless.

    Args:
        model: the network with its weights, on its device.
        iterations: steps to each frame, of models with a reference.
    """
    if not model.arbitrary_time:
        return False
    times = [0.25, 0.75]
    around: Any = {"before": moving_texture(-1.0), "after": moving_texture(2.0)} if model.takes_context else {}
    frames = Interpolator(model, iterations=iterations)(moving_texture(0.0), moving_texture(1.0), times, **around)
    to_truth = sum(_distance(frame, moving_texture(time)) for frame, time in zip(frames, times, strict=True))
    to_middle = sum(_distance(frame, moving_texture(0.5)) for frame in frames)
    return to_truth < to_middle


def moving_texture(time: float) -> np.ndarray:
    """SIDE SIDE 3 in [0, 1], float32: waves of several directions and lengths that move right and down."""
    rows, columns = np.mgrid[:SIDE, :SIDE] - time * MOTION / np.sqrt(2)
    directions = [(np.cos(angle), np.sin(angle)) for angle in np.arange(6) * np.pi / 6]
    waves = [np.sin((x * columns + y * rows) / (3 + 1.3 * k) + k) for k, (x, y) in enumerate(directions)]
    channels = [np.sum(np.roll(waves, shift, axis=0)[:4], axis=0) for shift in range(3)]
    return (np.stack(channels, axis=-1) / 8 + 0.5).astype(np.float32)


def _distance(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first - second).mean())
