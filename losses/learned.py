"""LPIPS: how far apart two images are for a network that was fitted to what people said."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from losses.backbones import JudgedTerm, load_backbone
from losses.base import Weight
from vfi_train.contract import Batch, Prediction
from vfi_train.errors import UserError

NETWORKS = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}


class LPIPS(JudgedTerm):
    """LPIPS (version 0.1) of the predicted and the true frame, mean over the batch.

    The backbone and the linear heads, which the package brings along, are frozen and in no checkpoint.

    Args:
        weight: see `Term`.
        net: "alex" (what is usually reported), "vgg" (what its authors advise as a loss) or "squeeze".
        reverse_channels: images are BGR, as for networks of that order: turn them, since it was fitted on RGB.
        folder: where the backbone's weights lie; null: torch's cache.

    Raises:
        UserError: the backbone's weights are not there (at construction).

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
        distance: Tensor = self.judge(x, y)
        return distance.mean()


def lpips_network(net: str = "alex", folder: str | Path | None = None, reader: str = "LPIPS") -> nn.Module:
    """The `lpips` package's network with its backbone's weights from `folder` or torch's cache, frozen.

    Takes two images B 3 H W, RGB in [-1, 1]; gives B 1 1 1.

    Raises:
        UserError: the backbone's weights are not there.
    """
    if net not in NETWORKS:
        raise UserError(f"net={net} is none of {', '.join(NETWORKS)}")
    import lpips

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torchvision: the package calls it in an old way
        # A backbone drawn at random: the package would fetch weights from the internet.
        network: Any = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    slices = {int(number): layer for part in network.net.children() for number, layer in part.named_children()}
    features = nn.ModuleDict({str(number): slices[number] for number in sorted(slices)})
    load_backbone(features, NETWORKS[net], folder, reader)
    return network.requires_grad_(False).eval()
