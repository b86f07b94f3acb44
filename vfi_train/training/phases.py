"""The phases of a curriculum, as its configuration lists them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from vfi_train.errors import UserError, nearest
from vfi_train.training.run_directory import RunDirectory


@dataclass(frozen=True)
class Phase:
    """One entry of `curriculum.phases`.

    Args:
        name: of its folder.
        overrides: as on the command line; they make the curriculum's experiment this phase's training.
        train, freeze: patterns of parameter names that train, or stand still; null: as the overrides say.
        weights: what its network starts from: `previous` or the name of a phase (the best checkpoint; with ":last"
            the end of its training, with ":ema" an average), or whatever `weights=` takes; null: fresh weights.
            Not given: `previous`, and fresh ones for the first phase.
        optimizer_state: `fresh`, or `previous`: what the optimizer remembers of each tensor comes from where the
            weights come from, by name; tensors that were not trained there start empty.
        monitor: the value whose best checkpoint is kept (`callbacks.best.monitor`); null: as the overrides say.
        mode: whether the best is the `max` or the `min`.
    """

    name: str
    overrides: Sequence[str] = ()
    train: Sequence[str] | None = None
    freeze: Sequence[str] | None = None
    weights: str | None = "previous"
    optimizer_state: str = "fresh"
    monitor: str | None = None
    mode: str = "max"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\w[\w.-]*", self.name):
            raise UserError(f"{self.name!r} cannot be a phase's name, which names a folder: letters, digits, _ - .")
        for key, value, known in (
            ("optimizer_state", self.optimizer_state, ("fresh", "previous")),
            ("mode", self.mode, ("max", "min")),
        ):
            if value not in known:
                raise UserError(f"phase {self.name}: {key}: {value} is neither {' nor '.join(known)}")
        for override in self.overrides:
            key = override.lstrip("+~").partition("=")[0]
            if key in ("weights", "optimizer_state", "train", "freeze"):
                raise UserError(f"phase {self.name}: write `{key}:` in the phase itself, not in its overrides")


@dataclass
class Training:
    """A phase, ready to train: its whole configuration and its folder."""

    phase: Phase
    config: DictConfig
    run: RunDirectory
    choices: Mapping[str, Any] = field(default_factory=dict)  # of configuration groups


def read_phases(curriculum: DictConfig) -> list[Phase]:
    """The entries of `curriculum.phases`; `${curriculum.KEY}` in their overrides is filled in."""
    known = [entry.name for entry in fields(Phase)]
    phases: list[Phase] = []
    for number, entry in enumerate(curriculum.phases, 1):
        if not isinstance(entry, DictConfig) or not entry.get("name"):
            raise UserError(f"curriculum.phases: entry {number} needs a name, and may have {', '.join(known[1:])}")
        unknown = next((str(key) for key in entry if key not in known), None)
        if unknown is not None:
            raise UserError(f"there is no key {unknown!r} in phase {entry.name}: {nearest(unknown, known)}")
        written = OmegaConf.to_container(entry, resolve=False)
        assert isinstance(written, dict)
        overrides = [_fill(override, curriculum) for override in written.pop("overrides", None) or ()]
        values: dict[str, Any] = {} if number > 1 else {"weights": None}
        for key in map(str, written):
            values[key] = list(entry[key]) if isinstance(entry[key], ListConfig) else entry[key]
        phases.append(Phase(**{**values, "overrides": tuple(overrides)}))
    if not phases:
        raise UserError("curriculum.phases is empty: name one phase or more")
    names = [phase.name for phase in phases]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"curriculum.phases: two phases are called {twice}")
    return phases


def choose(phases: Sequence[Phase], only: Sequence[str] | None, start: str | None) -> list[Phase]:
    """The phases that are to be trained now."""
    names = [phase.name for phase in phases]
    wanted = names if only is None else [only] if isinstance(only, str) else list(only)
    for key, name in [*(("only", name) for name in wanted), *([("start", start)] if start is not None else [])]:
        if name not in names:
            raise UserError(f"curriculum.{key} names a phase {name!r}: {nearest(str(name), names)}")
    first = 0 if start is None else names.index(start)
    chosen = [phase for phase in phases[first:] if phase.name in wanted]
    if not chosen:
        raise UserError(f"curriculum.only and curriculum.start={start} leave no phase to train")
    return chosen


def _fill(override: str, curriculum: DictConfig) -> str:
    """An override with `${curriculum.KEY}` replaced: unlike other interpolations it may choose a group."""

    def value(match: re.Match[str]) -> str:
        found = OmegaConf.select(curriculum, match.group(1))
        if found is None:
            raise UserError(f"curriculum.{match.group(1)} is not set, which {override!r} needs")
        return str(found)

    return re.sub(r"\$\{curriculum\.(\w+)\}", value, str(override))
