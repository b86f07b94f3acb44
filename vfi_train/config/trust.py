"""Configurations that lie beside weights: their `_target_`s run code, and the file may come from anywhere."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vfi_train.architectures.registry import is_registered
from vfi_train.config.targets import find_target
from vfi_train.errors import UserError

ROOMS = ("vfi_train.architectures", "losses", "datamodules")  # whose classes a file may name


def check_trusted(block: Any, key: str, source: Path, trust: bool) -> None:
    """Refuse code that is not this package's.

    Args:
        block: a block of a configuration, as plain values.
        key: its own, for messages.
        source: the file that it was read from.
        trust: accept anything.

    Raises:
        UserError: a target is neither a registered architecture nor a class of `ROOMS`, or a value is an interpolation,
            which may hide one.
    """
    for path, value in () if trust else _strings(block, key):
        if "${" in value or (path.endswith("._target_") and not _is_ours(path, value)):
            raise UserError(
                f"{source} says {path}={value}, and that may run any code: only networks, losses and datasets of this "
                "package are built from a file; if you wrote it yourself or trust who did, give trust=true"
            )


def _strings(node: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, str):
        yield path, node
    elif isinstance(node, Mapping):
        for key, value in node.items():
            yield from _strings(value, f"{path}.{key}")
    elif isinstance(node, list | tuple):
        for i, value in enumerate(node):
            yield from _strings(value, f"{path}[{i}]")


def _is_ours(path: str, name: str) -> bool:
    """Whether a target is one of `ROOMS`; nothing else is imported to see it."""
    if not name.startswith(tuple(f"{room}." for room in ROOMS)):
        return False
    found = find_target(path, name)
    is_defined_there = f"{getattr(found, '__module__', '')}.".startswith(tuple(f"{room}." for room in ROOMS))
    return is_defined_there and (inspect.isclass(found) or is_registered(found))
