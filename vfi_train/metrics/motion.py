"""Optical flow of images by OpenCV's DIS estimator (Kroeger et al., ECCV 2016), and what it says of motion."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # H W 3, RGB
MIN_SIDE = 32  # pixels; OpenCV crashes on images that are much smaller


def dis_flow(first: Image, second: Image, max_side: int | None = None, fast: bool = False) -> NDArray[np.float32]:
    """The flow from the first image to the second, h w 2, in pixels of the images, x then y.

    Args:
        first: H W 3.
        second: H W 3.
        max_side: shrink the images to this many pixels in the longer side; None: h w is H W.
        fast: by the preset "ultrafast" instead of "medium", some 15 times as fast.
    """
    height, width = first.shape[:2]
    scale = 1.0 if max_side is None else min(1.0, max_side / max(height, width))
    size = max(MIN_SIDE, round(width * scale)), max(MIN_SIDE, round(height * scale))
    small = [image if size == (width, height) else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
             for image in (first, second)]  # fmt: skip
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in small]
    preset = cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST if fast else cv2.DISOPTICAL_FLOW_PRESET_MEDIUM
    estimator = cv2.DISOpticalFlow.create(preset)
    flow = estimator.calc(*grey, None)  # type: ignore[call-overload]
    return np.asarray(flow * (width / size[0], height / size[1]), np.float32)


def temporal_difference(predicted: Sequence[Image], true: Sequence[Image]) -> list[float]:
    """The error of the motion into each frame but the first, in pixels.

    It is the mean length of the difference between the flow from a frame to the next one in the predicted sequence and
    that in the true one ("tOF"): 0 if both move alike, whatever the frames look like.

    Source: Chu et al., Learning temporal coherence via self-supervision for GAN-based video generation, TOG 2020, with
    another estimator of flow.
    """
    steps = ([dis_flow(*pair) for pair in itertools.pairwise(frames)] for frames in (predicted, true))
    return [float(np.linalg.norm(a - b, axis=2).mean()) for a, b in zip(*steps, strict=True)]
