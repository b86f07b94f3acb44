"""The recipes' losses from their textbook formulas: each term by itself, nothing shared, nothing fused."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_train.contract import Batch, Prediction

Values = dict[str, Tensor]


def ifrnet(prediction: Prediction, batch: Batch) -> Values:
    """IFRNet, section 3.4."""
    assert prediction.flow0 is not None
    assert prediction.flow1 is not None
    assert prediction.features is not None
    assert prediction.target_features is not None
    target = batch["target"]
    directions = zip((prediction.flow0, prediction.flow1), batch["flow"].split(2, dim=1), strict=True)
    pairs = zip(prediction.features, prediction.target_features, strict=True)
    return {
        "charbonnier": charbonnier(prediction.frame - target),
        "census": census(prediction.frame.mean(1, keepdim=True), target.mean(1, keepdim=True).detach(), 7),
        "geometry": 0.01 * sum_of([census(x, y, 3) for x, y in pairs]),
        "distillation": 0.01 * sum_of([distillation(*flows) for flows in directions]),
    }


def amt(prediction: Prediction, batch: Batch) -> Values:
    """AMT's with flow labels."""
    assert prediction.flow0 is not None
    assert prediction.flow1 is not None
    target = batch["target"]
    directions = zip((prediction.flow0, prediction.flow1), batch["flow"].split(2, dim=1), strict=True)
    return {
        "charbonnier": charbonnier(prediction.frame - target),
        "census": census(prediction.frame.mean(1, keepdim=True), target.mean(1, keepdim=True).detach(), 7),
        "distillation": 0.002 * sum_of([distillation(*flows) for flows in directions]),
    }


def ema_vfi(prediction: Prediction, batch: Batch) -> Values:
    """EMA-VFI, section 3.5."""
    assert prediction.merged is not None
    return {
        "laplacian": laplacian(prediction.frame, batch["target"], 5),
        "merged": 0.5 * sum_of([laplacian(merged, batch["target"], 5) for merged in prediction.merged]),
    }


def atm_vfi(prediction: Prediction, batch: Batch) -> Values:
    """ATM-VFI's of phase 1."""
    assert prediction.merged is not None
    assert prediction.residual is not None
    terms, target = [], batch["target"]
    blends = [*prediction.merged[:-1], prediction.merged[-1] + prediction.residual]
    for merged, levels in zip(reversed(blends), (5, 5, 4, 3), strict=True):
        terms.append(laplacian(merged, target, levels))
        target = F.interpolate(target, scale_factor=0.5, mode="bilinear", align_corners=True)
    return {"laplacian": laplacian(prediction.frame, batch["target"], 3), "warping": 0.25 * sum_of(terms)}


def rife(prediction: Prediction, batch: Batch) -> Values:
    """RIFE, section 3.3."""
    assert prediction.merged is not None
    assert prediction.flow0 is not None
    assert prediction.flow1 is not None
    assert prediction.teacher is not None
    teacher, target, terms = prediction.teacher, batch["target"], []
    assert teacher.flow0 is not None
    assert teacher.flow1 is not None
    label = torch.cat((teacher.flow0[-1], teacher.flow1[-1]), 1).detach()
    for merged, flow0, flow1 in zip(prediction.merged, prediction.flow0, prediction.flow1, strict=True):
        student, taught = ((x - target).abs().mean(1, True) for x in (merged, teacher.frame))
        mask = (student > taught + 0.01).float().detach()
        distance = ((label - torch.cat((flow0, flow1), 1)) ** 2).mean(1, True).clamp(min=1e-12) ** 0.5
        terms.append((distance * mask).mean())
    return {
        "laplacian": laplacian(prediction.frame, target, 5),
        "teacher": laplacian(teacher.frame, target, 5),
        "distillation": 0.01 * sum_of(terms),
    }


