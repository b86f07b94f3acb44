"""LPIPS weighted by the error of motion ("FloLPIPS", Danier, Zhang and Bull, PCS 2022), with OpenCV's DIS flow."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from losses.learned import distance_maps
from vfi_train.metrics.motion import Image, dis_flow


@torch.inference_mode()
def flolpips(predicted: Sequence[Image], true: Sequence[Image], network: nn.Module) -> list[float]:
    """FloLPIPS of each frame but the first; 0 for equal frames, lower is better.

    Each frame's LPIPS counts its pixels by the length of the difference of two flows: from that frame, whose pixels the
    maps of LPIPS have, to the one before it, in the predicted and in the true sequence. If both move alike everywhere,
    it is LPIPS.

    Args:
        predicted: the frames of a sequence, H W 3.
        true: what they are compared with, as many.
        network: see `losses.learned.lpips_network`.

    Source: the paper, with another estimator of flow than its PWC-Net: numbers of the two do not compare.
    """
    scores = []
    for (before, frame), (true_before, true_frame) in zip(*map(itertools.pairwise, (predicted, true)), strict=True):
        error = np.linalg.norm(dis_flow(frame, before) - dis_flow(true_frame, true_before), axis=2)
        maps = distance_maps(network, *(_to_tensor(image, network) for image in (frame, true_frame)))
        scores.append(weighted_distance(maps, error))
    return scores


def weighted_distance(maps: Sequence[Tensor], weights: NDArray[np.float32]) -> float:
    """The sum over layers of the weighted means of their maps.

    Args:
        maps: of each layer, 1 1 h w, in any resolution.
        weights: of the pixels, H W, 0 or more; all zero: every pixel counts alike. They are resized bilinearly, with
            the average over what a layer's pixel covers, so that no pixel is lost.
    """
    pixels = torch.from_numpy(weights.astype(np.float64))[None, None]
    if not weights.any():
        pixels = torch.ones_like(pixels)
    total = 0.0
    for values in maps:
        resized = F.interpolate(pixels, values.shape[2:], mode="bilinear", antialias=True)
        total += float((values.double().cpu() * resized).sum() / resized.sum())
    return total


def _to_tensor(image: Image, network: nn.Module) -> Tensor:
    """1 3 H W, in [-1, 1], on the network's device."""
    device = next(network.parameters()).device
    tensor = torch.from_numpy(np.ascontiguousarray(image)).to(device).permute(2, 0, 1)[None]
    return tensor.float() / 255 * 2 - 1
