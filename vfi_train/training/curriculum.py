"""Curricula: trainings in phases, one after the other, each an ordinary training in a folder of its own."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Sequence

import torch

from vfi_train.config.mistakes import naming_phase
from vfi_train.errors import UserError
from vfi_train.runtime.console import say
from vfi_train.training.build import build_data, build_module, check_losses, check_pairing, check_validation_loss
from vfi_train.training.frozen import check_frozen
from vfi_train.training.plan import TrainingPlan
from vfi_train.training.preflight import preflight
from vfi_train.training.run import train_run
from vfi_train.training.run_directory import RunDirectory


def train_phases(plans: Sequence[TrainingPlan]) -> None:
    """Train the phases of a curriculum, each resumed where it stopped; a finished one is not trained again."""
    check_sources(plans)
    plans = set_remaining_steps(plans)
    for plan in plans:
        if not RunDirectory.of(plan).finished:
            validate_phase(plan)
    for number, plan in enumerate(plans, 1):
        say(f"phase {plan.folder.name}, {number} of {len(plans)}")
        if not train_run(plan):
            return  # stopped before its end: the phases after it start from what it has not reached
        if torch.cuda.is_available():
            gc.collect()  # the network before, and what the GPU held of it
            torch.cuda.empty_cache()


def check_phases(plans: Sequence[TrainingPlan]) -> None:
    """`check=true` of each phase; weights that an earlier phase is still to make are not looked for."""
    coming = {plan.name for plan in plans if not RunDirectory.of(plan).finished}
    status = 0
    for plan in plans:
        say(f"phase {plan.folder.name}")
        try:
            preflight(plan, coming)
        except SystemExit:
            status = 1
    if status:
        raise SystemExit(status)


def check_sources(plans: Sequence[TrainingPlan]) -> None:
    """Refuse a phase whose initial weights come from a phase that is neither trained nor trained before it.

    Raises:
        UserError: naming both.
    """
    coming: set[str] = set()
    for plan in plans:
        source = str(plan.weights).partition(":")[0]
        if source.startswith(f"{plan.folder.parent.name}/") and source not in coming:
            path = plan.runs / source
            if not (path / "finished.json").exists():
                raise UserError(
                    f"phase {plan.folder.name} starts from phase {path.name}, which has not been trained to its end in "
                    f"{path}: train it first, or give weights=FILE_OR_RUN"
                )
        coming.add(plan.name)


def set_remaining_steps(plans: Sequence[TrainingPlan]) -> list[TrainingPlan]:
    """The plans with the steps of the phases after each, which its progress bar shows."""
    found: list[TrainingPlan] = []
    later = 0
    for plan in reversed(plans):
        found.append(dataclasses.replace(plan, later_steps=later))
        if not RunDirectory.of(plan).finished:
            later += plan.steps or 0
    return found[::-1]


def validate_phase(plan: TrainingPlan) -> None:
    """Build a phase's network and losses and look for its data: what is missing shows now, not in a week.

    Raises:
        UserError: naming the phase and the mistake.
    """
    with naming_phase(plan.folder.name):
        data = build_data(plan)
        check_losses(plan)
        check_validation_loss(plan, data)
        data.check()
        network = build_module(plan).architecture
        check_pairing(network, data)
        if plan.weights is None:
            check_frozen(network)
