"""Distance index maps: the fraction of its path from one frame to another that each pixel has covered at a third.

A map is 0 where a pixel is at its position in the start frame and 1 at its position in the end frame. It is computed
from two flows (`distance_map`), stored at half size in float16 (`shrink`), and clipped and blurred for a network
(`MapPreparation`), in an order that differs between the published recipes (`PREPARATIONS`).

Source: InterpAny-Clearer (Zhong et al., ECCV 2024), section 3.1, and its repository.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from vfi_train.errors import UserError

Array = NDArray[np.float32]
TIME_EPSILON = 1e-6  # frame numbers
# OpenCV's kernels of these sizes for a standard deviation of 0: fixed tables.
BLURS = {5: np.array((1, 4, 6, 4, 1)) / 16, 9: np.array((4, 13, 30, 51, 60, 51, 30, 13, 4)) / 256}


def distance_map(flow_to_end: Array, flow_to_middle: Array) -> Array:
    """The fraction of its motion that each pixel has covered: <middle, end> / |end|^2.

    Args:
        flow_to_end: H W 2, pixels, from the start frame to the end frame.
        flow_to_middle: H W 2, pixels, from the start frame to the frame in between.

    Returns:
        H W, float32, not clipped: outside 0..1 where flows disagree, NaN where `flow_to_end` is 0.

    Source: InterpAny-Clearer, section 3.1.
    """
    if flow_to_end.shape != flow_to_middle.shape or flow_to_end.ndim != 3 or flow_to_end.shape[2] != 2:
        raise UserError(
            f"a distance map needs two flows H W 2 of one size; got {flow_to_end.shape} and {flow_to_middle.shape}"
        )
    end, middle = flow_to_end.astype(np.float32), flow_to_middle.astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return (middle * end).sum(axis=2) / (end * end).sum(axis=2)


def shrink(distance: Array, ratio: int = 2) -> NDArray[np.float16]:
    """A map H W as it is stored: mean of `ratio` x `ratio` pixels (2 for Vimeo90K), then float16."""
    height, width = distance.shape
    if not 1 <= ratio <= min(height, width):
        raise UserError(f"a map of {height}x{width} cannot be shrunk by {ratio}: choose 1 to {min(height, width)}")
    small = cv2.resize(distance, (width // ratio, height // ratio), interpolation=cv2.INTER_AREA)
    with np.errstate(over="ignore"):  # too far for float16: infinite
        return small.astype(np.float16)


def is_map(stored: NDArray, size: tuple[int, int]) -> bool:
    """Whether an array is a map of a frame of that size (height, width), as large or smaller by an integer factor."""
    if stored.ndim != 2 or stored.dtype.kind != "f" or not stored.size:
        return False
    ratio = size[0] // stored.shape[0]
    return ratio > 0 and stored.shape == (size[0] // ratio, size[1] // ratio)


def enlarge(stored: NDArray, size: tuple[int, int]) -> Array:
    """A stored map at the frame's size (height, width), float32: pixels are repeated for integer factors."""
    if stored.ndim != 2:
        raise UserError(f"a distance map is H W; got the shape {stored.shape}")
    return np.asarray(cv2.resize(stored.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA), np.float32)


def blur(distance: Array, taps: int) -> Array:
    """Smooth a map H W with OpenCV's Gaussian of 5 or 9 taps; borders mirrored without repeating the edge."""
    kernel = BLURS[taps]
    smooth = cv2.sepFilter2D(distance, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(smooth, np.float32)


@dataclass(frozen=True)
class MapPreparation:
    """Preparation of a stored map for a network.

    Args:
        clip: limit the map to 0..1.
        taps: size of the Gaussian blur after that: 5, 9, or 0 for none.
        stage: do both on the `stored` map before it is enlarged, on the map of the full `frame`, or on the `crop` after
            all augmentations.
    """

    clip: bool = True
    taps: int = 9
    stage: Literal["stored", "frame", "crop"] = "frame"

    def __post_init__(self) -> None:
        if self.stage not in ("stored", "frame", "crop"):
            raise UserError(f"a map is prepared at the stage 'stored', 'frame' or 'crop'; got {self.stage!r}")
        if self.taps not in (0, *BLURS):
            raise UserError(f"a map is blurred with 5 or 9 taps, or 0 for none; got {self.taps}")

    def load(self, stored: NDArray, size: tuple[int, int]) -> Array:
        """The map at the frame's size (height, width), to be augmented with the frames."""
        distance = stored.astype(np.float32)
        if self.stage == "stored":
            distance = self._prepare(distance)
        distance = enlarge(distance, size)
        return self._prepare(distance) if self.stage == "frame" else distance

    def finish(self, distance: Array) -> Array:
        """The map H W of a crop, ready for the network; a NaN in it makes the sample unusable."""
        return self._prepare(distance) if self.stage == "crop" else distance

    def _prepare(self, distance: Array) -> Array:
        distance = distance.clip(0, 1) if self.clip else distance
        return blur(distance, self.taps) if self.taps else distance


# Of the published recipes. RIFE's [D] and every evaluation except RIFE's [D,R] prepare at half size.
PREPARATIONS = {
    "rife_d": MapPreparation(taps=5, stage="stored"),
    "rife_dr": MapPreparation(stage="crop"),
    "rife_dr_test": MapPreparation(stage="frame"),
    "amt_s_d": MapPreparation(stage="frame"),
    "amt_s_dr": MapPreparation(stage="frame"),
    "ifrnet_d": MapPreparation(stage="frame"),
    "ifrnet_dr": MapPreparation(stage="frame"),
    "ema_vfi_d": MapPreparation(stage="crop"),
    "ema_vfi_dr": MapPreparation(clip=False, taps=0),
    "test": MapPreparation(taps=5, stage="stored"),
}


def time_index(start: int, middle: int, end: int, epsilon: float = TIME_EPSILON) -> float:
    """The time of frame `middle` between the frames `start` and `end`, by their numbers.

    (middle - start) / (end - start + epsilon). A reversed triple (6, 3, 0) gives the time seen from frame 6, which the
    epsilon of the published recipes puts a little above its true value: up to 1 + 1e-6 for the end frame.

    Raises:
        UserError: `start` and `end` are one frame, or `middle` is outside of them.

    Source: InterpAny-Clearer's datasets.
    """
    if start == end or not min(start, end) <= middle <= max(start, end):
        raise UserError(
            f"frame {middle} has no time between the frames {start} and {end}: "
            "give two different frames and one from the first to the last"
        )
    return (middle - start) / (end - start + epsilon)
