"""Curricula: trainings in phases, one after the other, each an ordinary training in a folder of its own."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict

from vfi_train.config.compose import compose_config
from vfi_train.config.mistakes import explain
from vfi_train.config.overrides import check_values
from vfi_train.config.targets import check_targets
from vfi_train.errors import UserError, nearest
from vfi_train.runtime.console import say
from vfi_train.training.build import build_module, check_pairing, plain
from vfi_train.training.phases import Phase, Training, choose, read_phases
from vfi_train.training.run import train_run
from vfi_train.training.run_directory import RunDirectory, run_name

# Keys of the command line that are the curriculum's, not its phases'.
NOT_THE_PHASES = ("experiment", "curriculum", "weights", "optimizer_state", "dry_run", "check", "name", "sweep")


def train_curriculum(config: DictConfig) -> None:
    """Train the phases of `config.curriculum`, each where it stopped; a finished one is not trained again."""
    trainings = plan(config)
    if config.dry_run:
        from vfi_train.training.curriculum_table import show

        return show(trainings)
    if config.check:
        return check_all(trainings)
    waiting = [training for training in trainings if not training.run.finished]
    for training in waiting:
        validate_phase(training)
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
            set_initial_weights(composed, source(phase, phases, folder), phase.optimizer_state)
            if config.weights is not None and phase is chosen[0]:
                set_initial_weights(composed, config.weights, "fresh")
            check_targets(composed)
        except Exception as error:
            said = explain(error, overrides, "train")
            if said is None:
                raise
            raise UserError(f"phase {phase.name}: {said}") from error
        run = RunDirectory(Path(config.runs) / folder / phase.name, plain(composed), f"{folder}/{phase.name}")
        trainings.append(Training(phase, composed, run, choices))
    set_remaining_steps(trainings)
    if not (config.dry_run or config.check):
        check_sources(trainings, phases, config, folder)
    return trainings


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
    composed = compose_config("train", overrides, with_hydra=True)
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


def set_initial_weights(config: DictConfig, weights: str | None, optimizer_state: str) -> None:
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
    from vfi_train.training.preflight import preflight

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


def set_remaining_steps(trainings: Sequence[Training]) -> None:
    """Tell each phase's progress bar how many steps the later ones have."""
    later = 0
    for training in reversed(trainings):
        if training.config.callbacks.get("progress") is not None:
            training.config.callbacks.progress.later_steps = later
        if not training.run.finished:
            later += training.config.trainer.max_steps or 0


def validate_phase(training: Training) -> None:
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
