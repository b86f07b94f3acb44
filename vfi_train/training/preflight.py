"""`check=true`: everything that a training will need is tried before any GPU hour is spent."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from datamodules.core.samplers import split_batch
from datamodules.storage.disk import existing_folder, free_bytes
from vfi_train.callbacks.optimizer_state import OptimizerState
from vfi_train.config.mistakes import explain
from vfi_train.errors import UserError, first_line
from vfi_train.loggers.wandb import resolved_mode
from vfi_train.profile.training_cost import state_per_parameter
from vfi_train.runtime.console import format_bytes, is_first_process
from vfi_train.runtime.devices import core_count, free_memory
from vfi_train.runtime.slurm import check_job
from vfi_train.training.build import (
    build_data,
    build_losses,
    build_module,
    build_optimizer_factory,
    build_trainable,
    build_trainer,
    check_losses,
    check_pairing,
    check_validation_loss,
)
from vfi_train.training.dry_run import memory_on_device
from vfi_train.training.frozen import check_frozen
from vfi_train.training.plan import TrainingPlan
from vfi_train.training.rehearsal import rehearse
from vfi_train.training.run import count_epoch
from vfi_train.training.run_directory import RunDirectory
from vfi_train.weights import load_weights
from vfi_train.weights.checkpoint_io import resume_point

CHECKPOINTS = 4  # last, the one before, best, and one that is being written
SECONDS = 10  # that W&B's server may take


@dataclass
class CheckResult:
    """The result of one trial."""

    name: str
    good: bool
    text: str


def preflight(plan: TrainingPlan, coming: Collection[str] = ()) -> None:
    """Print the result of each trial; end the process with status 1 if one failed. Nothing stays on the disk.

    Args:
        plan: of the training.
        coming: names of runs that will have been trained before it.
    """
    if not is_first_process():
        return
    results = try_all(plan, coming)
    table = Table(title=f"{plan.name}: is everything available?", show_header=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_column(overflow="fold")
    for result in results:
        table.add_row(result.name, "[green]good[/]" if result.good else "[red]FAILS[/]", result.text)
    Console().print(table)
    if not all(result.good for result in results):
        raise SystemExit(1)


def try_all(plan: TrainingPlan, coming: Collection[str] = ()) -> list[CheckResult]:
    """Every trial, also after one that failed; the rehearsal only after all others were good."""
    trials: dict[str, Callable[[TrainingPlan], str]] = {
        "run": try_run,
        "data": try_data,
        "network": try_network,
        "losses": try_losses,
        "weights": partial(try_weights, coming=coming),
        "devices": try_devices,
        "batch": try_batch,
        "memory": try_memory,
        "disk": try_disk,
        "W&B": try_wandb,
        "SLURM": try_slurm,
    }
    results = [_try(name, trial, plan) for name, trial in trials.items()]
    later: dict[str, Callable[[TrainingPlan], str]] = {
        "trainer": try_trainer,
        "rehearsal": partial(try_rehearsal, coming=coming),
    }
    for name, trial in later.items():
        if all(result.good for result in results):
            results.append(_try(name, trial, plan))
    return results


def try_run(plan: TrainingPlan) -> str:
    """Check that this configuration may train in its folder."""
    run = RunDirectory.of(plan)
    run.check(plan.resume)
    if run.finished:
        return f"{run.path} is finished: there is nothing to train"
    found = resume_point(run.checkpoints)
    return f"{run.path} is new" if found is None else f"{run.path} is resumed from {found[0].name} of step {found[1]:,}"


def try_data(plan: TrainingPlan) -> str:
    """Find the samples, compare their number with the published one, and read the first and the last of each set."""
    data = build_data(plan)
    data.check()
    data.setup()
    count_epoch(plan, data)
    counts = data.counts() if hasattr(data, "counts") else {}
    published: dict[str, int] = getattr(data, "published", {})
    missing = [f"{name}: {counts[name]:,} of {n:,}" for name, n in published.items() if counts.get(name, n) < n]
    _, accumulate = split_batch(plan.batch_size, plan.process_count, plan.micro_batch_size)
    processes = SimpleNamespace(world_size=plan.process_count, global_rank=0, accumulate_grad_batches=accumulate)
    data.trainer = processes  # type: ignore[assignment]  # as the first of all processes
    data.train_dataloader(), data.val_dataloader()
    for source in (data.train_source(), data.val_source()):
        for index in sorted({0, len(source) - 1}):
            source.sample(index, np.random.default_rng(0))
    notes = "".join(f"; {note}" for note in getattr(data, "notes", ()))
    text = (
        f"{data.train_size:,} training and {data.val_size:,} validation samples; the first and last can be read{notes}"
    )
    return text + (f"; fewer than published: {', '.join(missing)}" if missing else "")


def try_network(plan: TrainingPlan) -> str:
    """Build the network with its optimizer's groups, and compare what it takes with what the data gives."""
    module = build_module(plan.with_epoch(1), plan.backbone_losses)  # the length does not matter here
    network = module.architecture
    check_pairing(network, build_data(plan))
    module.configure_optimizers()
    return f"{type(network).__name__} fits the data and its losses"


