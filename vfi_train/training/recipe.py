"""What a configuration says of its datasets, losses and averages, read without the data being there."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hydra.utils import get_object, instantiate

from datamodules.transforms import RandomCrop, Resize
from losses.base import Weight
from vfi_train.architectures import Architecture
from vfi_train.callbacks.validation_metrics import ValidationMetrics
from vfi_train.callbacks.weight_average import WeightAverage
from vfi_train.contract import CONTEXT
from vfi_train.errors import UserError
from vfi_train.loggers.wandb import wandb_logger


@dataclass(frozen=True)
class DataRecipe:
    """A dataset that is trained on.

    Attributes:
        kind: the datamodule's class.
        root: its folder; None: it has none, or none is given.
        batch_size: images to predict in an optimizer step, over all devices.
        size: height and width of the training images, where the configuration says it.
        flow: there are flow labels; None: the configuration does not say.
        variant: how it gives times: "T" as numbers, "D" as distance maps, with "R" beside a reference; None: one way.
        epoch: samples of an epoch on the complete published list, where a sample is a line of it.
    """

    kind: type
    root: str | None
    batch_size: int
    size: tuple[int, int] | None
    flow: bool | None
    variant: str | None = None
    epoch: int | None = None

    @property
    def published(self) -> Mapping[str, int]:
        """Published counts by what they count."""
        return getattr(self.kind, "published", {})

    @property
    def unit(self) -> str:
        """What they count; "": their names say it."""
        return getattr(self.kind, "unit", "")


@dataclass(frozen=True)
class LossRecipe:
    """A loss term.

    Attributes:
        name: in the logs.
        kind: the term's class, or the function that makes it.
        weight: a number, or one that follows the optimizer steps.
        has_backbone: it reads a file of pretrained weights.
    """

    name: str
    kind: Any
    weight: Weight
    has_backbone: bool


def takes(block: Mapping[str, Any], argument: str) -> bool:
    """Whether what `_target_` of a block names has an argument of this name."""
    return argument in inspect.signature(get_object(block["_target_"])).parameters


def datasets(data: Mapping[str, Any]) -> tuple[DataRecipe, ...]:
    """The datasets of a block `data`: one, or those that are trained on in turn."""
    return tuple(map(_dataset, (data.get("datasets") or {"": data}).values()))


def validated_on(data: Mapping[str, Any]) -> str:
    """The names of the classes that a block `data` validates on."""
    split = data.get("val_split")  # of files: the name of a list; of several datasets: another one, or several
    if not isinstance(split, Mapping):
        return datasets(data)[0].kind.__name__
    blocks = [split] if "_target_" in split else split.values()
    return " and ".join(get_object(block["_target_"]).__name__ for block in blocks)  # type: ignore[union-attr]


def loss_terms(loss: Mapping[str, Any]) -> tuple[LossRecipe, ...]:
    """The terms of a block `loss`."""
    return tuple(
        LossRecipe(
            name,
            get_object(block["_target_"]),
            instantiate(weight, _convert_="all") if isinstance(weight := block.get("weight", 1.0), Mapping) else weight,
            takes(block, "folder"),
        )
        for name, block in loss["terms"].items()
        if block is not None
    )


def weight_averages(callbacks: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the averages of weights that a block `callbacks` keeps."""
    blocks = [block for block in callbacks.values() if block is not None]
    default = inspect.signature(WeightAverage).parameters["name"].default
    return tuple(block.get("name", default) for block in blocks if get_object(block["_target_"]) is WeightAverage)


def validates_loss(callbacks: Mapping[str, Any]) -> bool:
    """Whether a block `callbacks` logs the loss of validation samples."""
    blocks = [block for block in callbacks.values() if block is not None and "loss" in block.get("names", ())]
    return any(get_object(block["_target_"]) is ValidationMetrics for block in blocks)


def wandb_mode(loggers: Mapping[str, Any]) -> str | None:
    """How a block `logger` uses W&B: "auto", "online" or "offline"; None: not at all."""
    blocks = [block for block in loggers.values() if block is not None]
    return next((block.get("mode", "auto") for block in blocks if get_object(block["_target_"]) is wandb_logger), None)


def batch_shapes(
    recipe: DataRecipe, architecture: Architecture, samples: int, size: tuple[int, int]
) -> dict[str, tuple[int, ...]]:
    """The shapes of a micro-batch's tensors, by their names in `Batch`."""
    image = (samples, 3, *size)
    shapes: dict[str, tuple[int, ...]] = {"frame0": image, "frame1": image, "target": image}
    shapes["time"] = (samples, 1, *size) if architecture.takes_time_map else (samples, 1, 1, 1)
    if recipe.flow:
        shapes["flow"] = (samples, 4, *size)
    if architecture.takes_reference:
        shapes |= {"reference": image, "reference_time": (samples, 1, *size)}
    if architecture.takes_context:
        shapes |= dict.fromkeys(CONTEXT, image)
    return shapes


def _dataset(block: Mapping[str, Any]) -> DataRecipe:
    group = 7 if block.get("item") == "group" else 1  # GoPro's seven targets at once
    kind: Any = get_object(block["_target_"])
    listed = next(iter(getattr(kind, "published", {}).values()), None) if takes(block, "train_fraction") else None
    return DataRecipe(
        kind=kind,
        root=block.get("root"),
        batch_size=block["batch_size"] * group,
        size=_size(block),
        flow=block.get("flow"),
        variant=block.get("variant"),
        epoch=None if listed is None else int(block.get("train_fraction", 1.0) * listed),
    )


def _size(block: Mapping[str, Any]) -> tuple[int, int] | None:
    transforms = [(get_object(t["_target_"]), t) for t in block.get("transforms") or ()]
    sizes = [t["size"] for kind, t in transforms if inspect.isclass(kind) and issubclass(kind, RandomCrop | Resize)]
    found = sizes[-1] if sizes else block.get("size")
    if found is None:
        return None
    pair = (found, found) if isinstance(found, int) else tuple(found)
    if len(pair) != 2:
        raise UserError(f"a size of images is a number, or a height and a width; got {found}")
    return int(pair[0]), int(pair[1])
