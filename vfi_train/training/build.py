"""The parts of a training, built from its plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

import lightning as L
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning.fabric.plugins.environments import ClusterEnvironment
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from torch.optim import Optimizer

from datamodules.core.datamodule import VFIDataModule
from datamodules.core.samplers import split_batch
from losses import LossSet
from vfi_train.architectures import Architecture
from vfi_train.config.build_network import build_network
from vfi_train.config.targets import OUR_MODULES
from vfi_train.contract import Prediction
from vfi_train.errors import UserError
from vfi_train.inference.padding import padded_size
from vfi_train.modules.forward import predict
from vfi_train.modules.gradients import check_clipping
from vfi_train.modules.interpolation_module import InterpolationModule
from vfi_train.modules.step_options import check_compile
from vfi_train.optim.parameters import ParameterGroup, select_trainable
from vfi_train.optim.schedules import Schedule
from vfi_train.runtime.console import is_first_process
from vfi_train.runtime.distributed import strategy
from vfi_train.runtime.lightning_internals import disable_signal_handling, restart_timer, uncount_step
from vfi_train.runtime.slurm import cluster_environment
from vfi_train.training.plan import TrainingPlan
from vfi_train.training.recipe import DataRecipe, batch_shapes, takes, validates_loss
from vfi_train.training.run_directory import RunDirectory
from vfi_train.weights.checkpoint_io import AtomicCheckpointIO


def build_data(plan: TrainingPlan) -> VFIDataModule:
    """The datamodule, which gives what the network takes; its files are not read."""
    data: VFIDataModule = _build(plan, "data")
    data.position.uncount_step = uncount_step
    if _takes_context(plan):
        data.give_context()
    return data


def build_trainable(plan: TrainingPlan) -> Architecture:
    """The network, with the parameters frozen that do not train."""
    network = build_network(plan.config)
    select_trainable(network, plan.config["train"], plan.config["freeze"])
    return network


def build_losses(plan: TrainingPlan, without: tuple[str, ...] = ()) -> LossSet:
    """The loss set, without some of its terms."""
    blocks = _blocks(plan)
    blocks.loss.terms = {name: term for name, term in blocks.loss.terms.items() if term and name not in without}
    return instantiate(blocks.loss, _convert_="all")


def build_optimizer_factory(plan: TrainingPlan) -> partial[Optimizer]:
    """A partial of the optimizer's class, which takes parameter groups."""
    return _build(plan, "optimizer")


def build_schedule(plan: TrainingPlan) -> Schedule:
    """The learning rate by optimizer step."""
    return _build(plan, "schedule")


def parameter_groups(plan: TrainingPlan) -> list[ParameterGroup]:
    """Which parameters are optimized otherwise than the rest."""
    return [ParameterGroup.from_config(block) for block in plan.config["parameter_groups"]]


def build_module(plan: TrainingPlan, without: tuple[str, ...] = ()) -> InterpolationModule:
    """The LightningModule with network, losses, optimizer and schedule; `without` some of the loss terms."""
    make = _build(plan, "module", _partial_=True)  # objects given to instantiate would be made configs
    return make(
        architecture=build_trainable(plan),
        loss=build_losses(plan, without),
        optimizer=build_optimizer_factory(plan),
        schedule=build_schedule(plan),
        total_steps=plan.steps,
        parameter_groups=parameter_groups(plan),
        seed=plan.seed,
    )


def build_trainer(plan: TrainingPlan, run: RunDirectory, cluster: ClusterEnvironment | None = None) -> L.Trainer:
    """Lightning's Trainer with the global batch split over devices and all intervals in optimizer steps.

    Nothing is written yet: its loggers come from `build_loggers`.

    Args:
        plan: what is trained.
        run: where.
        cluster: how its processes find each other; None: as they were started.
    """
    blocks, config = _blocks(plan), plan.config
    check_clipping(blocks.trainer.gradient_clip_val, blocks.trainer.gradient_clip_algorithm)
    given = {"dirpath": str(run.checkpoints), "later_steps": plan.later_steps}
    callbacks = [_build_callback(name, block, given) for name, block in blocks.callbacks.items() if block is not None]
    profiler = blocks.trainer.profiler
    trainer: L.Trainer = instantiate(
        blocks.trainer,
        profiler=_build_with(profiler, {"dirpath": str(run.path)}) if isinstance(profiler, DictConfig) else profiler,
        _convert_="all",
        default_root_dir=str(run.path),
        strategy=strategy(blocks.trainer.strategy, plan.process_count, plan.batch_size, plan.micro_batch_size),
        max_epochs=-1,
        deterministic=config["deterministic"],
        benchmark=blocks.trainer.benchmark and not config["deterministic"],
        use_distributed_sampler=False,
        check_val_every_n_epoch=None,
        log_every_n_steps=config["log_every"],
        callbacks=callbacks,
        logger=False,
        plugins=[plugin for plugin in (AtomicCheckpointIO(), cluster or cluster_environment()) if plugin is not None],
    )
    disable_signal_handling(trainer)
    restart_timer(trainer)
    _, accumulate = split_batch(plan.batch_size, trainer.world_size, plan.micro_batch_size)
    trainer.accumulate_grad_batches = accumulate
    check_compile(config["module"]["compile"], trainer.strategy.root_device.type, trainer.world_size, accumulate)
    trainer.val_check_interval = plan.validate_every * accumulate  # type: ignore[operator]
    return trainer


