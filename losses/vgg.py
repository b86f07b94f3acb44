"""VGG's convolutions as a frozen backbone (Simonyan and Zisserman, ICLR 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from losses.backbones import load_backbone

CONVOLUTIONS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}  # before each pooling
WIDTHS = (64, 128, 256, 512, 512)
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, R G B


def vgg_layers(
    name: str, count: int, folder: str | Path | None = None, reader: str = "the perceptual loss"
) -> nn.Sequential:
    """The first `count` layers of torchvision's `features` of "vgg16" or "vgg19", frozen, with ImageNet weights.

    Args:
        name: of the network.
        count: of layers (convolutions, ReLUs, poolings), as in torchvision.
        folder: of the weights' file; None: torch's cache.
        reader: what needs the weights, for the message.

    Raises:
        UserError: the file is missing or holds something else.
    """
    layers = _structure(name)[:count]
    load_backbone(layers, name, folder, reader)
    return layers


def normalised(image: Tensor) -> Tensor:
    """An image B 3 H W in [0, 1] with ImageNet's mean and standard deviation removed."""
    # Channel by channel with plain numbers: copying a tensor of them to a GPU would make the host wait.
    channels = zip(image.unbind(1), MEAN, DEVIATION, strict=True)
    return torch.stack([(channel - mean) / deviation for channel, mean, deviation in channels], dim=1)


def run(layers: nn.Sequential, image: Tensor, slices: Sequence[tuple[int, int]]) -> list[Tensor]:
    """The outputs of slices of layers (first, last + 1), each applied to the previous one's output."""
    outputs = []
    for start, stop in slices:
        for layer in layers[start:stop]:
            image = layer(image)
        outputs.append(image)
    return outputs


def _structure(name: str) -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = 3
    for count, width in zip(CONVOLUTIONS[name], WIDTHS, strict=True):
        for _ in range(count):
            # Not in place: a slice's output is still needed after the next slice.
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)
