"""The phases of a curriculum as one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from vfi_train.optim.parameters import select_trainable
from vfi_train.training.phases import Training
from vfi_train.training.recipe import datasets

WIDTH = 160  # characters; narrower terminals scroll


def show(trainings: Sequence[Training]) -> None:
    """Print what each phase trains, on what, for how long, from what. Needs no data."""
    table = Table(title=f"{trainings[0].run.path.parent}: {len(trainings)} phases", show_lines=True)
    for column in ("phase", "data", "steps", "learning rate", "losses", "trains", "starts from", "best by"):
        table.add_column(column)
    for training in trainings:
        table.add_row(*describe(training))
    console = Console()
    if console.width < WIDTH:
        console = Console(width=WIDTH)
    console.print(table)


def describe(training: Training) -> tuple[str, ...]:
    """A row of the table."""
    config = training.config
    tensors, parameters, total = trainable(config)
    loss = config.loss.terms
    return (
        training.phase.name + (" (finished)" if training.run.finished else ""),
        "\n".join(_data(config)),
        "from the data" if config.trainer.max_steps is None else f"{config.trainer.max_steps:,}",
        _learning_rate(config),
        "\n".join(f"{term.get('weight', 1)} {name}" for name, term in loss.items() if term is not None),
        f"{tensors} tensors\n{parameters:,}" + ("" if parameters == total else f"\nof {total:,}"),
        f"{config.weights or 'fresh weights'}\n"
        + ("optimizer fresh" if config.optimizer_state is None else "with its optimizer's state"),
        f"{config.callbacks.best.mode} {config.callbacks.best.monitor}" if config.callbacks.get("best") else "-",
    )


def trainable(config: DictConfig) -> tuple[int, int, int]:
    """How many tensors and parameters a configuration trains, and how many parameters the network has."""
    network = instantiate(config.model, _convert_="all")
    select_trainable(network, config.train, config.freeze)
    chosen = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return len(chosen), sum(p.numel() for p in chosen), sum(p.numel() for p in network.parameters())


def _data(config: DictConfig) -> list[str]:
    lines = []
    for data in datasets(config):
        size = "" if data.size is None else f", {data.size[0]}x{data.size[1]}"
        lines.append(f"{data.name}: {data.batch_size}{size}")
    return lines


def _learning_rate(config: DictConfig) -> str:
    """The peak, the floor, and what else the schedule says."""
    schedule: Any = OmegaConf.to_container(config.schedule, resolve=True)
    name = str(schedule.pop("_target_")).rpartition(".")[2]
    floor = schedule.pop("floor", None)
    rate = f"{config.optimizer.lr:g}" + ("" if floor is None else f" to {floor:g}")
    rest = [
        f"{key} {value:,}" if isinstance(value, int) else f"{key} {value}" for key, value in schedule.items() if value
    ]
    return "\n".join([rate, name, *rest])