def build_loggers(plan: TrainingPlan, run: RunDirectory, made_with: Mapping[str, Any]) -> list[Any]:
    """The loggers, given the configuration and what the run is made with; they write into the run's folder."""
    given = {"directory": str(run.path), "run_name": plan.name, "experiment": plan.experiment}
    built = [_build_with(block, given) for block in _blocks(plan).logger.values() if block is not None]
    loggers = [logger for logger in built if logger is not None]  # W&B may be disabled
    if is_first_process():
        for logger in loggers:
            logger.log_hyperparams({**run.config, **made_with})
    return loggers


def check_pairing(architecture: Architecture, data: Any) -> None:
    """Refuse data that cannot train the network, or that it would ignore."""
    name, dataset = type(architecture).__name__, type(data).__name__
    if not data.trains:
        raise UserError(f"{dataset} has only validation samples: train with another data=NAME")
    if data.arbitrary_time and not architecture.arbitrary_time:
        raise UserError(
            f"{name} predicts only the middle frame, but this dataset has targets at other times: "
            "choose an architecture for arbitrary times, or set data.times=0.5"
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


def check_losses(plan: TrainingPlan) -> None:
    """Refuse losses that lack a file, or what the network or a dataset gives, before there is any data.

    Raises:
        UserError: naming the file, or the term and what it lacks.
    """
    losses, network = build_losses(plan), build_trainable(plan).eval()
    for data in plan.datasets:
        check_loss_inputs(losses, network, data)


@torch.no_grad()
def check_loss_inputs(losses: LossSet, network: Architecture, data: DataRecipe) -> None:
    """Refuse losses that cannot be computed of what a network predicts for a dataset.

    The network predicts from its smallest frames, black. The terms are computed at the size of the training's images,
    where it is known, of zeros in the place of the prediction; others than ours may not take that.
    """
    small = padded_size((1, 1), network)
    batch = _black(data, network, small)
    reads = [field for _, term in losses.named_terms() for field in term.reads]
    keys = {field.removeprefix("batch.") for field in reads if field.startswith("batch.")}
    keys -= {*batch, *(["flow"] if data.flow is False else [])}  # others: what own datasets add is not known here
    prediction = predict(network, batch)
    losses.check(prediction, [*batch, *keys])
    kinds = (data.kind, type(network), *map(type, losses.terms.values()))
    is_ours = all(kind.__module__.startswith(OUR_MODULES) for kind in kinds)
    if data.size is None or keys or not is_ours:
        return
    batch = _black(data, network, data.size)
    network.check(batch["frame0"], batch["frame1"])
    losses(_resized(prediction, data.size[0] / small[0], data.size[1] / small[1]), batch)


def _black(data: DataRecipe, network: Architecture, size: tuple[int, int]) -> Any:
    return {name: torch.zeros(shape) for name, shape in batch_shapes(data, network, 1, size).items()}


def _resized(value: Any, rows: float, columns: float) -> Any:
    """A prediction, or a part of it, with all heights and widths multiplied, of zeros."""
    if isinstance(value, Tensor):
        *others, height, width = value.shape
        return value.new_zeros(()).expand(*others, round(height * rows), round(width * columns))
    if isinstance(value, list):
        return [_resized(item, rows, columns) for item in value]
    if not isinstance(value, Prediction):
        return value
    changes = {f.name: _resized(getattr(value, f.name), rows, columns) for f in dataclasses.fields(value)}
    return dataclasses.replace(value, **changes)


def check_validation_loss(plan: TrainingPlan, data: VFIDataModule) -> None:
    """Refuse a loss of validation samples that reads labels which those do not have, before there is any data."""
    if data.gives_val_flow or not validates_loss(plan.config["callbacks"]):
        return
    losses = build_losses(plan, plan.backbone_losses)
    for name, term in losses.named_terms():
        if "batch.flow" in term.reads:
            raise UserError(
                f"callbacks.metrics.names has loss, whose term {name!r} reads flow labels, which the validation "
                f"samples of {type(data).__name__} do not have: take loss out of the names, or the term out of the loss"
            )


def _takes_context(plan: TrainingPlan) -> bool:
    try:
        with torch.device("meta"):  # no numbers, which take a while
            return build_network(plan.config).takes_context
    except InstantiationException:  # it reads numbers while it is built
        return build_network(plan.config).takes_context


def _build_callback(name: str, block: Any, given: Mapping[str, Any]) -> L.Callback:
    callback = _build_with(block, given)
    if not isinstance(callback, L.Callback):
        raise UserError(
            f"callbacks.{name}._target_={block['_target_']} makes a {type(callback).__name__}: give a subclass of "
            "lightning.Callback"
        )
    return callback


def _build_with(block: Any, given: Mapping[str, Any]) -> Any:
    """What a block describes; arguments of `given` that its constructor has and the block does not set are passed."""
    passed = {name: value for name, value in given.items() if takes(block, name) and block.get(name) is None}
    return instantiate(block, _convert_="all", **passed)


def _build(plan: TrainingPlan, block: str, **options: Any) -> Any:
    return instantiate(_blocks(plan)[block], _convert_="all", **options)


def _blocks(plan: TrainingPlan) -> Any:
    """The blocks of the configuration, which Hydra names in its errors by their place in it."""
    return OmegaConf.create(dict(plan.config))
