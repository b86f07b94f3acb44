"""VGG's convolutions as a frozen judge of images (Simonyan and Zisserman, ICLR 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from losses.backbones import load_backbone

CONVOLUTIONS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}  # before each halving
WIDTHS = (64, 128, 256, 512, 512)
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, R G B


def vgg_layers(name: str, count: int, folder: str | Path | None = None) -> nn.Sequential:
    """The first `count` layers of torchvision's `features` of "vgg16" or "vgg19", frozen, with ImageNet weights.

    Args:
        name: which.
        count: of layers: convolutions, ReLUs and poolings, counted as torchvision does.
        folder: where the weights' file lies; null: torch's cache.

    Raises:
        UserError: the file is not there, or holds something else.
    """
    layers = _structure(name)[:count]
    load_backbone(layers, name, folder, reader="the perceptual loss")
    return layers


def normalised(image: Tensor) -> Tensor:
    """An image B 3 H W in [0, 1] as VGG was trained to see it."""
    # Channel by channel with plain numbers: a tensor of them would make the host wait for a GPU.
    channels = zip(image.unbind(1), MEAN, DEVIATION, strict=True)
    return torch.stack([(channel - mean) / deviation for channel, mean, deviation in channels], dim=1)


def run(layers: nn.Sequential, image: Tensor, slices: Sequence[tuple[int, int]]) -> list[Tensor]:
    """The output of each slice of layers (first, and last + 1), every slice going on from the one before."""
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
            # Not in place: a slice's output is compared after the next slice has read it.
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)
