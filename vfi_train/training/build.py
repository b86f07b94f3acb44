"""What a configuration describes, built: module, trainer and loggers."""

from __future__ import annotations

from typing import Any

import lightning as L
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from datamodules.core.datamodule import split_batch
from vfi_train.architectures import Architecture
from vfi_train.errors import UserError
from vfi_train.modules.gradients import check_clipping
from vfi_train.modules.interpolation_module import InterpolationModule
from vfi_train.optim.parameters import ParameterGroup, select_trainable
from vfi_train.runtime.console import is_first_process
from vfi_train.runtime.distributed import strategy
from vfi_train.runtime.slurm import cluster_environment
from vfi_train.runtime.stop_signals import take_over
from vfi_train.training.data_manifest import manifest
from vfi_train.training.environment import environment
from vfi_train.training.run_directory import RunDirectory
from vfi_train.weights.checkpoint_io import AtomicCheckpointIO


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
    _, accumulate = split_batch(config.data.batch_size, trainer.world_size, config.data.micro_batch_size)
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
