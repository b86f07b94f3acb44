"""Curricula: trainings in phases, one after the other, each an ordinary training in a folder of its own."""

from __future__ import annotations

import gc
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from vfi_train.config import check_values, compose_beside, explain
from vfi_train.config_targets import check_targets
from vfi_train.console import say
from vfi_train.errors import UserError, nearest
from vfi_train.run_directory import RunDirectory, run_name
from vfi_train.train import build_module, check_pairing, plain, train_run

# Keys of the command line that are the curriculum's, not its phases'.
NOT_THE_PHASES = ("experiment", "curriculum", "weights", "optimizer_state", "dry_run", "check", "name", "sweep")


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


def train_curriculum(config: DictConfig) -> None:
    """Train the phases of `config.curriculum`, each where it stopped; a finished one is not trained again."""
    trainings = plan(config)
    if config.dry_run:
        from vfi_train.curriculum_table import show

        return show(trainings)
    if config.check:
        return check_all(trainings)
    waiting = [training for training in trainings if not training.run.finished]
    for training in waiting:
        prove(training)
    for number, training in enumerate(trainings, 1):
        say(f"phase {training.phase.name}, {number} of {len(trainings)}")
        train_run(training.config, training.run)
        if torch.cuda.is_available():
            gc.collect()  # the network before, and what the GPU held of it
            torch.cuda.empty_cache()


def plan(config: DictConfig) -> list[Training]:
    """The trainings that `config.curriculum` asks for, composed and checked against what the program knows.

    Raises:
        UserError: naming the phase and the mistake.
    """
    phases = read_phases(config.curriculum)
    chosen = choose(phases, config.curriculum.only, config.curriculum.start)
    folder = run_name(config)
    names = [phase.name for phase in phases]
    for key in ("changes", "overrides"):
        for name in config.curriculum[key]:
            if name not in names:
                raise UserError(f"curriculum.{key} names a phase {name!r}: {nearest(str(name), names)}")
    trainings = []
    for phase in chosen:
        overrides = phase_overrides(phase, config.curriculum)
        try:
            composed, choices = compose_phase(phase, config, overrides)
            start_from(composed, source(phase, phases, folder), phase.optimizer_state)
            if config.weights is not None and phase is chosen[0]:
                start_from(composed, config.weights, "fresh")
            check_targets(composed)
        except Exception as error:
            said = explain(error, overrides, "train")
            if said is None:
                raise
            raise UserError(f"phase {phase.name}: {said}") from error
        run = RunDirectory(Path(config.runs) / folder / phase.name, plain(composed), f"{folder}/{phase.name}")
        trainings.append(Training(phase, composed, run, choices))
    foresee(trainings)
    if not (config.dry_run or config.check):
        check_sources(trainings, phases, config, folder)
    return trainings


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


def phase_overrides(phase: Phase, curriculum: DictConfig) -> list[str]:
    """What makes a phase an ordinary training.

    The curriculum's experiment with the phase's overrides (which may name another experiment) and `changes`, then
    those of the command line, then `overrides`.
    """
    program = HydraConfig.get()
    inherited = [override for override in program.overrides.task if not _is_the_curriculums(override)]
    choices = program.runtime.choices
    base = [f"{group}={choices[group]}" for group in ("experiment", "curriculum") if choices.get(group)]
    search = [override for override in program.overrides.hydra if override.startswith("hydra.searchpath")]
    changes, more = (curriculum[key].get(phase.name) or () for key in ("changes", "overrides"))
    return [*search, *base, *phase.overrides, *changes, *inherited, *more]


