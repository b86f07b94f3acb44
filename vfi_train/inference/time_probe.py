"""Whether a trained network follows the time it is asked for, or knows the middle frame alone.

An architecture that takes any time may carry weights that were trained on triplets: asked for a quarter, they answer
the middle (IFRNet and AMT on Vimeo90K, our shipped ones). Such networks reach other times by halving intervals.
"""

from __future__ import annotations

import numpy as np

from vfi_train.architectures import Architecture
from vfi_train.inference.interpolator import Interpolator

SIDE = 128  # pixels
MOTION = 4.0  # pixels between the frames: what any trained network explains


def is_time_aware(model: Architecture, iterations: int = 2) -> bool:
    """Whether frames asked for at 1/4 and 3/4 lie nearer to the truth there than to the truth half way.

    Asked about a drawn texture that moves evenly. Networks without training give no answer that means anything.

    Args:
        model: the network with its weights, on its device.
        iterations: steps to each frame, of models with a reference.
    """
    if not model.arbitrary_time:
        return False
    asked = Interpolator(model, iterations=iterations)
    times = (0.25, 0.75)
    answers = asked(moving_texture(0.0), moving_texture(1.0), list(times))
    there = sum(_distance(answer, moving_texture(time)) for answer, time in zip(answers, times, strict=True))
    half_way = sum(_distance(answer, moving_texture(0.5)) for answer in answers)
    return there < half_way


def moving_texture(time: float) -> np.ndarray:
    """SIDE SIDE 3 in [0, 1], float32: waves of several directions and lengths, moved to the right and down."""
    rows, columns = np.mgrid[:SIDE, :SIDE] - time * MOTION / np.sqrt(2)
    directions = [(np.cos(angle), np.sin(angle)) for angle in np.arange(6) * np.pi / 6]
    waves = [np.sin((x * columns + y * rows) / (3 + 1.3 * k) + k) for k, (x, y) in enumerate(directions)]
    channels = [np.sum(np.roll(waves, shift, axis=0)[:4], axis=0) for shift in range(3)]
    return (np.stack(channels, axis=-1) / 8 + 0.5).astype(np.float32)


def _distance(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first - second).mean())
