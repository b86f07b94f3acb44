"""The phases of a curriculum as one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from vfi_train.training.build import build_optimizer_factory, build_schedule, build_trainable
from vfi_train.training.dry_run import count_trainable, describe_memory, describe_validation
from vfi_train.training.plan import TrainingPlan
from vfi_train.training.recipe import DataRecipe
from vfi_train.training.run_directory import RunDirectory

COLUMNS = ("phase", "data", "steps", "learning rate", "losses", "trains", "starts from", "validation", "memory")
WIDTH = 160  # characters; narrower terminals scroll


def print_table(plans: Sequence[TrainingPlan]) -> None:
    """Print what each phase trains, on what, for how long, from what, and what was decided. Needs no data."""
    table = Table(title=f"{plans[0].folder.parent}: {len(plans)} phases", show_lines=True)
    for column in COLUMNS:
        table.add_column(column, overflow="fold")
    for plan in plans:
        table.add_row(*describe(plan))
    console = Console()
    if console.width < WIDTH:
        console = Console(width=WIDTH)
    console.print(table)
    decided = {" ".join(str(text).split()) for plan in plans if (text := (plan.published or {}).get("conflicts"))}
    for text in sorted(decided):
        console.print(f"decided: {text}", highlight=False)


def describe(plan: TrainingPlan) -> tuple[str, ...]:
    """A row of the table."""
    network = build_trainable(plan)
    tensors, parameters, total = count_trainable(network)
    optimizer = "optimizer fresh" if plan.optimizer_state is None else "with its optimizer's state"
    return (
        plan.folder.name + (" (finished)" if RunDirectory.of(plan).finished else ""),
        "\n".join(map(_dataset, plan.datasets)),
        "from the data" if plan.steps is None else f"{plan.steps:,}",
        _learning_rate(plan),
        "\n".join(f"{loss.weight} {loss.name}" for loss in plan.losses),
        f"{tensors} tensors\n{parameters:,}" + ("" if parameters == total else f"\nof {total:,}"),
        f"{plan.weights or 'random weights'}\n{optimizer}",
        describe_validation(plan) + ("" if plan.best is None else f"\nbest by {' '.join(plan.best)}"),
        describe_memory(plan, network),
    )


def _dataset(data: DataRecipe) -> str:
    size = "" if data.size is None else f", {data.size[0]}x{data.size[1]}"
    variant = "" if data.variant is None else f" [{data.variant}]"
    return f"{data.kind.__name__}{variant}: {data.batch_size}{size}"


def _learning_rate(plan: TrainingPlan) -> str:
    """The peak, the floor, and the schedule's other values."""
    schedule: Any = build_schedule(plan)
    peak = build_optimizer_factory(plan).keywords["lr"]
    values = dict(vars(schedule))
    floor = values.pop("floor", None)
    rate = f"{peak:g}" + ("" if floor is None else f" to {floor:g}")
    rest = [f"{key} {v:,}" if isinstance(v, int) else f"{key} {v}" for key, v in values.items() if v]
    return "\n".join([rate, type(schedule).__name__, *rest])