def try_losses(plan: TrainingPlan) -> str:
    """Make every loss term, with its backbone's weights, and compute it."""
    check_losses(plan)
    check_validation_loss(plan, build_data(plan))
    names = ", ".join(plan.backbone_losses)
    return f"{names} found its backbone" if names else "no auxiliary weights are needed"


def try_weights(plan: TrainingPlan, coming: Collection[str] = ()) -> str:
    """Load the initial weights, and look for the optimizer's state."""
    run = RunDirectory.of(plan)
    if any(run.checkpoints.glob("*.ckpt")):
        return "those of its checkpoint"
    texts = []
    if plan.weights is None:
        check_frozen(build_trainable(plan))
        texts.append("the network starts from random weights")
    elif _is_coming(plan.weights, coming):
        texts.append(f"the network starts from {plan.weights}, which is trained before")
    else:
        texts.append(f"{load_weights(build_trainable(plan), plan.weights, plan.runs)} fits the network")
    if plan.optimizer_state is not None:
        if not _is_coming(plan.optimizer_state, coming):
            OptimizerState(plan.optimizer_state, plan.runs)
        texts.append(f"the optimizer's state comes from {plan.optimizer_state}")
    return "; ".join(texts)


def try_devices(plan: TrainingPlan) -> str:
    """Check that there are as many devices as requested, and that they support the precision."""
    gpus = torch.cuda.device_count()
    requested = (plan.device_count or 0) // plan.num_nodes
    if plan.accelerator == "cpu" or (plan.accelerator == "auto" and gpus == 0):
        count = max(1, requested)
        return f"the CPU, {core_count()} cores, as {count} {'process' if count == 1 else 'processes'}"
    if gpus == 0:
        raise UserError(f"trainer.accelerator={plan.accelerator} is requested, and PyTorch finds no GPU here")
    if requested > gpus:
        raise UserError(f"trainer.devices={plan.devices} are requested on each node, and {gpus} are here")
    if plan.precision.startswith("bf16") and not torch.cuda.is_bf16_supported():
        raise UserError(f"trainer.precision={plan.precision} is not supported by {torch.cuda.get_device_name()}")
    free, total = torch.cuda.mem_get_info()
    used = f"{requested or gpus} of {gpus} {torch.cuda.get_device_name()}"
    return f"{used}, {format_bytes(free)} of {format_bytes(total)} free"


def try_batch(plan: TrainingPlan) -> str:
    """Check that the global batch divides."""
    each, accumulate = plan.batch_split
    return f"{plan.batch_size} are {each} on each device" + (f", {accumulate} times" if accumulate > 1 else "")


