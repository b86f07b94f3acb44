"""Published checkpoints: read safely, unwrapped, translated, loaded strictly; and ours written in their names."""

from __future__ import annotations

import fnmatch
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vfi_train.architectures import Architecture
from vfi_train.errors import UserError
from vfi_train.weights.checksums import check_archive, read_safetensors
from vfi_train.weights.names import find_family, to_ours, to_published
from vfi_train.weights.safe_load import refuse_other_kinds, safe_load

# Keys of the network's tensors in what published training scripts save, and prefixes of their names.
WRAPPERS = ("state_dict", "model", "model_state_dict", "params", "params_ema", "network", "net")
PREFIXES = ("module.", "_orig_mod.", "net.", "model.")


def load_published(
    model: Architecture, source: str | Path | Mapping[str, Any], origin: str = "the state dict"
) -> list[str]:
    """Load a published checkpoint into `model`, strictly.

    Args:
        model: an architecture of the checkpoint's variant.
        source: a file (.pth, .pt, .pkl, .ckpt, .safetensors) or a state dict, with any wrapper and prefix that the
            published scripts gave it. Where a family is published in several files: their folder, or one of them,
            which leaves the rest of the model as it is and warns.
        origin: what messages call a state dict.

    Returns:
        Published names of tensors that were not loaded: buffers that are computed, parts that only training uses.

    Raises:
        UserError: there is no such file, it is no checkpoint, holds more than tensors, or does not fit.
    """
    if isinstance(source, Mapping):
        contents = [source]
    else:
        contents = [read_checkpoint(file) for file in weight_files(model.family, Path(source))]
        origin = str(source)
    tensors: dict[str, Tensor] = {}
    for content in contents:
        tensors |= strip_prefixes(unwrap(content, origin))
    family = find_family(model.family)
    dropped = [name for name in tensors if any(fnmatch.fnmatchcase(name, pattern) for pattern in family.dropped)]
    ours = {to_ours(name, family.names): tensor for name, tensor in tensors.items() if name not in set(dropped)}
    found = family.variant(tensors)
    is_other = found != family.variant(published_state_dict(model))
    kept = match_optional_parts(model, ours)
    load_strict(model, match_separate_parts(model, kept, origin), origin, variant=found if is_other else None)
    return dropped + [to_published(name, family.names) for name in ours if name not in kept]


def is_published_folder(family: str, path: Path) -> bool:
    """Whether the folder holds the files that the family is published in."""
    files = find_family(family).parts.values()
    return bool(files) and all((path / name).is_file() for name in files)


def weight_files(family: str, path: Path) -> list[Path]:
    """The files of a published folder, in the family's order, or the file itself."""
    if is_published_folder(family, path):
        return [path / name for name in find_family(family).parts.values()]
    return [path]


def match_separate_parts(model: Architecture, tensors: dict[str, Tensor], origin: str) -> dict[str, Tensor]:
    """Keep the model's own of each part that is published in a file of its own and is missing completely."""
    own, parts = model.state_dict(), find_family(model.family).parts
    absent = [pattern for pattern in parts if not fnmatch.filter(tensors, pattern)]
    if len(absent) == len(parts):
        return tensors  # none of it fits: load_strict says what is missing
    for pattern in absent:
        warnings.warn(f"{origin} has nothing of {parts[pattern]}: {pattern} keeps its weights", stacklevel=3)
        tensors = {**tensors, **{name: own[name] for name in fnmatch.filter(own, pattern)}}
    return tensors


def match_optional_parts(model: Architecture, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Leave out an optional part that the model lacks; keep the model's where the checkpoint lacks it."""
    own = model.state_dict()
    for pattern in find_family(model.family).optional:
        given = fnmatch.filter(tensors, pattern)
        wanted = fnmatch.filter(own, pattern)
        if not wanted:
            tensors = {name: tensor for name, tensor in tensors.items() if name not in given}
        elif not given:
            tensors = {**tensors, **{name: own[name] for name in wanted}}
    return tensors


def published_state_dict(model: Architecture) -> dict[str, Tensor]:
    """The tensors of `model` under the names that its published repository uses."""
    names = find_family(model.family).names
    return {to_published(name, names): tensor for name, tensor in model.state_dict().items()}


def read_checkpoint(path: str | Path) -> Mapping[str, Any]:
    """What a checkpoint file holds, read without running any code in it, its checksums compared where it has some."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no weights file {path}: give an existing .pth, .ckpt or .safetensors")
    if path.suffix == ".safetensors":
        refuse_other_kinds(path)
        return read_safetensors(path)
    check_archive(path)
    content = safe_load(path)
    if not isinstance(content, Mapping):
        raise UserError(f"{path} holds a {type(content).__name__}, not a state dict")
    return content


def unwrap(content: Mapping[str, Any], origin: str) -> dict[str, Tensor]:
    """The dict of tensors in a saved checkpoint."""
    for _ in range(3):
        tensors = {str(k): v for k, v in content.items() if isinstance(v, Tensor)}
        if tensors:
            return tensors
        wrapper = next((key for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if wrapper is None:
            break
        content = content[wrapper]
    raise UserError(
        f"{origin} holds no tensors at its top nor under {', '.join(WRAPPERS)}; its keys: "
        f"{', '.join(map(str, list(content)[:8])) or 'none'}"
    )


def strip_prefixes(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names without what wrappers like DistributedDataParallel put before all of them."""
    while tensors:
        prefix = next((p for p in PREFIXES if all(name.startswith(p) for name in tensors)), None)
        if prefix is None:
            break
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def load_strict(model: torch.nn.Module, tensors: Mapping[str, Tensor], origin: str, variant: str | None = None) -> None:
    """Load tensors by name; anything missing, left over, of another shape or not finite is one UserError.

    It names `variant`, where the tensors are known to be of another one than the model.
    """
    expected = model.state_dict()
    missing = [name for name in expected if name not in tensors]
    unexpected = [name for name in tensors if name not in expected]
    shapes = [
        f"{name} {tuple(tensors[name].shape)} for {tuple(expected[name].shape)}"
        for name in expected
        if name in tensors and tensors[name].shape != expected[name].shape
    ]
    broken = [name for name in tensors if tensors[name].is_floating_point() and not tensors[name].isfinite().all()]
    if broken:
        raise UserError(
            f"{origin} has {len(broken)} tensors with values that are not finite ({', '.join(broken[:3])}"
            f"{', ...' if len(broken) > 3 else ''}): its training diverged or the file is damaged; give an earlier one"
        )
    problems = [
        f"{len(found)} {what} ({', '.join(found[:3])}{', ...' if len(found) > 3 else ''})"
        for what, found in (
            ("tensors are missing", missing),
            ("tensors are not known", unexpected),
            ("tensors have another shape", shapes),
        )
        if found
    ]
    if problems:
        raise UserError(
            f"{origin} does not fit {type(model).__name__}: {'; '.join(problems)}: "
            f"choose the variant that the checkpoint was trained as{f': {variant}' if variant else ''}"
        )
    model.load_state_dict(dict(tensors), strict=True)
