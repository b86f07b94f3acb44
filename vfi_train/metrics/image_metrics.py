"""torchmetrics objects: means over the images of a dataset, independent of batches and processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torchmetrics import Metric

from losses.learned import lpips_network
from vfi_train.errors import UserError
from vfi_train.metrics.dists import DISTSNetwork
from vfi_train.metrics.functional import interpolation_error, psnr, ssim2d, ssim3d, ssim_uniform

RENAMED = {"lpips": "lpips_alex (what lpips was), lpips_vgg or lpips_squeeze, each named by its backbone"}
VARIANTS = {"3d": ssim3d, "2d": ssim2d, "uniform": ssim_uniform}


def check_name(name: str) -> None:
    """Raise a UserError for a name that a metric had before."""
    if name in RENAMED:
        raise UserError(f"there is no metric {name!r}: give {RENAMED[name]}")


class Mean(Metric):
    """A mean over images.

    The states are sum and count, added over processes, so that each image counts once however they are distributed.
    """

    is_differentiable = False
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # A float64 sum over a dataset keeps the digits of a single score; MPS has no float64.
        wide = torch.float32 if torch.backends.mps.is_available() else torch.float64
        self.add_state("total", torch.zeros((), dtype=wide), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def add(self, total: Tensor, count: int) -> None:
        """Add the sum of `count` images' numbers."""
        self.total += total.to(self.total.dtype)
        self.count += count

    def compute(self) -> Tensor:
        """The mean so far; NaN before the first image."""
        return (self.total / self.count).float()


class MeanLoss(Mean):
    """The mean of a loss over images."""

    higher_is_better = False

    def update(self, loss: Tensor, count: int) -> None:
        """Add the loss (a scalar) of a batch of `count` images."""
        self.add(loss * count, count)


class ImageMetric(Mean):
    """The mean over images of a score of each image."""

    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        """B numbers for RGB images B 3 H W in [0, 1]."""
        raise NotImplementedError

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add B images, B 3 H W in [0, 1]."""
        scores = self.score(prediction, target)
        self.add(scores.sum(), len(scores))


class PSNR(ImageMetric):
    """Mean of `functional.psnr`, dB.

    Args:
        rounded: round predictions to 8 bit first.
        luma: compare only luma.
        options: of `torchmetrics.Metric`.
    """

    higher_is_better = True

    def __init__(self, *, rounded: bool = False, luma: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.rounded, self.luma = rounded, luma

    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        """PSNR of each image."""
        return psnr(prediction, target, rounded=self.rounded, luma=self.luma)


class SSIM(ImageMetric):
    """Mean structural similarity.

    Args:
        variant: "3d" (reported by VFI papers), "2d" or "uniform" (scikit-image's defaults); see `functional`.
        rounded: round predictions to 8 bit first.
        options: of `torchmetrics.Metric`.
    """

    higher_is_better = True

    def __init__(
        self, *, variant: Literal["3d", "2d", "uniform"] = "3d", rounded: bool = False, **options: Any
    ) -> None:
        super().__init__(**options)
        if variant not in VARIANTS:
            raise UserError(f"variant of SSIM must be one of {', '.join(VARIANTS)}; got {variant!r}")
        self.variant, self.rounded = variant, rounded

    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        """SSIM of each image."""
        return VARIANTS[self.variant](prediction, target, rounded=self.rounded)


class InterpolationError(ImageMetric):
    """Mean of `functional.interpolation_error`, grey levels."""

    higher_is_better = False

    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Interpolation error of each image."""
        return interpolation_error(prediction, target)


class LPIPS(ImageMetric):
    """Mean LPIPS (version 0.1, lower is better).

    Args:
        net: "alex" (reported by VFI papers), "vgg" or "squeeze"; numbers of different networks do not compare.
        folder: of the backbone's weights; None: torch's cache.
        options: of `torchmetrics.Metric`.

    Raises:
        UserError: the weights are missing.

    Source: Zhang et al., CVPR 2018, by the package `lpips`.
    """

    higher_is_better = False

    def __init__(self, net: str = "alex", folder: str | Path | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.network = lpips_network(net, folder, reader=f"the metric lpips_{net}")

    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        """LPIPS of each image."""
        distance: Tensor = self.network(2 * prediction - 1, 2 * target - 1)
        return distance.flatten()


class DISTS(ImageMetric):
    """Mean DISTS (lower is better).

    Args:
        folder: of VGG-16's weights; None: torch's cache.
        options: of `torchmetrics.Metric`.

    Raises:
        UserError: the weights are missing.

    Source: Ding et al., TPAMI 2020, by torchmetrics.
    """

    higher_is_better = False

    def __init__(self, folder: str | Path | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.network = DISTSNetwork(folder, reader="the metric dists")

    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        """DISTS of each image."""
        distance: Tensor = self.network(prediction, target)
        return distance
