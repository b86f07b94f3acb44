"""`dry_run=true`: a recipe as a table, without its data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from losses import LossSet
from vfi_train.architectures import Architecture
from vfi_train.architectures.base import count_parameters
from vfi_train.optim.parameters import ParameterGroup, optimizer_groups, select_trainable
from vfi_train.optim.schedules import Schedule
from vfi_train.profile.training_cost import TrainingMemory, training_memory
from vfi_train.runtime.console import is_first_process
from vfi_train.runtime.distributed import device_count, device_shares
from vfi_train.training.recipe import DataRecipe, averages, batch_shapes, datasets
from vfi_train.training.run_directory import run_name

BARS = "▁▂▃▄▅▆▇█"
COLUMNS = 60  # of the image of the learning rate
UNKNOWN_EPOCH = 1000  # optimizer steps of an epoch whose data was not counted, for the image alone
GIB = 2**30


def dry_run(config: DictConfig) -> None:
    """Print what `config` would do."""
    table = Table(title=f"{run_name(config)}: nothing is trained", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, text in describe_recipe(config):
        table.add_row(name, text)
    if is_first_process():
        Console().print(table)


def describe_recipe(config: DictConfig) -> list[tuple[str, str]]:
    """What is trained, on what, how, and what it costs: a name and a text for each."""
    architecture = instantiate(config.model, _convert_="all")
    select_trainable(architecture, config.train, config.freeze)
    data = datasets(config)
    rows = [
        *_source(config),
        ("network", _network(config, architecture)),
        *_start(config),
        *(("data", text) for text in _data(config, data)),
        ("batch", _batch(config, data)),
        ("length", _length(config, data)),
        ("optimizer", _optimizer(config, architecture)),
        ("learning rate", _learning_rate(config)),
        ("losses", _losses(config)),
        ("precision", _precision(config)),
        ("memory", _memory(config, architecture)),
    ]
    return rows


def sparkline(values: Iterable[float]) -> str:
    """Numbers of 0 and more as a row of bars, the largest as the highest."""
    values = list(values)
    top = max(values, default=0.0)
    return "".join(BARS[min(len(BARS) - 1, int(value / top * len(BARS)))] if top > 0 else BARS[0] for value in values)


def in_words(size: float) -> str:
    """A number of bytes for people."""
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / 2**20:.0f} MiB"


def _source(config: DictConfig) -> list[tuple[str, str]]:
    published = config.published
    if published is None:
        return []
    scores = [f"PSNR {published.psnr} dB"] if published.get("psnr") else []
    scores += [f"SSIM {published.ssim}"] if published.get("ssim") else []
    texts = [("source", str(published.paper))] if published.get("paper") else []
    if scores:
        how = ", ".join(str(published[key]) for key in ("table", "protocol") if published.get(key))
        texts.append(("published", f"{', '.join(scores)}" + (f" ({how})" if how else "")))
    if published.get("conflicts"):
        texts.append(("decided", " ".join(str(published.conflicts).split())))
    return texts


def _network(config: DictConfig, architecture: Architecture) -> str:
    total = count_parameters(architecture)
    trained = [p for p in architecture.parameters() if p.requires_grad]
    count = sum(p.numel() for p in trained)
    share = "all train" if count == total else f"{count:,} in {len(trained)} tensors train"
    return f"{config.model._target_.rpartition('.')[2]}: {total:,} parameters, {share}"


def _start(config: DictConfig) -> list[tuple[str, str]]:
    return [] if config.weights is None else [("starts from", str(config.weights))]


def _data(config: DictConfig, data: list[DataRecipe]) -> Iterable[str]:
    for recipe in data:
        parts = [recipe.name]
        parts += [f"{name} {count:,}" for name, count in recipe.published.items()]
        if recipe.size is not None:
            parts.append(f"images of {recipe.size[0]}x{recipe.size[1]}")
        if recipe.flow:
            parts.append("with flow labels")
        if len(data) > 1:
            parts.append(f"batch of {recipe.batch_size}")
        yield ", ".join(parts)


def _batch(config: DictConfig, data: list[DataRecipe]) -> str:
    devices = device_count(config)
    each, accumulate = device_shares(config)
    parts = f"{each} on each of {devices or 'all'} devices" if devices != 1 else f"{each} on one device"
    text = f"{config.data.batch_size} per optimizer step: {parts}"
    if accumulate > 1:
        text += f", {accumulate} times accumulated"
    if data[0].batch_size != config.data.batch_size:
        text += f" ({data[0].batch_size} targets)"
    return text


def _length(config: DictConfig, data: list[DataRecipe]) -> str:
    steps = config.trainer.max_steps
    if steps is None:
        return f"{_as_written(config, 'trainer.max_steps')}, counted from the data at the start"
    text = f"{steps:,} optimizer steps"
    counts = list(data[0].published.values())
    if len(data) == 1 and counts and counts[0] > 10 * config.data.batch_size:
        text += f" ({steps / (counts[0] // config.data.batch_size):.0f} epochs of the whole published list)"
    return f"{text}, validation every {config.validate_every:,}, a checkpoint every {config.checkpoint_every:,}"


def _optimizer(config: DictConfig, architecture: Architecture) -> str:
    options = {k: v for k, v in config.optimizer.items() if not str(k).startswith("_") and v is not None}
    said = ", ".join(f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in options.items())
    groups = [ParameterGroup.from_config(block) for block in config.parameter_groups]
    text = f"{config.optimizer._target_.rpartition('.')[2]}: {said}"
    optimizer_groups(architecture, groups)  # says where a pattern matches nothing
    for group in groups:
        decay = "" if group.weight_decay is None else f", weight decay {group.weight_decay:g}"
        text += f"; {' '.join(group.match)}: rate x {group.lr_factor:g}{decay}"
    if config.trainer.gradient_clip_val:
        text += f"; gradients clipped to {config.trainer.gradient_clip_algorithm} {config.trainer.gradient_clip_val:g}"
    return text


def _learning_rate(config: DictConfig) -> str:
    counted = config.copy()
    if config.trainer.max_steps is None and config.steps_per_epoch is None:
        counted.steps_per_epoch = UNKNOWN_EPOCH
    schedule: Schedule = instantiate(counted.schedule, _convert_="all")
    peak, total = float(config.optimizer.lr), counted.trainer.max_steps

    def rate(step: int) -> float:
        return schedule(step, peak=peak, total=total)

    steps = [round(column * (total - 1) / (COLUMNS - 1)) for column in range(COLUMNS)]
    name = config.schedule._target_.rpartition(".")[2]
    told = f"{name}: {rate(0):.3g} first, {max(map(rate, steps)):.3g} at most, {rate(total - 1):.3g} last"
    return f"{sparkline(map(rate, steps))}\n{told}"


def _losses(config: DictConfig) -> str:
    terms = []
    for name, term in config.loss.terms.items():
        if term is None:
            continue
        weight = term.get("weight", 1.0)
        said = f"{weight:g}" if isinstance(weight, (int, float)) else f"({instantiate(weight, _convert_='all')})"
        terms.append(f"{said} {name} ({term._target_.rpartition('.')[2]})")
    return " + ".join(terms)


def _precision(config: DictConfig) -> str:
    kept = averages(config)
    return str(config.trainer.precision) + (f", averages of the weights: {', '.join(kept)}" if kept else "")


def memory_on_device(config: DictConfig, architecture: Architecture, loss: LossSet) -> TrainingMemory | None:
    """The most that a training step of any of the datasets takes; None: the size of images is not known."""
    each, _ = device_shares(config)
    make: Callable[..., Any] = instantiate(config.optimizer, _convert_="all")
    found: list[TrainingMemory] = []
    for recipe in datasets(config):
        if recipe.size is None:
            return None
        samples = max(1, round(each * recipe.batch_size / config.data.batch_size))
        shapes = batch_shapes(recipe, architecture, samples, recipe.size)
        kept = len(averages(config))
        found.append(training_memory(architecture, loss, make, shapes, config.trainer.precision, kept))
    return max(found, key=lambda memory: memory.total)


def _memory(config: DictConfig, architecture: Architecture) -> str:
    loss, missing = _usable_losses(config)
    most = memory_on_device(config, architecture, loss)
    if most is None:
        return "not known without the size of the images"
    text = f"about {in_words(most.total)} on each device, {in_words(most.activations)} of it activations"
    if device_count(config) is None:
        text += " (with one device)"
    return text + (f"; without {', '.join(missing)}, whose backbones are not here" if missing else "")


def _usable_losses(config: DictConfig) -> tuple[LossSet, list[str]]:
    """The terms that can be made here, and the names of the others."""
    terms, missing = {}, []
    for name, block in config.loss.terms.items():
        if block is None:
            continue
        try:
            terms[str(name)] = instantiate(block, _convert_="all")
        except InstantiationException:
            missing.append(str(name))
    return LossSet(terms), missing


def _as_written(config: DictConfig, key: str) -> str:
    """A value as the configuration writes it: "400 epochs" of `${epochs:400}`."""
    parent, _, last = key.rpartition(".")
    node = OmegaConf.select(config, parent)._get_node(last)
    text = str(node._value())
    return f"{text.removeprefix('${epochs:').removesuffix('}')} epochs" if text.startswith("${epochs:") else text