def compose_phase(phase: Phase, config: DictConfig, overrides: Sequence[str]) -> tuple[DictConfig, dict[str, Any]]:
    """The configuration of a phase as an ordinary training, and the choices of groups in it."""
    composed = compose_beside(overrides, "train", hydra_too=True)
    found = dict(composed.hydra.runtime.choices)
    with open_dict(composed):
        del composed["hydra"]
    if config.dry_run:
        for name in [key for key in composed.roots if OmegaConf.is_missing(composed.roots, key)]:
            composed.roots[name] = None
    composed.curriculum = None
    check_values(composed, overrides, "train")
    for key in ("train", "freeze"):
        if getattr(phase, key) is not None:
            composed[key] = list(getattr(phase, key))
    if phase.monitor is not None:
        composed.callbacks.best.monitor, composed.callbacks.best.mode = phase.monitor, phase.mode
    return composed, found


def source(phase: Phase, phases: Sequence[Phase], folder: str) -> str | None:
    """What `weights=` is for a phase, other phases being runs in `folder`."""
    if phase.weights is None:
        return None
    name, colon, kind = phase.weights.partition(":")
    earlier = [other.name for other in phases[: phases.index(phase)]]
    if name == "previous":
        if not earlier:
            raise UserError("weights: previous, but there is no phase before it")
        name = earlier[-1]
    return f"{folder}/{name}{colon}{kind}" if name in earlier else phase.weights


def start_from(config: DictConfig, weights: str | None, optimizer_state: str) -> None:
    """Write into a phase's configuration where its weights and its optimizer's memory come from."""
    config.weights = weights
    config.optimizer_state = weights if optimizer_state == "previous" else None


def check_sources(trainings: Sequence[Training], phases: Sequence[Phase], config: DictConfig, folder: str) -> None:
    """Whether each phase that starts from another one finds it trained, or trains it before."""
    coming: set[str] = set()
    for training in trainings:
        name = str(training.config.weights or "").partition(":")[0].removeprefix(f"{folder}/")
        path = Path(config.runs) / folder / name
        if name in {phase.name for phase in phases} - coming and not (path / "finished.json").exists():
            raise UserError(
                f"phase {training.phase.name} starts from phase {name}, which has not been trained to its end in "
                f"{path}: train it first, or give weights=FILE_OR_RUN"
            )
        coming.add(training.phase.name)


def check_all(trainings: Sequence[Training]) -> None:
    """`check=true` of each phase; weights that an earlier one is still to make are not asked for."""
    from vfi_train.preflight import preflight

    coming = {training.run.name for training in trainings if not training.run.finished}
    status = 0
    for training in trainings:
        say(f"phase {training.phase.name}")
        if str(training.config.weights).partition(":")[0] in coming:
            training.config.weights = training.config.optimizer_state = None
        try:
            preflight(training.config)
        except SystemExit:
            status = 1
    if status:
        raise SystemExit(status)


def foresee(trainings: Sequence[Training]) -> None:
    """Tell each phase's progress bar how many steps the later ones have."""
    later = 0
    for training in reversed(trainings):
        if training.config.callbacks.get("progress") is not None:
            training.config.callbacks.progress.later_steps = later
        if not training.run.finished:
            later += training.config.trainer.max_steps or 0


def prove(training: Training) -> None:
    """Build a phase's network and losses and look for its data: what is missing shows now, not in a week.

    Raises:
        UserError: naming the phase and the mistake.
    """
    config, name = training.config, training.phase.name
    try:
        data: Any = instantiate(config.data, _convert_="all")
        data.check()
        check_pairing(build_module(config).architecture, data)
    except Exception as error:
        said = explain(error, training.phase.overrides, "train")
        if said is None:
            raise
        raise UserError(f"phase {name}: {said}") from error


def _is_the_curriculums(override: str) -> bool:
    key = override.lstrip("+~").partition("=")[0]
    return key in NOT_THE_PHASES or key.startswith("curriculum.")


def _fill(override: str, curriculum: DictConfig) -> str:
    """An override with `${curriculum.KEY}` replaced: unlike other interpolations it may choose a group."""

    def value(match: re.Match[str]) -> str:
        found = OmegaConf.select(curriculum, match.group(1))
        if found is None:
            raise UserError(f"curriculum.{match.group(1)} is not set, which {override!r} needs")
        return str(found)

    return re.sub(r"\$\{curriculum\.(\w+)\}", value, str(override))
