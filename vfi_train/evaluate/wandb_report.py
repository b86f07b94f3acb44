"""Results in Weights & Biases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vfi_train.evaluate.console_table import columns_of
from vfi_train.evaluate.results import Result
from vfi_train.loggers.wandb import wandb_logger


def track(folder: Path, name: str, shown: Sequence[Result], project: str | None) -> None:
    """Log the averages as the run's summary and as a table, and the report; the run's id is kept in the folder."""
    import wandb

    logger = wandb_logger(folder, name, project=project, group="evaluate")
    if logger is None:
        return
    run = logger.experiment
    columns = columns_of(shown)
    titles = ["network", "benchmark", "split", "protocol", "samples", "broken", "weights_sha256"]
    table = wandb.Table(columns=[*titles, *columns, "ms_per_frame"])
    for result in shown:
        averages = result.averages()
        for column, value in averages.items():
            run.summary[f"{result.split_name}/{column}/{result.label}"] = value
        about = [result.label, result.benchmark, result.split, result.protocol, len(result.samples), len(result.broken)]
        scores = [averages.get(column) for column in columns]
        table.add_data(*about, result.weights_sha256, *scores, result.milliseconds())
    run.log({"results": table, "report": wandb.Html((folder / "report.html").read_text(), inject=False)})
    run.finish()
