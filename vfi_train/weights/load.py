"""`weights=` means one thing everywhere: shipped weights by name, a run, or a file."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from vfi_train.architectures import Architecture
from vfi_train.errors import UserError, check_ordinary, nearest
from vfi_train.weights.hub import SCHEME, hub_file, hub_folder, is_hub_folder
from vfi_train.weights.published_checkpoint import (
    is_published_folder,
    load_published,
    load_strict,
    read_checkpoint,
    unwrap,
)

LAST, PREVIOUS, BEST = "last.ckpt", "last_previous.ckpt", "best.ckpt"  # files in a run's folder `checkpoints`
NETWORK_PREFIX = "architecture."  # of the names of tensors in our own checkpoints
CHECKPOINTS = {None: (BEST, LAST), "best": (BEST, LAST), "last": (LAST,)}


def load_weights(model: Architecture, weights: str | Path, runs: str | Path = "runs") -> Path:
    """Load `weights` into `model`, all parameters or none. Tensors of a file that the model does not use are reported.

    Args:
        model: the network.
        weights: a file (ours or a published one), a folder of published files that belong together, a run (its name
            or its folder: the best checkpoint), or the name of weights that are shipped with the package
            (`list_shipped`), or a folder of the Hugging Face Hub's layout or its name there, "hf://OWNER/NAME".
            "RUN:last" is a run's last checkpoint, "RUN:ema" or "FILE:ema" an average of weights.
        runs: the folder of the runs.

    Returns:
        The file or folder that was read.

    Raises:
        UserError: there are no such weights, or they do not fit the model.
    """
    if is_published_folder(model.family, Path(weights)):
        load_published(model, weights)
        return Path(weights)
    path = find_weights(weights, runs)
    content = read_checkpoint(path)
    kind = _split(weights)[1]
    tensors = unwrap(content if kind in CHECKPOINTS else _averaged(content, str(kind), path), str(path))
    if all(name.startswith(NETWORK_PREFIX) for name in tensors):
        load_strict(model, {name.removeprefix(NETWORK_PREFIX): t for name, t in tensors.items()}, str(path))
    elif path.parent == shipped_folder():
        load_strict(model, tensors, str(path))
    else:
        report_dropped(path, tuple(load_published(model, content, str(path))))
    return path


@functools.cache  # a file is loaded more than once in a run
def report_dropped(path: Path, names: tuple[str, ...]) -> None:
    """A line on standard error (standard output may carry video) about tensors of `path` that were not loaded."""
    if names and os.environ.get("LOCAL_RANK", "0") == "0":
        shown = f"{', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
        print(f"{path}: {len(names)} tensors that the network does not use were left out ({shown})", file=sys.stderr)


def find_weights(weights: str | Path, runs: str | Path = "runs", key: str = "weights") -> Path:
    """The file that `weights` names; see `load_weights`. `key` is what the user calls it."""
    if str(weights).startswith(SCHEME):
        return hub_file(hub_folder(str(weights)))
    source, kind = _split(weights)
    given = Path(source)
    if is_hub_folder(given):
        return hub_file(given)
    if given.is_file():
        return given
    check_ordinary(given, key)
    shipped = shipped_folder() / f"{weights}.safetensors"
    for folder in (given, Path(runs) / given):
        if (folder / "checkpoints").is_dir():
            for name in CHECKPOINTS.get(kind, CHECKPOINTS[None]):
                if (folder / "checkpoints" / name).is_file():
                    return folder / "checkpoints" / name
            raise UserError(f"{key}={weights} is a run that has no checkpoint yet: let it train on")
    if shipped.is_file():
        return shipped
    found = [*Path(runs).glob("*/checkpoints"), *Path(runs).glob("*/*/checkpoints")]
    trained = [str(path.parent.relative_to(runs)) for path in found]
    raise UserError(
        f"{key}={weights} is no file, no run in {runs}/ and no shipped weights: "
        f"{nearest(str(weights), [*list_shipped(), *trained])}"
    )


def _split(weights: str | Path) -> tuple[str | Path, str | None]:
    """RUN:ema as (RUN, ema)."""
    source, colon, kind = str(weights).rpartition(":")
    if not colon or not kind.isidentifier() or Path(weights).exists():
        return weights, None
    return source, kind


def _averaged(content: Any, average: str, path: Path) -> Any:
    averages = content.get("averages", {}) if isinstance(content, Mapping) else {}
    if average not in averages:
        raise UserError(f"{path} has no average {average!r} of the weights: {nearest(average, averages)}")
    return averages[average]["state_dict"]


def list_shipped() -> list[str]:
    """Names of the weights that come with the package."""
    return sorted(path.stem for path in shipped_folder().glob("*.safetensors"))


def shipped_folder() -> Path:
    """Where the weights that come with the package lie, each with its card."""
    return Path(str(files("vfi_train.weights"))) / "shipped"
