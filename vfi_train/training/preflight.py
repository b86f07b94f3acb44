"""`check=true`: everything that a training will need is tried before any GPU hour is spent."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from losses import LossSet
from vfi_train.architectures import Architecture
from vfi_train.config.epochs import count_epoch
from vfi_train.errors import DataError, UserError
from vfi_train.loggers.wandb import is_logged_in
from vfi_train.optim.parameters import select_trainable
from vfi_train.profile.training_cost import state_per_parameter
from vfi_train.runtime.console import is_first_process
from vfi_train.runtime.distributed import device_count, device_shares
from vfi_train.runtime.slurm import check_job
from vfi_train.training.dry_run import in_words, memory_on_device
from vfi_train.training.recipe import averages
from vfi_train.training.run_directory import RunDirectory, run_name
from vfi_train.weights import load_weights

CHECKPOINTS = 4  # last, the one before, best, and one that is being written
SECONDS = 10  # that W&B's server may take


@dataclass
class Finding:
    """What came of one trial."""

    name: str
    good: bool
    text: str


def preflight(config: DictConfig) -> None:
    """Print what came of each trial; end the process with status 1 if one failed. Nothing is written."""
    findings = try_all(config)
    table = Table(title=f"{run_name(config)}: is all there?", show_header=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_column(overflow="fold")
    for finding in findings:
        table.add_row(finding.name, "[green]good[/]" if finding.good else "[red]FAILS[/]", finding.text)
    if is_first_process():
        Console().print(table)
    if not all(finding.good for finding in findings):
        raise SystemExit(1)


def try_all(config: DictConfig) -> list[Finding]:
    """Every trial, also after one that failed."""
    trials: dict[str, Callable[[DictConfig], str]] = {
        "run": try_run,  # before epochs are counted, as in training
        "data": try_data,
        "network": try_network,
        "losses": try_losses,
        "weights": try_weights,
        "devices": try_devices,
        "batch": try_batch,
        "disk": try_disk,
        "W&B": try_wandb,
        "SLURM": try_slurm,
    }
    return [_try(name, trial, config) for name, trial in trials.items()]


def try_data(config: DictConfig) -> str:
    """Find the samples, compare their number with the published one, and read the first and the last of each set."""
    data: Any = instantiate(config.data, _convert_="all")
    data.check()
    data.setup()
    count_epoch(config, data)
    counts, published = _counts(data), getattr(data, "published", {})
    missing = [f"{name}: {counts[name]:,} of {n:,}" for name, n in published.items() if counts.get(name, n) < n]
    for source in (data.train_source(), data.val_source()):
        for index in sorted({0, len(source) - 1}):
            source.sample(index, np.random.default_rng(0))
    text = f"{data.train_size:,} samples to train on, {data.val_size:,} held out; first and last ones can be read"
    return text + (f"; fewer than published: {', '.join(missing)}" if missing else "")


def try_network(config: DictConfig) -> str:
    """Build the network with its optimizer's groups, and pass a batch's shapes through it and the losses."""
    from vfi_train.training.build import build_module, check_pairing

    data: Any = instantiate(config.data, _convert_="all")
    without_backbones = config.copy()
    without_backbones.loss.terms = {
        name: term for name, term in config.loss.terms.items() if term is not None and "folder" not in term
    }
    if config.trainer.max_steps is None:
        without_backbones.steps_per_epoch = 1  # there was no data to count
    module = build_module(without_backbones)
    check_pairing(module.architecture, data)
    module.configure_optimizers()
    memory = memory_on_device(without_backbones, module.architecture, module.loss)
    passed = "" if memory is None else f"; a training batch passes, with about {in_words(memory.total)} on each device"
    return f"{type(module.architecture).__name__} suits the data and its losses{passed}"


def try_losses(config: DictConfig) -> str:
    """Make every loss term, with its backbone's weights."""
    loss: LossSet = instantiate(config.loss, _convert_="all")
    judges = [name for name, term in loss.named_terms() if hasattr(term, "judge")]
    return f"{', '.join(judges)} found its backbone" if judges else "no auxiliary weights are needed"


def try_weights(config: DictConfig) -> str:
    """Load what the network starts from."""
    if config.weights is None:
        return "the network starts from fresh weights"
    return f"{load_weights(_network(config), config.weights, config.runs)} fits the network"


