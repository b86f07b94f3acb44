"""`dry_run=true`: a recipe as a table, without its data."""

from __future__ import annotations

from collections.abc import Iterable

from hydra.errors import InstantiationException
from rich.console import Console
from rich.table import Table

from losses import LossSet
from vfi_train.architectures import Architecture
from vfi_train.architectures.base import count_parameters
from vfi_train.callbacks.published_reference import milestones
from vfi_train.config.mistakes import find_cause
from vfi_train.errors import UserError
from vfi_train.optim.parameters import optimizer_groups
from vfi_train.profile.training_cost import TrainingMemory, training_memory
from vfi_train.runtime.console import format_bytes, is_first_process
from vfi_train.training.build import (
    build_losses,
    build_optimizer_factory,
    build_schedule,
    build_trainable,
    parameter_groups,
)
from vfi_train.training.plan import TrainingPlan
from vfi_train.training.recipe import DataRecipe, LossRecipe, batch_shapes, validated_on

BARS = "▁▂▃▄▅▆▇█"
COLUMNS = 60  # of the plot of the learning rate
UNKNOWN_EPOCH = 1000  # optimizer steps of an epoch whose data was not counted, only for that plot


def dry_run(plan: TrainingPlan) -> None:
    """Print what a training would do."""
    table = Table(title=f"{plan.name}: nothing is trained", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, text in describe_recipe(plan):
        table.add_row(name, text)
    if is_first_process():
        Console().print(table)


def describe_recipe(plan: TrainingPlan) -> list[tuple[str, str]]:
    """What is trained, on what, how, and what it costs: a name and a text for each."""
    network = build_trainable(plan)
    return [
        *_source(plan),
        ("network", _network(plan, network)),
        *([] if plan.weights is None else [("starts from", plan.weights)]),
        *(("data", describe_dataset(data, len(plan.datasets) > 1)) for data in plan.datasets),
        ("batch", _batch(plan)),
        ("length", describe_length(plan)),
        ("validation", describe_validation(plan)),
        ("optimizer", _optimizer(plan, network)),
        ("learning rate", _learning_rate(plan)),
        ("losses", " + ".join(map(_loss, plan.losses))),
        ("precision", plan.precision + "".join(f", average of the weights: {name}" for name in plan.averages)),
        ("memory", describe_memory(plan, network)),
    ]


def describe_validation(plan: TrainingPlan) -> str:
    """How often, and on what."""
    every = "counted from the data" if plan.validate_every is None else f"every {plan.validate_every:,} steps"
    return f"{every}, on {validated_on(plan.config['data'])}"


def describe_memory(plan: TrainingPlan, network: Architecture) -> str:
    """What a training step takes on each device."""
    losses, missing = _available_losses(plan)
    most = memory_on_device(plan, network, losses)
    if most is None:
        return "not known without the size of the images"
    text = f"about {format_bytes(most.total)} on each device, {format_bytes(most.activations)} of it activations"
    if plan.device_count is None:
        text += " (with one device)"
    return text + (f"; without {', '.join(missing)}, whose backbones are not here" if missing else "")


def sparkline(values: Iterable[float]) -> str:
    """Non-negative numbers as a row of bars, the largest as the highest."""
    values = list(values)
    top = max(values, default=0.0)
    return "".join(BARS[min(len(BARS) - 1, int(value / top * len(BARS)))] if top > 0 else BARS[0] for value in values)


def memory_on_device(plan: TrainingPlan, network: Architecture, losses: LossSet) -> TrainingMemory | None:
    """The most that a training step of any of the datasets takes; None: the size of the images is not known."""
    each, _ = plan.batch_split
    factory = build_optimizer_factory(plan)
    found: list[TrainingMemory] = []
    for data in plan.datasets:
        if data.size is None:
            return None
        samples = max(1, round(each * data.batch_size / plan.batch_size))
        shapes = batch_shapes(data, network, samples, data.size)
        found.append(training_memory(network, losses, factory, shapes, plan.precision, len(plan.averages)))
    return max(found, key=lambda memory: memory.total)


def _source(plan: TrainingPlan) -> list[tuple[str, str]]:
    published = plan.published
    if published is None:
        return []
    scores = [f"PSNR {published['psnr']} dB"] if published.get("psnr") else []
    scores += [f"SSIM {published['ssim']}"] if published.get("ssim") else []
    texts = [("source", str(published["paper"]))] if published.get("paper") else []
    if scores:
        how = ", ".join(str(published[key]) for key in ("table", "protocol") if published.get(key))
        texts.append(("published", f"{', '.join(scores)}" + (f" ({how})" if how else "")))
    if published.get("milestones"):
        bands = (f"{low:g} to {high:g} dB at step {step:,}" for step, low, high in milestones(published["milestones"]))
        texts.append(("expected", f"val/psnr of {', '.join(bands)}"))
    if published.get("conflicts"):
        texts.append(("decided", " ".join(str(published["conflicts"]).split())))
    return texts


def count_trainable(network: Architecture) -> tuple[int, int, int]:
    """How many tensors and parameters train, and how many parameters the network has."""
    trained = [p for p in network.parameters() if p.requires_grad]
    return len(trained), sum(p.numel() for p in trained), count_parameters(network)


def _network(plan: TrainingPlan, network: Architecture) -> str:
    tensors, count, total = count_trainable(network)
    return f"{plan.network}: {total:,} parameters, " + (
        "all train" if count == total else f"{count:,} in {tensors} tensors train"
    )


def describe_dataset(data: DataRecipe, is_one_of_several: bool = False) -> str:
    """Its name, variant and published counts, and what training gets of it."""
    variant = "" if data.variant is None else f" [{data.variant}]"
    counts = (f"{name} {count:,} {data.unit}".rstrip() for name, count in data.published.items())
    parts = [f"{data.kind.__name__}{variant}", *counts]
    if data.size is not None:
        parts.append(f"images of {data.size[0]}x{data.size[1]}")
    if data.flow:
        parts.append("with flow labels")
    if is_one_of_several:
        parts.append(f"batch of {data.batch_size}")
    return ", ".join(parts)


def _batch(plan: TrainingPlan) -> str:
    devices = plan.device_count
    each, accumulate = plan.batch_split
    text = f"{plan.batch_size} per optimizer step: {each} on " + (
        "one device" if devices == 1 else f"each of {devices or 'all'} devices"
    )
    if accumulate > 1:
        text += f", {accumulate} times accumulated"
    if plan.datasets[0].batch_size != plan.batch_size:
        text += f" ({plan.datasets[0].batch_size} targets)"
    return text


def describe_length(plan: TrainingPlan) -> str:
    """How many steps and epochs, and how often it is saved."""
    if plan.steps is None:
        return f"{plan.length}, counted from the data at the start"
    text, samples = f"{plan.steps:,} optimizer steps", plan.datasets[0].epoch
    if len(plan.datasets) == 1 and samples is not None and samples >= plan.batch_size:
        steps = samples // plan.batch_size
        text += f" ({plan.steps / steps:.5g} epochs of {steps:,} steps: {samples:,} {plan.datasets[0].unit})"
    return f"{text}, a checkpoint every {plan.checkpoint_every:,}"


def _optimizer(plan: TrainingPlan, network: Architecture) -> str:
    factory = build_optimizer_factory(plan)
    options = {key: value for key, value in factory.keywords.items() if value is not None}
    shown = ", ".join(f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in options.items())
    text = f"{factory.func.__name__}: {shown}"
    groups = parameter_groups(plan)
    optimizer_groups(network, groups)  # raises where a pattern matches nothing
    for group in groups:
        decay = "" if group.weight_decay is None else f", weight decay {group.weight_decay:g}"
        text += f"; {' '.join(group.match)}: rate x {group.lr_factor:g}{decay}"
    clip, algorithm = (plan.config["trainer"][f"gradient_clip_{key}"] for key in ("val", "algorithm"))
    return text + (f"; gradients clipped to {algorithm} {clip:g}" if clip else "")


def _learning_rate(plan: TrainingPlan) -> str:
    counted = plan.with_epoch(UNKNOWN_EPOCH)
    schedule, peak, total = build_schedule(counted), build_optimizer_factory(plan).keywords["lr"], counted.steps
    if not total:
        raise UserError(f"{plan.length} is no length: give a number of optimizer steps or ${{epochs:N}}")

    def rate(step: int) -> float:
        return schedule(step, peak=peak, total=total)

    steps = [round(column * (total - 1) / (COLUMNS - 1)) for column in range(COLUMNS)]
    summary = f"{rate(0):.3g} first, {max(map(rate, steps)):.3g} at most, {rate(total - 1):.3g} last"
    return f"{sparkline(map(rate, steps))}\n{type(schedule).__name__}: {summary}"


def _loss(loss: LossRecipe) -> str:
    weight = f"{loss.weight:g}" if isinstance(loss.weight, (int, float)) else f"({loss.weight})"
    return f"{weight} {loss.name} ({loss.kind.__name__})"


def _available_losses(plan: TrainingPlan) -> tuple[LossSet, tuple[str, ...]]:
    """The loss set without the terms whose backbones are not here, and the names of those."""
    missing = tuple(loss.name for loss in plan.losses if loss.has_backbone and not _is_available(plan, loss))
    return build_losses(plan, without=missing), missing


def _is_available(plan: TrainingPlan, loss: LossRecipe) -> bool:
    try:
        build_losses(plan, without=tuple(other.name for other in plan.losses if other is not loss))
    except InstantiationException as error:
        if isinstance(find_cause(error)[1], UserError):
            return False
        raise
    return True
