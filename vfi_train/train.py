"""One training: from a configuration to a finished run."""

from __future__ import annotations

import logging
import os
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import lightning as L
import torch
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from datamodules.base import split_batch
from vfi_train.architectures import Architecture
from vfi_train.architectures.base import count_parameters
from vfi_train.callbacks.optimizer_state import OptimizerState
from vfi_train.checkpoint_io import AtomicCheckpointIO, resume_point
from vfi_train.cluster import check_job, cluster_environment, requeue
from vfi_train.config_targets import check_targets
from vfi_train.console import is_first_process, say
from vfi_train.csv_log import CSVLog
from vfi_train.environment import environment
from vfi_train.epochs import count_epoch
from vfi_train.errors import UserError
from vfi_train.manifest import manifest
from vfi_train.modules.base import InterpolationModule
from vfi_train.modules.gradients import check_clipping
from vfi_train.parameters import ParameterGroup, select_trainable
from vfi_train.processes import check_launcher, companions, strategy, wait_for_verdict
from vfi_train.recipe import device_count
from vfi_train.run_directory import RunDirectory, run_name
from vfi_train.stopping import Stopped, stop_signals, take_over
from vfi_train.wandb_log import close_wandb
from vfi_train.weights import load_weights

WANDB_SECONDS = 20  # that W&B may take to end before SLURM is asked to requeue, which ends W&B at once


def train(config: DictConfig) -> None:
    """Train what `config` says in its run directory; go on where it stopped; end with a table of results.

    Asked to stop by a signal, it saves the step that it is at and raises `Stopped`.
    """
    quiet()
    if not (config.dry_run or config.check):
        check_launcher(config)
        check_job(device_count(config), config.trainer.num_nodes)
    with stop_signals:
        try:
            stop_signals.answer_early_ones()
            train_what(config)
        except BaseException as error:
            wait_for_verdict(error)
            closing = threading.Thread(target=close_wandb, args=(True,))
            closing.start()
            if isinstance(error, Stopped) and is_first_process():
                closing.join(WANDB_SECONDS)
                error.outlook = requeue(error.number) or error.outlook
            closing.join()
            raise


def train_what(config: DictConfig) -> None:
    """Train one run or the phases of a curriculum, or only look at them."""
    if config.curriculum is not None:
        from vfi_train.curriculum import train_curriculum

        return train_curriculum(config)
    check_targets(config)
    if config.dry_run:
        from vfi_train.dry_run import dry_run

        return dry_run(config)
    if config.check:
        from vfi_train.preflight import preflight

        return preflight(config)
    train_run(config, RunDirectory(Path(config.runs) / run_name(config), plain(config)))


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
    companions.watch(trainer)
    trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    if trainer.interrupted:
        raise KeyboardInterrupt
    minutes = (time.monotonic() - began) / 60
    if config.report:
        from vfi_train.report import final_report

        start = None
        if config.weights is not None:
            start = instantiate(config.model, _convert_="all")
            load_weights(start, config.weights, config.runs)
        final_report(trainer, module, data, run, start)
    if trainer.is_global_zero:
        run.finish({"steps": trainer.global_step, "minutes_since_start": round(minutes, 2)})
    close_wandb()


def build_module(config: DictConfig) -> InterpolationModule:
    """The LightningModule with network, losses, optimizer and schedule."""
    make = instantiate(config.module, _partial_=True)  # objects given to instantiate would be made configs
    architecture = instantiate(config.model, _convert_="all")
    select_trainable(architecture, config.train, config.freeze)
    return make(
        architecture=architecture,
        loss=instantiate(config.loss, _convert_="all"),
        optimizer=instantiate(config.optimizer, _convert_="all"),
        schedule=instantiate(config.schedule, _convert_="all"),
        total_steps=config.trainer.max_steps,
        parameter_groups=[ParameterGroup.from_config(block) for block in config.parameter_groups],
        seed=config.seed,
    )


