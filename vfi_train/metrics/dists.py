"""DISTS: structure and texture similarity of two images in VGG's features (Ding et al., TPAMI 2020)."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

import torch
from torch import Tensor, nn
from torchmetrics.functional.image import dists

from losses.vgg import WIDTHS, normalised, run, vgg_layers

LAYERS = 30  # of VGG-16's features, to the last ReLU
POOLINGS = (4, 9, 16, 23)
SLICES = ((0, 4), (4, 9), (9, 16), (16, 23), (23, 30))


class DISTSNetwork(dists.DISTSNetwork):
    """torchmetrics' network with VGG's weights from `folder` or torch's cache: torchmetrics' own downloads them.

    Maps two images B 3 H W, RGB in [0, 1], to B numbers from 0 (equal) to 1.

    Args:
        folder: of VGG's weights; None: torch's cache.
        reader: what needs the weights, for the message.

    Raises:
        UserError: the weights are missing.
    """

    def __init__(self, folder: str | Path | None = None, reader: str = "DISTS") -> None:
        nn.Module.__init__(self)
        self.layers = vgg_layers("vgg16", LAYERS, folder, reader)
        for at, width in zip(POOLINGS, WIDTHS, strict=False):
            self.layers[at] = dists.L2pooling(channels=width)
        self.chns = [3, *WIDTHS]
        with as_file(files("torchmetrics.functional.image").joinpath("dists_models", "weights.pt")) as path:
            weights = torch.load(path, map_location="cpu", weights_only=True)
        self.alpha, self.beta = (nn.Parameter(weights[name], requires_grad=False) for name in ("alpha", "beta"))

    def forward_once(self, x: Tensor) -> list[Tensor]:
        """The image, and the features of VGG's five stages."""
        return [x, *run(self.layers, normalised(x), SLICES)]

    def forward(self, x: Tensor, y: Tensor, require_grad: bool = False) -> Tensor:
        """B numbers."""
        return super().forward(x, y, require_grad).reshape(-1)
