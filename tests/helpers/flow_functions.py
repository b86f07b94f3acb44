"""Flow functions that tests name in a configuration."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

calls: list[int] = []  # pairs of each call


def dis(frame0: Tensor, frame1: Tensor) -> Tensor:
    """OpenCV's DIS flow."""
    calls.append(len(frame0))
    grey = [[np.uint8(image.mean(dim=0).numpy() * 255) for image in frames] for frames in (frame0, frame1)]
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flows = [estimator.calc(a, b, None) for a, b in zip(*grey, strict=True)]  # type: ignore[call-overload]
    return torch.from_numpy(np.stack(flows)).permute(0, 3, 1, 2)


def small(frame0: Tensor, frame1: Tensor) -> Tensor:
    """Of half the size."""
    return torch.zeros(len(frame0), 2, frame0.shape[2] // 2, frame0.shape[3] // 2)


def endless(frame0: Tensor, frame1: Tensor) -> Tensor:
    """Not finite."""
    return torch.full((len(frame0), 2, *frame0.shape[2:]), torch.inf)


NUMBER = 3