def build_trainer(config: DictConfig, run: RunDirectory, data: Any) -> L.Trainer:
    """Lightning's Trainer with the global batch split over devices and all intervals in optimizer steps."""
    check_clipping(config.trainer.gradient_clip_val, config.trainer.gradient_clip_algorithm)
    callbacks = {
        name: instantiate(block, _convert_="all", **({"dirpath": str(run.checkpoints)} if "dirpath" in block else {}))
        for name, block in config.callbacks.items()
        if block is not None
    }
    profiler = config.trainer.profiler
    trainer: L.Trainer = instantiate(
        config.trainer,
        profiler=instantiate(profiler, dirpath=str(run.path)) if profiler is not None else None,
        _convert_="all",
        default_root_dir=str(run.path),
        strategy=strategy(config),
        max_epochs=-1,
        deterministic=config.deterministic,
        benchmark=config.trainer.benchmark and not config.deterministic,
        use_distributed_sampler=False,
        check_val_every_n_epoch=None,
        log_every_n_steps=config.log_every,
        callbacks=list(callbacks.values()),
        logger=build_loggers(config, run, data),
        plugins=[plugin for plugin in (AtomicCheckpointIO(), cluster_environment()) if plugin is not None],
    )
    take_over(trainer)
    _, accumulate = split_batch(config.data.batch_size, trainer.world_size, config.data.device_batch_size)
    trainer.accumulate_grad_batches = accumulate
    trainer.val_check_interval = config.validate_every * accumulate
    return trainer


def build_loggers(config: DictConfig, run: RunDirectory, data: Any) -> list[Any]:
    """The loggers of the configuration, told what is trained with what on which files.

    Each is given the run's folder and, where it takes one, its name.
    """
    loggers = []
    for block in config.logger.values():
        if block is None:
            continue
        extra = {"name": run.name, "group": block.group or experiment(config)} if "project" in block else {}
        loggers.append(instantiate(block, directory=str(run.path), _convert_="all", **extra))
    if is_first_process():
        known = {**run.config, "environment": environment(), "data_manifest": manifest(data)}
        for logger in loggers:
            logger.log_hyperparams(known)
    return loggers


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


def check_pairing(architecture: Architecture, data: Any) -> None:
    """Refuse data that cannot train the network, or that it would ignore."""
    name, dataset = type(architecture).__name__, type(data).__name__
    if not data.trains:
        raise UserError(f"{dataset} has held-out samples alone, to evaluate on: train with another data=NAME")
    if data.arbitrary_time and not architecture.arbitrary_time:
        raise UserError(
            f"{name} predicts the middle frame alone, but this dataset asks for other times: "
            "choose an architecture for arbitrary times, or fix the data's times to 0.5"
        )
    for given, taken, what in (
        (data.gives_maps, architecture.takes_time_map, "a distance map for the time"),
        (data.gives_reference, architecture.takes_reference, "a reference frame"),
    ):
        if given and not taken:
            raise UserError(
                f"{name} does not take {what}, which this dataset gives: choose another data.variant or model"
            )
    if architecture.takes_reference and not data.gives_reference:
        raise UserError(f"{name} starts from a reference frame, which this dataset does not give: choose another model")


def plain(config: DictConfig) -> dict[str, Any]:
    """The configuration, resolved, as plain containers."""
    container = OmegaConf.to_container(config, resolve=True)
    assert isinstance(container, dict)
    return yaml.safe_load(yaml.safe_dump(container))


def experiment(config: DictConfig) -> str | None:
    """The name of the chosen experiment, if any."""
    return HydraConfig.get().runtime.choices.get("experiment")


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


def quiet() -> None:
    """Our own lines and real warnings, not Lightning's tips."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*dataloader is not resumable.*")  # ours is: datamodules/loader.py
    warnings.filterwarnings("ignore", ".*treespec, LeafSpec.*")  # Lightning's own, with this torch
    warnings.filterwarnings("ignore", ".*`srun` command is available.*")  # cluster.py says what is wrong
    warnings.filterwarnings("ignore", ".*smaller than the logging interval.*")  # rows go on over epochs
    warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")
