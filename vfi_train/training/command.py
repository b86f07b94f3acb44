"""`python -m vfi_train`: from a configuration to the plans of trainings, and through them."""

from __future__ import annotations

import dataclasses
import logging
import threading
import warnings
from collections.abc import Mapping
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from vfi_train.config.epochs import has_uncounted_epochs, length_as_written, resolved
from vfi_train.config.mistakes import naming_phase
from vfi_train.config.phases import choose, compose_phase, initial_weights, phase_overrides, read_phases
from vfi_train.config.replaced_choices import drop_options_of_replaced
from vfi_train.config.targets import check_targets
from vfi_train.errors import UserError
from vfi_train.loggers.wandb import close_wandb
from vfi_train.runtime.console import is_first_process
from vfi_train.runtime.distributed import (
    check_torchrun,
    device_count,
    process_count,
    torchrun_counts,
    wait_for_failed_rank,
)
from vfi_train.runtime.lightning_internals import check_version
from vfi_train.runtime.slurm import check_job, requeue
from vfi_train.runtime.stop_signals import Stopped, stop_signals
from vfi_train.training.options import check_options
from vfi_train.training.plan import TrainingPlan, plan_training, run_name
from vfi_train.weights.load import BEST
from vfi_train.weights.published_checkpoint import read_checkpoint

WANDB_SECONDS = 20  # that W&B may take to end before SLURM requeues the job, which ends W&B at once


def train(config: DictConfig) -> float | None:
    """Train what `config` says, resuming where it stopped.

    After a signal it saves the current step and raises `Stopped`.

    Returns:
        The best value that `callbacks.best` has seen, of a curriculum's last phase, for Hydra's sweepers; None where
        nothing was trained.
    """
    quiet()
    check_version()
    take_torchrun_counts(config.trainer)
    if not (config.dry_run or config.check):
        check_launcher(config.trainer)
        devices = device_count(config.trainer.devices, config.trainer.num_nodes)
        check_job(devices, config.trainer.num_nodes)
        check_torchrun(devices, config.trainer.num_nodes)
    with stop_signals:
        try:
            stop_signals.raise_early()
            return run_plans(config)
        except BaseException as error:
            wait_for_failed_rank(error)
            closing = threading.Thread(target=close_wandb, args=(True,))
            closing.start()
            if isinstance(error, Stopped) and is_first_process():
                closing.join(WANDB_SECONDS)
                error.outlook = requeue(error.number) or error.outlook
            closing.join()
            raise


def run_plans(config: DictConfig) -> float | None:
    """Train one run or the phases of a curriculum, or only describe or check them; see `train`."""
    # Imported here, so that a mistake in the configuration does not wait for all of it.
    if config.curriculum is not None:
        plans = plan_phases(config)
        if config.dry_run:
            from vfi_train.training.curriculum_table import print_table

            print_table(plans)
        elif config.check:
            from vfi_train.training.curriculum import check_phases

            check_phases(plans)
        else:
            from vfi_train.training.curriculum import train_phases

            train_phases(plans)
            return best_value(plans[-1])
        return None
    plan = plan_run(config)
    if config.dry_run:
        from vfi_train.training.dry_run import dry_run

        dry_run(plan)
    elif config.check:
        from vfi_train.training.preflight import preflight

        preflight(plan)
    else:
        from vfi_train.training.run import train_run

        train_run(plan)
        return best_value(plan)
    return None


def best_value(plan: TrainingPlan) -> float | None:
    """The best value that a training has seen of what `callbacks.best` monitors."""
    path = plan.folder / "checkpoints" / BEST
    if plan.best is None or not path.exists():
        return None
    states = read_checkpoint(path)["callbacks"]
    scores = (state.get("best_model_score") for state in states.values() if state.get("monitor") == plan.best[1])
    score = next(scores, None)  # of several that monitor the same
    return None if score is None else float(score)


def plan_run(config: DictConfig, choices: Mapping[str, Any] | None = None, name: str | None = None) -> TrainingPlan:
    """The plan of a training's configuration.

    Args:
        config: as composed.
        choices: of configuration groups; None: those of the command line.
        name: of the run; None: by its experiment.

    Raises:
        UserError: a key or a value that its target does not take.
    """
    if choices is None:
        drop_options_of_replaced(config, HydraConfig.get().overrides.task)
    take_torchrun_counts(config.trainer)
    values = resolved(config)
    check_options(values, OmegaConf.to_container(config, resolve=False))  # type: ignore[arg-type]
    check_targets(config)
    return plan_training(
        values,
        HydraConfig.get().runtime.choices if choices is None else choices,
        name,
        length_as_written(config),
        (lambda steps_per_epoch: resolved(config, steps_per_epoch)) if has_uncounted_epochs(config) else None,
    )


def plan_phases(config: DictConfig) -> list[TrainingPlan]:
    """The plans of the phases of `config.curriculum` that are chosen.

    Raises:
        UserError: naming the phase and the mistake.
    """
    program = HydraConfig.get()
    phases = read_phases(config.curriculum)
    chosen = choose(phases, config.curriculum)
    folder = run_name(config, program.runtime.choices)
    plans = []
    for phase in chosen:
        overrides = phase_overrides(phase, config.curriculum, program)
        with naming_phase(phase.name, overrides):
            weights = initial_weights(phase, phases, folder)
            if config.weights is not None and phase is chosen[0]:
                weights, phase = config.weights, dataclasses.replace(phase, optimizer_state="fresh")
            composed, choices = compose_phase(phase, overrides, weights, without_data=config.dry_run)
            plans.append(plan_run(composed, choices, f"{folder}/{phase.name}"))
    return plans


def take_torchrun_counts(trainer: DictConfig) -> None:
    """Where torchrun started this process and the devices are not given: take as many as it started."""
    started = torchrun_counts()
    if started is None:
        return
    given = {override.lstrip("+").partition("=")[0] for override in HydraConfig.get().overrides.task}
    if device_count(trainer.devices, 1) is None:
        trainer.devices = started[0]
    elif trainer.devices == trainer.num_nodes == 1 and not given & {"trainer.devices", "trainer.num_nodes"}:
        trainer.devices, trainer.num_nodes = started


def check_launcher(trainer: DictConfig) -> None:
    """Refuse a sweep whose jobs would start each other again.

    Raises:
        UserError: several processes in a job of a launcher that runs it inside of the sweep's own process.
    """
    from hydra._internal.core_plugins.basic_launcher import BasicLauncher

    hydra = HydraConfig.get()
    processes = process_count(trainer.accelerator, device_count(trainer.devices, trainer.num_nodes))
    if hydra.mode != RunMode.MULTIRUN or processes == 1:
        return
    if issubclass(get_class(hydra.launcher._target_), BasicLauncher):
        raise UserError(
            f"--multirun with trainer.devices={trainer.devices} needs a launcher that gives each job processes of its "
            "own: hydra/launcher=slurm (here each process would run the complete sweep again), or a loop over single "
            "runs"
        )


def quiet() -> None:
    """Show our own lines and real warnings, not Lightning's tips."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*dataloader is not resumable.*")  # ours is: datamodules/core/samplers.py
    warnings.filterwarnings("ignore", ".*treespec, LeafSpec.*")  # Lightning's own, with this torch
    warnings.filterwarnings("ignore", ".*`srun` command is available.*")  # slurm.py says what is wrong
    warnings.filterwarnings("ignore", ".*smaller than the logging interval.*")  # rows go on over epochs
    warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")