def rife4(prediction: Prediction, batch: Batch) -> Values:
    """Ours: a Laplacian loss on the blend after each flow block."""
    assert prediction.merged is not None
    count = len(prediction.merged)
    terms = [laplacian(blend, batch["target"], 5) for blend in prediction.merged]
    return {"blends": sum_of([0.8 ** (count - 1 - k) * term for k, term in enumerate(terms)])}


LOSSES: dict[str, Callable[[Prediction, Batch], Values]] = {
    "ifrnet": ifrnet,
    "amt": amt,
    "ema_vfi": ema_vfi,
    "atm_vfi": atm_vfi,
    "rife": rife,
    "rife4": rife4,
}


def sum_of(terms: list[Tensor]) -> Tensor:
    return torch.stack(terms).sum()


def charbonnier(difference: Tensor) -> Tensor:
    return torch.sqrt(difference**2 + 1e-6).mean()


def census(x: Tensor, y: Tensor, patch: int) -> Tensor:
    """Neighbours by a convolution with the identity: patch^2 channels for each channel."""

    def transform(z: Tensor) -> Tensor:
        z = z.reshape(-1, 1, *z.shape[2:])
        kernel = torch.eye(patch**2, device=z.device, dtype=z.dtype).view(-1, 1, patch, patch)
        difference = F.conv2d(z, kernel, padding=patch // 2) - z
        return difference / torch.sqrt(0.81 + difference**2)

    squared = (transform(x) - transform(y)) ** 2
    distance = (squared / (0.1 + squared)).mean(1, keepdim=True)
    inner = distance.new_ones(len(distance), 1, *(side - 2 * (patch // 2) for side in distance.shape[2:]))
    return (distance * F.pad(inner, [patch // 2] * 4)).mean()


def distillation(flows: list[Tensor], label: Tensor) -> Tensor:
    """Of one direction: the coarse flows, by how far the finest one (or its worst field) agrees with the label."""
    *coarse, finest = flows
    fields = finest.detach().unsqueeze(1) if finest.ndim == 4 else finest.detach()
    error = (((fields - label.unsqueeze(1)) ** 2).sum(2, keepdim=True) ** 0.5).max(1)[0]
    weight = torch.exp(-0.3 * error)
    alpha, epsilon = weight / 2, 10 ** (-(10 * weight - 1) / 3)
    terms = []
    for flow in coarse:
        factor = label.shape[-1] / flow.shape[-1]
        enlarged = factor * F.interpolate(flow, scale_factor=factor, mode="bilinear", align_corners=False)
        terms.append((((enlarged - label) ** 2 + epsilon**2) ** alpha).mean())
    return sum_of(terms)


def laplacian(x: Tensor, y: Tensor, levels: int) -> Tensor:
    """A pyramid of each image."""
    pairs = zip(laplacian_pyramid(x, levels), laplacian_pyramid(y, levels), strict=True)
    return sum_of([F.l1_loss(a, b) for a, b in pairs])


def laplacian_pyramid(x: Tensor, levels: int) -> list[Tensor]:
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=x.device) / 16
    kernel = torch.outer(taps, taps).repeat(x.shape[1], 1, 1, 1)

    def blur(z: Tensor, factor: float = 1) -> Tensor:
        return F.conv2d(F.pad(z, (2, 2, 2, 2), mode="reflect"), factor * kernel, groups=z.shape[1])

    def enlarge(z: Tensor) -> Tensor:
        b, c, h, w = z.shape
        z = torch.cat((z, torch.zeros_like(z)), dim=3).view(b, c, 2 * h, w).permute(0, 1, 3, 2)
        zeros = torch.zeros(b, c, w, 2 * h, device=z.device)
        z = torch.cat((z, zeros), dim=3).view(b, c, 2 * w, 2 * h).permute(0, 1, 3, 2)
        return blur(z, 4)

    bands = []
    for _ in range(levels):
        small = blur(x)[:, :, ::2, ::2]
        bands.append(x - enlarge(small))
        x = small
    return bands