def try_memory(plan: TrainingPlan) -> str:
    """Pass a batch's shapes through network and losses, and compare the memory that it takes with the device's."""
    device = torch.device("cuda" if plan.accelerator != "cpu" and torch.cuda.is_available() else "cpu")
    shared = 1 if device.type == "cuda" else max(1, plan.process_count // plan.num_nodes)
    free = free_memory(device) / shared

    def needed(micro_batch_size: int | None) -> float | None:
        smaller = dataclasses.replace(plan, micro_batch_size=micro_batch_size)
        memory = memory_on_device(smaller, build_trainable(plan), losses)
        return None if memory is None else float(memory.total)

    losses = build_losses(plan, plan.backbone_losses)
    total = needed(plan.micro_batch_size)
    if total is None:
        return "not known without the size of the images"
    text = f"a training batch takes at least {format_bytes(total)} on each device, where {format_bytes(free)} are free"
    if total <= free or plan.config["module"]["checkpointing"]:  # which makes it less
        return text
    each, _ = plan.batch_split
    one = needed(1) or total
    slope = (total - one) / max(1, each - 1)
    samples = plan.batch_size // (plan.device_count or 1)
    fitting = [n for n in range(1, each) if samples % n == 0 and one + slope * (n - 1) <= free]
    advice = (
        f"data.micro_batch_size={fitting[-1]} fits, with the same result" if fitting else "not even one sample fits"
    )
    raise UserError(f"{text}: {advice}; module.checkpointing=true takes less, and more time")


def try_disk(plan: TrainingPlan) -> str:
    """Check that the checkpoints fit into the folder of the runs."""
    folder = existing_folder(plan.runs)
    if not os.access(folder, os.W_OK):
        raise UserError(f"runs={plan.runs}: {folder} cannot be written to: give another folder")
    weights = sum(t.numel() * t.element_size() for t in build_trainable(plan).state_dict().values())
    copies = 1 + state_per_parameter(build_optimizer_factory(plan)) + len(plan.averages)
    need, free = CHECKPOINTS * weights * copies, free_bytes(folder)
    if free < need:
        raise UserError(
            f"{folder} has {format_bytes(free)} free, and {CHECKPOINTS} checkpoints take {format_bytes(need)}"
        )
    return f"{format_bytes(free)} free in {folder}, checkpoints take {format_bytes(need)}"


def try_trainer(plan: TrainingPlan) -> str:
    """Build the Trainer and the callbacks."""
    trainer = build_trainer(plan.with_epoch(1), RunDirectory.of(plan))
    return (
        f"precision {trainer.precision}, {type(trainer.strategy).__name__}, {trainer.world_size} x {plan.accelerator}"
    )


def try_rehearsal(plan: TrainingPlan, coming: Collection[str] = ()) -> str:
    """Train, validate, log and save in small."""
    if plan.weights is not None and _is_coming(plan.weights, coming):
        plan = dataclasses.replace(plan, weights=None, optimizer_state=None)
    steps = rehearse(plan.with_epoch(1), existing_folder(plan.runs))
    return f"{steps} {'step' if steps == 1 else 'steps'} of one sample, a validation and a checkpoint went through"


def try_wandb(plan: TrainingPlan) -> str:
    """If W&B is to be online: check that it responds."""
    mode = "disabled" if plan.wandb_mode is None else resolved_mode(plan.wandb_mode)
    if mode == "disabled":
        return "not used"
    if mode == "offline":
        return "offline: nobody is logged in, or it was requested; wandb sync later"
    import wandb

    try:
        name = wandb.Api(timeout=SECONDS).viewer.username
    except (wandb.errors.Error, OSError, ValueError) as error:  # of W&B, of requests, of JSON
        raise UserError(
            f"W&B does not respond ({first_line(error)}): log in by wandb login, or logger.wandb.mode=offline"
        ) from error
    return f"online as {name}"


def try_slurm(plan: TrainingPlan) -> str:
    """Within SLURM: check that tasks, devices and nodes agree."""
    if "SLURM_JOB_ID" not in os.environ:
        return "not used"
    check_job(plan.device_count, plan.num_nodes)
    tasks, nodes = (int(os.environ.get(name, "1")) for name in ("SLURM_NTASKS", "SLURM_NNODES"))
    return f"tasks: {tasks}, nodes: {nodes}, which fits trainer.devices={plan.devices}"


def _is_coming(source: str, coming: Collection[str]) -> bool:
    return source.partition(":")[0] in coming


def _try(name: str, trial: Callable[[TrainingPlan], str], plan: TrainingPlan) -> CheckResult:
    try:
        return CheckResult(name, True, trial(plan))
    except Exception as error:
        message = explain(error, (), "train")
        if message is None:
            raise  # a bug
        return CheckResult(name, False, " ".join(message.split()))
