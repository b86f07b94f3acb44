"""One training run, from its plan to its report."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import lightning as L
import torch

from datamodules.core.datamodule import VFIDataModule, split_batch
from vfi_train.architectures.base import count_parameters
from vfi_train.callbacks.optimizer_state import OptimizerState
from vfi_train.loggers.csv import CSVLog
from vfi_train.loggers.wandb import close_wandb
from vfi_train.modules.interpolation_module import InterpolationModule
from vfi_train.optim.optimizers import build_optimizer
from vfi_train.runtime.console import is_first_process, say
from vfi_train.runtime.devices import core_count, emulation, is_emulated
from vfi_train.runtime.distributed import rank_monitor
from vfi_train.training.build import (
    build_data,
    build_loggers,
    build_module,
    build_trainable,
    build_trainer,
    check_losses,
    check_pairing,
    check_validation_loss,
)
from vfi_train.training.data_manifest import manifest
from vfi_train.training.environment import environment
from vfi_train.training.frozen import check_frozen
from vfi_train.training.monitors import check_monitors
from vfi_train.training.options import check_options
from vfi_train.training.plan import TrainingPlan
from vfi_train.training.run_directory import RunDirectory
from vfi_train.weights import load_weights
from vfi_train.weights.checkpoint_io import resume_point


def train_run(plan: TrainingPlan) -> bool:
    """Train what a plan says in its folder, or say that it is finished; whether it is.

    All that may be wrong is built before the folder is made.
    """
    run = RunDirectory.of(plan)
    if run.finished and plan.resume == "auto":
        run.check("auto")
        say(f"{run.path} is finished: {describe_finish(run)}; train another with name=..., or use weights={plan.name}")
        return True
    data = build_data(plan)
    check_losses(plan)
    check_validation_loss(plan, data)
    data.check()
    plan = count_epoch(plan, data)
    L.seed_everything(plan.seed, workers=False, verbose=False)
    module = build_module(plan)
    check_pairing(module.architecture, data)
    if plan.weights is None:
        check_frozen(module.architecture)
    checkpoint, step = resume_point(run.checkpoints) or (None, -1)
    if plan.weights is not None and checkpoint is None:
        source = load_weights(module.architecture, plan.weights, plan.runs)
        say(f"initial weights from {source}")
    trainer = build_trainer(plan, run)
    if plan.optimizer_state is not None and checkpoint is None:
        trainer.callbacks.append(OptimizerState(plan.optimizer_state, plan.runs))  # type: ignore[attr-defined]
    check_monitors(plan, trainer, module)
    build_optimizer(module.make_optimizer, module.architecture, module.parameter_groups)  # its options are checked
    share_cores(trainer, plan.num_workers)
    with run.open(plan.resume, is_first_process()):
        made_with = {"environment": environment(), "data_manifest": manifest(data)} if is_first_process() else {}
        trainer.loggers = build_loggers(plan, run, made_with)
        if trainer.is_global_zero:
            run.note_start(max(step, 0), made_with)
        rewind_logs(trainer, step)
        began = time.monotonic()
        say(describe(plan, module, trainer, checkpoint))
        never = f"validate_every={plan.validate_every} is beyond the last of {plan.steps} steps"
        if not trainer.limit_val_batches or plan.validate_every > plan.steps:  # type: ignore[operator]
            reason = never if trainer.limit_val_batches else "trainer.limit_val_batches=0"
            say(f"{reason}: no validation, no best checkpoint, only the last one")
        if getattr(module.schedule, "warmup_steps", 0) > plan.steps:  # type: ignore[operator]
            say(
                f"schedule.warmup_steps={module.schedule.warmup_steps} is beyond the last of {plan.steps} steps: the "  # type: ignore[attr-defined]
                "learning rate does not reach optimizer.lr"
            )
        half = {"bf16": torch.bfloat16, "16": torch.float16}.get(plan.precision.partition("-")[0])
        if is_emulated(half, trainer.strategy.root_device):
            say(emulation(f"trainer.precision={plan.precision}"))
        rank_monitor.watch(trainer)
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        if trainer.interrupted:
            raise KeyboardInterrupt
        minutes = (time.monotonic() - began) / 60
        finished = trainer.global_step >= trainer.max_steps
        if finished:
            report(plan, trainer, module, data)
            if trainer.is_global_zero:
                run.finish({"steps": trainer.global_step, "minutes_since_start": round(minutes, 2)})
        else:
            saved = ", which is saved" if trainer.global_step else ""
            say(
                f"stopped before its end, after step {trainer.global_step:,} of {trainer.max_steps:,}{saved} "
                "(trainer.max_time, or a callback): the same command goes on from there"
            )
        close_wandb()
    return finished


def report(plan: TrainingPlan, trainer: L.Trainer, module: InterpolationModule, data: VFIDataModule) -> None:
    """The table at the end, where it is wanted."""
    if not plan.report:
        return
    from vfi_train.training.report import final_report

    start = None
    if plan.weights is not None:
        start = build_trainable(plan)
        load_weights(start, plan.weights, plan.runs)
    final_report(plan, trainer, module, data, start)


def count_epoch(plan: TrainingPlan, data: VFIDataModule) -> TrainingPlan:
    """The plan with its lengths in epochs, if it has any, as optimizer steps, counted from the training set.

    Raises:
        UserError: one of them is less than a step.
    """
    if plan.epoch_resolver is None:
        return plan
    data.setup("fit")
    _, accumulate = split_batch(plan.batch_size, 1, plan.micro_batch_size)
    counted = plan.with_epoch(max(1, len(data.train_dataloader()) // accumulate))
    check_options(counted.config, counted.config)
    return counted


def share_cores(trainer: L.Trainer, workers: int) -> None:
    """Leave a core to each data worker: threads that wait for a busy core make a step many times slower.

    OMP_NUM_THREADS has precedence where it is set.
    """
    if trainer.strategy.root_device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, core_count() // trainer.world_size - workers))


def rewind_logs(trainer: L.Trainer, step: int) -> None:
    """Take rows that lie after the checkpoint of `step` out of the CSV log: those steps are done again."""
    for logger in trainer.loggers:
        if isinstance(logger, CSVLog):
            logger.rewind(step)


def describe(plan: TrainingPlan, module: InterpolationModule, trainer: L.Trainer, checkpoint: Path | None) -> str:
    """One line at the start: what is trained, on what, how, where."""
    devices = f"{trainer.world_size} {'process' if trainer.world_size == 1 else 'processes'}"
    accumulation = f", {trainer.accumulate_grad_batches} accumulated" if trainer.accumulate_grad_batches > 1 else ""
    return (
        f"{'resuming' if checkpoint else 'training'} {plan.folder}: "
        f"{count_parameters(module.architecture):,} parameters, {plan.steps:,} steps, "
        f"global batch {plan.batch_size} ({devices}{accumulation})"
    )


def describe_finish(run: RunDirectory) -> str:
    """What finished.json says, in words."""
    summary = json.loads((run.path / "finished.json").read_text())
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in summary.items())
