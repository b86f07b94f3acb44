"""Drawn samples, and how well their flow explains them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from datamodules.scenes.style import SceneStyle
from vfi_train.architectures.layers.warp import warp


def scene(time: float = 0.5) -> dict[str, Any]:
    drawn = SceneStyle(height=24, width=32).draw(np.random.default_rng(5))
    return {
        "frame0": drawn.render(0),
        "frame1": drawn.render(1),
        "target": drawn.render(time),
        "flow": drawn.at(time).flow(0, 1),
        "time": time,
        "key": "scene",
    }


def warp_errors(sample: dict[str, Any]) -> np.ndarray:
    """2 H W: how far the warped frames are from the target, at each pixel."""

    def tensor(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).double().permute(2, 0, 1)[None]

    warped = [warp(tensor(sample[f"frame{i}"]), tensor(sample["flow"][..., 2 * i : 2 * i + 2])) for i in (0, 1)]
    return np.stack([(w - tensor(sample["target"])).abs().sum(dim=1)[0].numpy() for w in warped])
