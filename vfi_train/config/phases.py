"""The phases of a curriculum, each composed as an ordinary training."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from hydra.conf import HydraConf
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from vfi_train.config.compose import compose_config
from vfi_train.config.key_roles import Role, has_role
from vfi_train.config.overrides import check_values, search_path
from vfi_train.errors import UserError, nearest


@dataclass(frozen=True)
class Phase:
    """One entry of `curriculum.phases`.

    Args:
        name: of its folder.
        overrides: as on the command line; they make the curriculum's experiment this phase's training.
        train, freeze: patterns of the names of parameters that train, or are frozen; null: as the overrides say.
        weights: initial weights: `previous` or the name of a phase (the best checkpoint; with ":last" the end of its
            training, with ":ema" an average), or whatever `weights=` takes; null: random.
            Not given: `previous`, and random for the first phase.
        optimizer_state: `fresh`, or `previous`: the optimizer's state of each tensor is taken, by name, from where the
            weights come from; tensors that were not trained there start empty.
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
            key = _key(override)
            if key in ("weights", "optimizer_state", "train", "freeze"):
                raise UserError(f"phase {self.name}: write `{key}:` in the phase itself, not in its overrides")


def read_phases(curriculum: DictConfig) -> list[Phase]:
    """The entries of `curriculum.phases`; `${curriculum.KEY}` in their overrides is filled in.

    Raises:
        UserError: an entry is wrong, or `changes` or `overrides` name a phase that does not exist.
    """
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
    for key in ("changes", "overrides"):
        for name in curriculum[key]:
            _check_name(key, str(name), names)
    return phases


def choose(phases: Sequence[Phase], curriculum: DictConfig) -> list[Phase]:
    """The phases that `curriculum.only` and `curriculum.start` select.

    Raises:
        UserError: a phase does not exist, or none is left.
    """
    names, only, start = [phase.name for phase in phases], curriculum.only, curriculum.start
    wanted = names if only is None else [only] if isinstance(only, str) else list(only)
    for name in wanted:
        _check_name("only", name, names)
    if start is not None:
        _check_name("start", start, names)
    first = 0 if start is None else names.index(start)
    chosen = [phase for phase in phases[first:] if phase.name in wanted]
    if not chosen:
        raise UserError(f"curriculum.only and curriculum.start={start} leave no phase to train")
    return chosen


def phase_overrides(phase: Phase, curriculum: DictConfig, program: HydraConf) -> list[str]:
    """What makes a phase an ordinary training.

    The curriculum's experiment with the phase's overrides (which may name another experiment) and `changes`, then
    those of the command line, then `overrides`.

    Args:
        phase: one of the curriculum's.
        curriculum: the block `curriculum`.
        program: Hydra's configuration of the program.
    """
    inherited = [override for override in program.overrides.task if not has_role(_key(override), Role.CURRICULUM)]
    choices = program.runtime.choices
    base = [f"{group}={choices[group]}" for group in ("experiment", "curriculum") if choices.get(group)]
    changes, more = (curriculum[key].get(phase.name) or () for key in ("changes", "overrides"))
    return [*search_path(program.overrides.hydra), *base, *phase.overrides, *changes, *inherited, *more]


def compose_phase(
    phase: Phase, overrides: Sequence[str], weights: str | None, without_data: bool
) -> tuple[DictConfig, Mapping[str, Any]]:
    """The configuration of a phase as an ordinary training, and the choices of groups in it.

    Args:
        phase: one of a curriculum's.
        overrides: see `phase_overrides`.
        weights: see `initial_weights`.
        without_data: `roots` may be missing.
    """
    composed = compose_config("train", overrides, with_hydra=True)
    choices = dict(composed.hydra.runtime.choices)
    with open_dict(composed):
        del composed["hydra"]
    for name in [key for key in composed.roots if OmegaConf.is_missing(composed.roots, key)] if without_data else ():
        composed.roots[name] = None
    composed.curriculum = None
    check_values(composed, overrides, "train")
    for key in ("train", "freeze"):
        patterns = getattr(phase, key)
        if patterns is not None:
            composed[key] = patterns if isinstance(patterns, str) else list(patterns)
    if phase.monitor is not None:
        composed.callbacks.best.monitor, composed.callbacks.best.mode = phase.monitor, phase.mode
    composed.weights = weights
    composed.optimizer_state = weights if phase.optimizer_state == "previous" else None
    return composed, choices


def initial_weights(phase: Phase, phases: Sequence[Phase], folder: str) -> str | None:
    """What `weights=` is for a phase, the other phases being the runs FOLDER/PHASE.

    Raises:
        UserError: `previous` of the first phase.
    """
    if phase.weights is None:
        return None
    name, colon, kind = phase.weights.partition(":")
    earlier = [other.name for other in phases[: phases.index(phase)]]
    if name == "previous":
        if not earlier:
            raise UserError("weights: previous, but there is no phase before it")
        name = earlier[-1]
    return f"{folder}/{name}{colon}{kind}" if name in earlier else phase.weights


def _check_name(key: str, name: str, names: Sequence[str]) -> None:
    if name not in names:
        raise UserError(f"curriculum.{key} names a phase {name!r}: {nearest(name, names)}")


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def _fill(override: str, curriculum: DictConfig) -> str:
    """An override with `${curriculum.KEY}` replaced: unlike other interpolations it may choose a group."""

    def value(match: re.Match[str]) -> str:
        found = OmegaConf.select(curriculum, match.group(1))
        if found is None:
            raise UserError(f"curriculum.{match.group(1)} is not set, which {override!r} needs")
        return str(found)

    return re.sub(r"\$\{curriculum\.(\w+)\}", value, str(override))
