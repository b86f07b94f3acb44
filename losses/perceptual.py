"""Perceptual losses on VGG features, as in EMA-VFI's CO3D fork, ATM-VFI and RIFE."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from losses.backbones import BackboneTerm
from losses.base import Weight
from losses.vgg import normalised, run, vgg_layers
from vfi_train.contract import Batch, Prediction
from vfi_train.errors import UserError, nearest
from vfi_train.ranges import NonNegative


@dataclass(frozen=True)
class Recipe:
    """Which features are compared, and how.

    Args:
        backbone: "vgg16" or "vgg19".
        slices: ranges (first, last + 1) of layers of VGG's `features`, each applied to the previous one's output.
        weights: of the slices' mean absolute differences.
        styled: slices whose Gram matrices are compared, by `style_error`.
        side: normalised images are resized to this square first; None: not.
    """

    backbone: str
    slices: tuple[tuple[int, int], ...]
    weights: tuple[float, ...]
    styled: tuple[int, ...] = ()
    style_error: Callable[[Tensor, Tensor], Tensor] = F.l1_loss
    side: int | None = None


RECIPES = {
    "ema_vfi_co3d": Recipe(
        "vgg16",
        slices=((0, 4), (4, 9), (9, 16), (16, 23)),  # relu1_2, relu2_2, relu3_3, relu4_3
        weights=(1, 1, 1, 1),
        styled=(2, 3),
        side=224,
    ),
    "atm_vfi": Recipe(
        "vgg19",
        # relu1_2, relu2_2, relu3_4, relu4_4, relu5_4; as published, layers 16 and 17 run twice
        slices=((0, 4), (4, 9), (9, 18), (16, 27), (27, 36)),
        weights=(1, 1, 1, 1, 1),
        styled=(0, 1, 2, 3, 4),
        style_error=F.mse_loss,
    ),
    "rife": Recipe(
        "vgg19",
        slices=((0, 2), (2, 7), (7, 12), (12, 21), (21, 30)),  # relu1_1, relu2_1, relu3_1, relu4_1, relu5_1
        weights=(0.1 / 2.6, 0.1 / 4.8, 0.1 / 3.7, 0.1 / 5.6, 1 / 1.5),
    ),
}


class Perceptual(BackboneTerm):
    """Mean absolute difference of VGG features, summed over slices of layers, and optionally of their Gram matrices.

    The backbone is frozen and in no checkpoint.

    Args:
        weight: see `Term`.
        recipe: "ema_vfi_co3d", "atm_vfi" or "rife"; see `RECIPES`.
        fields: fields of the prediction compared with the target, and their weights; entries of a list, all of the
            target's size, are summed.
        content: weight of the features' difference.
        style: weight of the difference of Gram matrices (sums over pixels, not normalised); 0: none.
        reverse_channels: convert BGR images, of networks of that order, to RGB. EMA-VFI's fork does not.
        folder: of the backbone's weights; null: torch's cache.

    Raises:
        UserError: the backbone's weights are missing (at construction), or an entry has not the target's shape.

    Source: EMA-VFI's CO3D fork (half the Laplacian and half this; the frame with weight 1, both blends with 0.5;
    optional style weight 1), ATM-VFI's published trainer (content 0.05, style 5e-9), RIFE's loss file (in no
    recipe).
    """

    def __init__(
        self,
        weight: Weight = 1.0,
        recipe: str = "ema_vfi_co3d",
        fields: Mapping[str, float] | None = None,
        content: NonNegative = 1.0,
        style: NonNegative = 0.0,
        reverse_channels: bool = False,
        folder: str | Path | None = None,
    ) -> None:
        if recipe not in RECIPES:
            raise UserError(f"there is no perceptual recipe {recipe!r}; {nearest(recipe, RECIPES)}")
        chosen = RECIPES[recipe]
        if style and not chosen.styled:
            raise UserError(f"the perceptual recipe {recipe!r} has no style part: leave style at 0")
        if not content and not style:
            raise UserError("a perceptual loss needs a weight of content or of style other than 0; both are 0")
        super().__init__(weight, vgg_layers(chosen.backbone, chosen.slices[-1][1], folder))
        self.recipe = chosen
        self.fields = {"frame": 1.0} if fields is None else dict(fields)
        self.reads = tuple(self.fields)
        self.content, self.style, self.reverse_channels = content, style, reverse_channels

    def forward(self, prediction: Prediction, batch: Batch) -> Tensor:
        """A scalar; see `Term.forward`."""
        return torch.stack(list(self.parts(prediction, batch).values())).sum()

    def parts(self, prediction: Prediction, batch: Batch) -> dict[str, Tensor]:
        """`content` and `style` separately where both have a weight; see `Term.parts`."""
        with torch.no_grad():
            target = self.features(batch["target"])
        sums: dict[str, list[Tensor]] = {}
        for field, weight in self.fields.items():
            value = prediction.require(field, reader="the perceptual loss")
            for entry in value if isinstance(value, list) else [value]:
                assert isinstance(entry, Tensor)
                if entry.shape != batch["target"].shape:
                    raise UserError(
                        f"the perceptual loss compares images of the target's shape {tuple(batch['target'].shape)}; "
                        f"prediction.{field} has {tuple(entry.shape)}: take the field out of `fields`"
                    )
                for part, distance in self.distances(self.features(entry), target).items():
                    sums.setdefault(part, []).append(weight * distance)
        found = {part: torch.stack(values).sum() for part, values in sums.items()}
        return found if len(found) > 1 else {"": next(iter(found.values()))}

    def features(self, image: Tensor) -> list[Tensor]:
        """The output of each slice for an image B 3 H W in [0, 1]."""
        image = normalised(image.flip(1) if self.reverse_channels else image)
        if self.recipe.side is not None:
            size = (self.recipe.side, self.recipe.side)
            image = F.interpolate(image, size, mode="bilinear", align_corners=False)
        return run(self.backbone, image, self.recipe.slices)

    def distances(self, features: list[Tensor], target: list[Tensor]) -> dict[str, Tensor]:
        """Weighted `content` and `style` differences of two images' features; those of weight 0 are left out."""
        found = {}
        if self.content:
            pairs = zip(self.recipe.weights, features, target, strict=True)
            found["content"] = self.content * torch.stack([w * F.l1_loss(x, y) for w, x, y in pairs]).sum()
        if self.style:
            grams = [self.recipe.style_error(gram(features[i]), gram(target[i])) for i in self.recipe.styled]
            found["style"] = self.style * torch.stack(grams).sum()
        return found


def gram(features: Tensor) -> Tensor:
    """Gram matrices, sums over pixels: B C H W to B C C."""
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2)
