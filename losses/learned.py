"""LPIPS: the distance of two images in a network's features, fitted to human judgements."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from losses.backbones import BackboneTerm, load_backbone
from losses.base import Weight
from vfi_train.contract import Batch, Prediction
from vfi_train.errors import UserError

NETWORKS = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}


class LPIPS(BackboneTerm):
    """LPIPS (version 0.1) of the predicted and the true frame, mean over the batch.

    Backbone and linear heads (from the package) are frozen and in no checkpoint.

    Args:
        weight: see `Term`.
        net: "alex" (usually reported), "vgg" (its authors' advice for a loss) or "squeeze".
        reverse_channels: convert BGR images, of networks of that order, to RGB.
        folder: of the backbone's weights; null: torch's cache.

    Raises:
        UserError: the backbone's weights are missing (at construction).

    Source: Zhang et al., CVPR 2018, by the package `lpips`.
    """

    def __init__(
        self,
        weight: Weight = 1.0,
        net: Literal["alex", "vgg", "squeeze"] = "vgg",
        reverse_channels: bool = False,
        folder: str | Path | None = None,
    ) -> None:
        super().__init__(weight, lpips_network(net, folder, reader="the LPIPS loss"))
        self.reverse_channels = reverse_channels

    def forward(self, prediction: Prediction, batch: Batch) -> Tensor:
        """A scalar; see `Term.forward`."""
        images = (prediction.frame, batch["target"])
        x, y = (2 * (p.flip(1) if self.reverse_channels else p) - 1 for p in images)
        distance: Tensor = self.backbone(x, y)
        return distance.mean()


def lpips_network(net: str = "alex", folder: str | Path | None = None, reader: str = "LPIPS") -> nn.Module:
    """The frozen network of the package `lpips`, its backbone's weights read from `folder` or torch's cache.

    Maps two images B 3 H W, RGB in [-1, 1], to B 1 1 1.

    Raises:
        UserError: unknown `net`, or the backbone's weights are missing.
    """
    if net not in NETWORKS:
        raise UserError(f"net={net} is none of {', '.join(NETWORKS)}")
    import lpips

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package passes arguments that torchvision deprecated
        # Random weights first: the package would download trained ones.
        network: Any = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    slices = {int(number): layer for part in network.net.children() for number, layer in part.named_children()}
    features = nn.ModuleDict({str(number): slices[number] for number in sorted(slices)})
    load_backbone(features, NETWORKS[net], folder, reader)
    return network.requires_grad_(False).eval()


def distance_maps(network: Any, x: Tensor, y: Tensor) -> list[Tensor]:
    """The distance at each pixel of each layer, B 1 h w, of which LPIPS is the sum of the means.

    Args:
        network: see `lpips_network`.
        x: B 3 H W, RGB in [-1, 1].
        y: what it is compared with.
    """
    from lpips import normalize_tensor

    pairs = zip(*(network.net(network.scaling_layer(image)) for image in (x, y)), strict=True)
    differences = [(normalize_tensor(a) - normalize_tensor(b)).square() for a, b in pairs]
    return [layer(difference) for layer, difference in zip(network.lins, differences, strict=True)]
