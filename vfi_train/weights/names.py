"""Names of tensors in published checkpoints, translated both ways.

A family's map is a list of pairs of templates, (published, ours): `("dec{k}.up.{rest}", "decoders.{k}.{rest}")`.
A placeholder stands for one dotted part, `{rest}` for one or more. The first pair that fits a whole name
translates it; a name that none fits keeps its spelling. A family without a map uses the published names.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Iterable, Mapping

from torch import Tensor

NameMap = list[tuple[str, str]]


def to_ours(name: str, names: NameMap) -> str:
    """Our name of the published tensor `name`."""
    return _translate(name, names)


def to_published(name: str, names: NameMap) -> str:
    """The published name of our tensor `name`."""
    return _translate(name, [(ours, published) for published, ours in names])


def family_names(family: str) -> tuple[NameMap, list[str]]:
    """The map of a family and the patterns of published tensors that it leaves out (buffers made anew).

    They stand in `vfi_train/weights/families/FAMILY.py` as `NAMES` and `DROPPED`, where the file exists.
    """
    module = f"vfi_train.weights.families.{family}"
    if importlib.util.find_spec(module) is None:
        return [], []
    found = importlib.import_module(module)
    return getattr(found, "NAMES", []), getattr(found, "DROPPED", [])


def family_options(family: str) -> list[str]:
    """Patterns of our tensors, each of a part that a checkpoint or a model may do without (RIFE's teacher).

    They stand beside `NAMES` as `OPTIONAL`.
    """
    module = f"vfi_train.weights.families.{family}"
    if importlib.util.find_spec(module) is None:
        return []
    return getattr(importlib.import_module(module), "OPTIONAL", [])


def family_variant(family: str, tensors: Mapping[str, Tensor]) -> str | None:
    """Which variant of a family a published checkpoint is of, by the names and shapes of its tensors.

    The family's `variant` stands beside `NAMES`; None where there is none, or where it does not know.
    """
    module = f"vfi_train.weights.families.{family}"
    if importlib.util.find_spec(module) is None:
        return None
    find = getattr(importlib.import_module(module), "variant", None)
    return find(tensors) if find else None


def family_parts(family: str) -> dict[str, str]:
    """Parts of a network that are published in files of their own: a pattern of our tensors to the file's name.

    They stand beside `NAMES` as `PARTS`. A file may be loaded by itself, and a folder that holds all of them.
    """
    module = f"vfi_train.weights.families.{family}"
    if importlib.util.find_spec(module) is None:
        return {}
    return getattr(importlib.import_module(module), "PARTS", {})


def family_layouts(family: str) -> str:
    """What published checkpoints of a family look like, in words for the table of models."""
    module = f"vfi_train.weights.families.{family}"
    if importlib.util.find_spec(module) is None:
        return "state dict"
    return getattr(importlib.import_module(module), "LAYOUTS", "state dict")


def _translate(name: str, pairs: Iterable[tuple[str, str]]) -> str:
    for source, destination in pairs:
        match = re.fullmatch(_pattern(source), name)
        if match:
            return destination.format(**match.groupdict())
    return name


def _pattern(template: str) -> str:
    pieces = re.split(r"\{(\w+)\}", template)
    for i in range(1, len(pieces), 2):
        pieces[i] = f"(?P<{pieces[i]}>.+)" if pieces[i] == "rest" else f"(?P<{pieces[i]}>[^.]+)"
    return "".join(re.escape(piece) if i % 2 == 0 else piece for i, piece in enumerate(pieces))