def try_devices(config: DictConfig) -> str:
    """Are there as many devices as asked for, and can they do the precision?"""
    gpus = torch.cuda.device_count()
    accelerator = str(config.trainer.accelerator)
    asked = (device_count(config) or 0) // config.trainer.num_nodes
    if accelerator == "cpu" or (accelerator == "auto" and gpus == 0):
        return f"the CPU, {os.cpu_count()} cores, as {asked or 1} {'process' if asked <= 1 else 'processes'}"
    if gpus == 0:
        raise UserError(f"trainer.accelerator={accelerator} is asked for, and PyTorch finds no GPU here")
    if asked > gpus:
        raise UserError(f"trainer.devices={config.trainer.devices} are asked for on each node, and {gpus} are here")
    if config.trainer.precision.startswith("bf16") and not torch.cuda.is_bf16_supported():
        raise UserError(f"trainer.precision={config.trainer.precision} is not for {torch.cuda.get_device_name()}")
    free, total = torch.cuda.mem_get_info()
    return f"{asked or gpus} of {gpus} {torch.cuda.get_device_name()}, {in_words(free)} of {in_words(total)} free"


def try_batch(config: DictConfig) -> str:
    """Does the global batch divide?"""
    each, accumulate = device_shares(config)
    return f"{config.data.batch_size} are {each} on each device" + (f", {accumulate} times" if accumulate > 1 else "")


def try_disk(config: DictConfig) -> str:
    """Is there room for the checkpoints where the runs go?"""
    folder = Path(config.runs).absolute()
    while not folder.exists():
        folder = folder.parent
    with tempfile.NamedTemporaryFile(dir=folder):
        pass  # it may be written to
    weights = sum(t.numel() * t.element_size() for t in _network(config).state_dict().values())
    make: Callable[..., Any] = instantiate(config.optimizer, _convert_="all")
    need = CHECKPOINTS * weights * (1 + state_per_parameter(make) + len(averages(config)))
    free = shutil.disk_usage(folder).free
    if free < need:
        raise UserError(f"{folder} has {in_words(free)} free, and {CHECKPOINTS} checkpoints take {in_words(need)}")
    return f"{in_words(free)} free in {folder}, checkpoints take {in_words(need)}"


def try_run(config: DictConfig) -> str:
    """May this configuration train in its folder?"""
    from vfi_train.training.build import plain

    run = RunDirectory(Path(config.runs) / run_name(config), plain(config))
    run.check(config.resume)
    if run.finished:
        return f"{run.path} is finished: there is nothing to train"
    return f"{run.path} {'goes on' if run.path.exists() else 'is new'}"


def try_wandb(config: DictConfig) -> str:
    """If W&B is to be online: does it answer?"""
    blocks = [block for block in config.logger.values() if block is not None and "project" in block]
    if not blocks:
        return "not used"
    mode = blocks[0].mode
    if mode == "offline" or (mode == "auto" and not is_logged_in()):
        return "offline: nobody is logged in, or it was asked for; wandb sync later"
    import wandb

    try:
        name = wandb.Api(timeout=SECONDS).viewer.username
    except Exception as error:  # of requests, of wandb, of json
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"W&B does not answer ({reason}): log in by wandb login, or logger.wandb.mode=offline"
        ) from error
    return f"online as {name}"


def try_slurm(config: DictConfig) -> str:
    """Within SLURM: do tasks, devices and nodes agree?"""
    if "SLURM_JOB_ID" not in os.environ:
        return "not used"
    check_job(device_count(config), config.trainer.num_nodes)
    tasks, nodes = (int(os.environ.get(name, "1")) for name in ("SLURM_NTASKS", "SLURM_NNODES"))
    return f"tasks: {tasks}, nodes: {nodes}, which suits trainer.devices={config.trainer.devices}"


def _try(name: str, trial: Callable[[DictConfig], str], config: DictConfig) -> Finding:
    try:
        return Finding(name, True, trial(config))
    except (UserError, DataError, ValueError, OSError, InstantiationException) as error:
        cause = error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
        return Finding(name, False, " ".join(str(cause).split()))


def _network(config: DictConfig) -> Architecture:
    network: Architecture = instantiate(config.model, _convert_="all")
    select_trainable(network, config.train, config.freeze)
    return network


def _counts(data: Any) -> Mapping[str, int]:
    return data.counts() if hasattr(data, "counts") else {}
