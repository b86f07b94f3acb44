"""One training run, from its plan to its report."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from vfi_train.architectures.base import count_parameters
from vfi_train.callbacks.optimizer_state import OptimizerState
from vfi_train.config.epochs import count_epoch
from vfi_train.loggers.csv import CSVLog
from vfi_train.loggers.wandb import close_wandb
from vfi_train.modules.interpolation_module import InterpolationModule
from vfi_train.runtime.console import is_first_process, say
from vfi_train.runtime.distributed import rank_monitor
from vfi_train.training.build import build_module, build_trainer, check_pairing
from vfi_train.training.run_directory import RunDirectory
from vfi_train.weights import load_weights
from vfi_train.weights.checkpoint_io import resume_point


def train_run(config: DictConfig, run: RunDirectory) -> None:
    """Train what `config` says in the folder of `run`, or say that it is finished."""
    if run.finished and config.resume == "auto":
        run.open("auto", is_first_process())
        say(f"{run.path} is finished: {describe_finish(run)}; train another with name=..., or use weights={run.name}")
        return
    data = instantiate(config.data, _convert_="all")
    data.check()
    count_epoch(config, data)
    L.seed_everything(config.seed, workers=False, verbose=False)
    module = build_module(config)
    check_pairing(module.architecture, data)
    run.open(config.resume, is_first_process())  # from here on the folder belongs to this run
    checkpoint, step = resume_point(run.checkpoints) or (None, -1)
    if config.weights is not None and checkpoint is None:
        source = load_weights(module.architecture, config.weights, config.runs)
        say(f"weights start from {source}")
    trainer = build_trainer(config, run, data)
    if config.optimizer_state is not None and checkpoint is None:
        trainer.callbacks.append(OptimizerState(config.optimizer_state, config.runs))  # type: ignore[attr-defined]
    share_cores(trainer, config.data.num_workers)
    rewind_logs(trainer, step)
    began = time.monotonic()
    say(describe(config, run, module, data, trainer, checkpoint))
    rank_monitor.watch(trainer)
    trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    if trainer.interrupted:
        raise KeyboardInterrupt
    minutes = (time.monotonic() - began) / 60
    if config.report:
        from vfi_train.training.report import final_report

        start = None
        if config.weights is not None:
            start = instantiate(config.model, _convert_="all")
            load_weights(start, config.weights, config.runs)
        final_report(trainer, module, data, run, start)
    if trainer.is_global_zero:
        run.finish({"steps": trainer.global_step, "minutes_since_start": round(minutes, 2)})
    close_wandb()


def share_cores(trainer: L.Trainer, workers: int) -> None:
    """Leave a core to each data worker: threads that wait for a busy core make a step many times slower.

    OMP_NUM_THREADS, where it is set, has the last word.
    """
    if trainer.strategy.root_device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        torch.set_num_threads(max(1, cores // trainer.world_size - workers))


def rewind_logs(trainer: L.Trainer, step: int) -> None:
    """Take rows that lie after the checkpoint of `step` out of the CSV log: those steps are done again."""
    for logger in trainer.loggers:
        if isinstance(logger, CSVLog):
            logger.rewind(step)


def describe(
    config: DictConfig,
    run: RunDirectory,
    module: InterpolationModule,
    data: Any,
    trainer: L.Trainer,
    checkpoint: Path | None,
) -> str:
    """One line at the start: what is trained, on what, how, where."""
    devices = f"{trainer.world_size} {'process' if trainer.world_size == 1 else 'processes'}"
    accumulation = f", {trainer.accumulate_grad_batches} accumulated" if trainer.accumulate_grad_batches > 1 else ""
    return (
        f"{'going on with' if checkpoint else 'training'} {run.path}: "
        f"{count_parameters(module.architecture):,} parameters, {config.trainer.max_steps:,} steps, "
        f"global batch {config.data.batch_size} ({devices}{accumulation})"
    )


def describe_finish(run: RunDirectory) -> str:
    """What finished.json says, in words."""
    import json

    summary = json.loads((run.path / "finished.json").read_text())
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in summary.items())
