"""What a configuration says of its recipe, read without the data being there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig

from vfi_train.architectures import Architecture
from vfi_train.errors import UserError

CROPS = ("RandomCrop", "CenterCrop", "Resize")


@dataclass(frozen=True)
class DataRecipe:
    """What is trained on.

    Attributes:
        name: the dataset.
        batch_size: images to predict in an optimizer step, over all devices.
        size: height and width of the training images, where the configuration says it.
        flow: there are flow labels.
        published: published counts by what they count.
    """

    name: str
    batch_size: int
    size: tuple[int, int] | None
    flow: bool
    published: Mapping[str, int]


def datasets(config: DictConfig) -> list[DataRecipe]:
    """The datasets of `config.data`: one, or those that are trained on in turn."""
    return [_dataset(block) for block in _blocks(config.data)]


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
    return shapes


def averages(config: DictConfig) -> list[str]:
    """The names of the averages of weights that are kept."""
    targets = [block for block in config.callbacks.values() if block is not None]
    return [str(block.name) for block in targets if block._target_.endswith(".WeightAverage")]


def _blocks(data: DictConfig) -> Iterator[DictConfig]:
    several = data.get("datasets")
    if several is None:
        yield data
    else:
        yield from (several[name] for name in several)


def _dataset(block: DictConfig) -> DataRecipe:
    kind: Any = get_object(block._target_)
    group = 7 if block.get("item") == "group" else 1  # GoPro's seven targets at once
    return DataRecipe(
        name=kind.__name__,
        batch_size=block.batch_size * group,
        size=_size(block),
        flow=bool(block.get("flow", False)),
        published=dict(getattr(kind, "published", {})),
    )


def _size(block: DictConfig) -> tuple[int, int] | None:
    sizes = [t.size for t in block.get("transforms") or () if t._target_.rpartition(".")[2] in CROPS]
    found = sizes[-1] if sizes else block.get("size")
    if found is None:
        return None
    pair = (found, found) if isinstance(found, int) else tuple(found)
    if len(pair) != 2:
        raise UserError(f"a size of images is a number, or a height and a width; got {found}")
    return int(pair[0]), int(pair[1])
