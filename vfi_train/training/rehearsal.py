"""A training in small, of everything that the real one builds, in a folder that is removed at the end."""

from __future__ import annotations

import copy
import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import lightning as L
from lightning.fabric.plugins.environments import LightningEnvironment

from vfi_train.callbacks.optimizer_state import OptimizerState
from vfi_train.callbacks.progress_bar import StepProgress
from vfi_train.loggers.wandb import close_wandb
from vfi_train.training.build import build_data, build_loggers, build_module, build_trainer
from vfi_train.training.monitors import check_monitors
from vfi_train.training.plan import TrainingPlan
from vfi_train.training.run_directory import RunDirectory
from vfi_train.weights import load_weights


def rehearse(plan: TrainingPlan, folder: Path) -> int:
    """Train one step on one sample of each dataset, validate one sample, log and save; the number of steps.

    Network, losses, callbacks, loggers and Trainer are those of the training, on one device of it.

    Args:
        plan: of the training.
        folder: an existing one, below which the small run has its own.
    """
    steps = len(plan.datasets)
    with tempfile.TemporaryDirectory(prefix=".check-", dir=folder) as place:
        small = shrink(plan, Path(place), steps)
        run = RunDirectory.of(small)
        L.seed_everything(plan.seed, workers=False, verbose=False)
        module = build_module(plan)  # with the length and the schedule of the real training
        if plan.weights is not None:
            load_weights(module.architecture, plan.weights, plan.runs)
        trainer = build_trainer(small, run, LightningEnvironment())  # one process, whatever started it
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        callbacks[:] = [callback for callback in callbacks if not isinstance(callback, StepProgress)]
        if plan.optimizer_state is not None:
            callbacks.append(OptimizerState(plan.optimizer_state, plan.runs))
        check_monitors(small, trainer, module)
        with run.open("auto"):
            trainer.loggers = build_loggers(small, run, {})
            try:
                trainer.fit(module, datamodule=build_data(small), weights_only=True)
            finally:
                close_wandb()
    return steps


def shrink(plan: TrainingPlan, runs: Path, steps: int) -> TrainingPlan:
    """The plan of the small training, in the folder `runs`."""
    config: dict[str, Any] = copy.deepcopy(dict(plan.config))
    config |= {"validate_every": steps, "checkpoint_every": steps, "log_every": 1}
    config["trainer"] |= {
        "devices": 1, "num_nodes": 1, "strategy": "auto", "max_steps": steps, "profiler": None, "max_time": None,
        "limit_val_batches": min(1, config["trainer"]["limit_val_batches"]) and 1,
    }  # fmt: skip
    workers = min(1, plan.num_workers)
    for block in (config["data"], *(config["data"].get("datasets") or {}).values()):
        block |= {name: 1 for name in ("batch_size", "val_batch_size") if name in block}
    config["data"] |= {"micro_batch_size": None, "num_workers": workers}
    if "every" in config["data"]:
        config["data"]["every"] = "step"
    for block in filter(None, config["callbacks"].values()):
        block |= {name: value for name, value in (("dirpath", None), ("start_step", 0)) if name in block}
    for block in filter(None, config["logger"].values()):
        if block.get("mode") not in (None, "disabled"):
            block["mode"] = "offline"
    return dataclasses.replace(
        plan, config=config, runs=runs, resume="auto", report=False, steps=steps, validate_every=steps,
        checkpoint_every=steps, devices=1, num_nodes=1, batch_size=1, micro_batch_size=None, num_workers=workers,
        epoch_resolver=None,
    )  # fmt: skip
