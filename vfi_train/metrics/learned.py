"""LPIPS over a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from losses.learned import lpips_network
from vfi_train.metrics.torchmetrics import ImageMetric


class LPIPS(ImageMetric):
    """Mean of LPIPS (version 0.1, lower is better), which needs a backbone's weights.

    Args:
        net: alex (what VFI papers report), vgg or squeeze.
        folder: of the backbone's weights; None: torch's cache.
        options: of `torchmetrics.Metric`.

    Raises:
        UserError: the weights are not there.

    Source: Zhang et al., CVPR 2018, by the package `lpips`.
    """

    higher_is_better = False

    def __init__(self, net: str = "alex", folder: str | Path | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.network = lpips_network(net, folder, reader="the metric lpips")

    def score(self, prediction: Tensor, target: Tensor) -> Tensor:
        """LPIPS of each image."""
        distance: Tensor = self.network(2 * prediction - 1, 2 * target - 1)
        return distance.flatten()
