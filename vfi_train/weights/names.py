"""Names of tensors in published checkpoints, translated both ways.

A family's map is a list of pairs of templates, (published, ours): `("dec{k}.up.{rest}", "decoders.{k}.{rest}")`.
A placeholder stands for one dotted part, `{rest}` for one or more. The first pair that fits a complete name
translates it; a name that none fits stays. A family without a map uses the published names.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

NameMap = list[tuple[str, str]]


def to_ours(name: str, names: NameMap) -> str:
    """Our name of the published tensor `name`."""
    return _translate(name, names)


def to_published(name: str, names: NameMap) -> str:
    """The published name of our tensor `name`."""
    return _translate(name, [(ours, published) for published, ours in names])


@dataclass(frozen=True)
class FamilyFiles:
    """What published checkpoints of a family look like; see `find_family`.

    Args:
        names: the map of the names.
        dropped: patterns of published tensors that are left out (buffers that are computed).
        optional: patterns of our tensors, each of a part that a checkpoint or a model may lack (RIFE's teacher).
        parts: patterns of our tensors that are published in files of their own, with the files' names. A file may be
            loaded by itself, and a folder that holds all of them.
        layouts: what the files hold, for the table of models.
        variant: gives the variant that tensors of these names and shapes are of; None where it is not known.
    """

    names: NameMap = field(default_factory=list)
    dropped: Sequence[str] = ()
    optional: Sequence[str] = ()
    parts: Mapping[str, str] = field(default_factory=dict)
    layouts: str = "state dict"
    variant: Callable[[Mapping[str, Tensor]], str | None] = lambda tensors: None


def find_family(family: str) -> FamilyFiles:
    """`NAMES`, `DROPPED`, `OPTIONAL`, `PARTS`, `LAYOUTS` and `variant` of families/FAMILY.py, where it exists."""
    module = f"vfi_train.weights.families.{family}"
    if importlib.util.find_spec(module) is None:
        return FamilyFiles()
    found = vars(importlib.import_module(module))
    keys = ("NAMES", "DROPPED", "OPTIONAL", "PARTS", "LAYOUTS", "variant")
    return FamilyFiles(**{key.lower(): found[key] for key in keys if key in found})


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
