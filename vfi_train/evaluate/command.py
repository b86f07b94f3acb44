"""`python -m vfi_train.evaluate`: networks on benchmarks, by published protocols, ours beside the published numbers."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from omegaconf import DictConfig

from vfi_train.errors import UserError, nearest
from vfi_train.evaluate import bootstrap as comparison
from vfi_train.evaluate import console_table as tables
from vfi_train.evaluate import results
from vfi_train.evaluate.benchmarks import benchmarks
from vfi_train.evaluate.html_report import Strips, page
from vfi_train.evaluate.jobs import Task, safe, tasks
from vfi_train.evaluate.launch import device_name, gather, start
from vfi_train.evaluate.measure import check_once, cores, measure, missing, share
from vfi_train.evaluate.networks import subjects
from vfi_train.evaluate.predictor import Predictor, set_up
from vfi_train.evaluate.progress import EvaluationProgress
from vfi_train.evaluate.results import Result
from vfi_train.evaluate.sample_strips import strips
from vfi_train.inference.batch_predictor import PRECISIONS
from vfi_train.runtime.console import say

BLOCK = 105  # neighbouring samples that one process takes: whole pairs of 1, 3, 5 and 7 targets
PROBED = 8  # samples on which a precision is compared with fp32


def evaluate(config: DictConfig) -> list[Result]:
    """Measure what `config` says and write the results; see conf/evaluate.yaml."""
    if config.precision not in PRECISIONS:
        raise UserError(f"precision={config.precision} is not known: {nearest(config.precision, PRECISIONS)}")
    if not isinstance(config.batch, int) or config.batch < 1:
        raise UserError(f"batch={config.batch} is not a number of pairs: give 1 or more")
    earlier = [result for place in config.compare for result in results.read(place)]
    found = subjects(config)
    wanted, absent = benchmarks(config) if found else ([], [])
    if not found and not earlier:
        raise UserError("nothing is to be measured: give model=NAME weights=WEIGHTS, run=NAME, or compare=[FOLDER,...]")
    if found and not wanted:
        raise UserError("benchmark=... is needed and was not given: take a name of conf/benchmark, or all")
    for line in absent:
        say(f"left out: {line}")
    listed = tasks(config, found, wanted)
    fabric = start(config)
    measured: list[Result] = []
    images: dict[tuple[str, str], Any] = {}
    for task in listed:
        with set_up(task.model, task.settings, config.precision):
            result = work(task, config, fabric)
            if fabric.is_global_zero:
                images[result.label, result.part] = look(task, result, config, fabric)
                measured.append(result)
                say(tables.sentence(result))
                for line in tables.beside_published(result):
                    say(line)
        task.model.cpu()
    if fabric.is_global_zero:
        shown = by_part(unique_labels(measured, earlier))
        publish(shown, images, config)
        tell_broken(measured)
    return measured


def work(task: Task, config: DictConfig, fabric: Fabric) -> Result:
    """Measure what is missing of a task, in all processes; the result is whole in the first one alone."""
    device = fabric.device
    name = device_name(device)
    task.model.to(device)
    task.scorer.to(device)
    journal = task.journal(Path(config.output) / "samples", name, config.precision, fabric.global_rank)
    if fabric.is_global_zero and not config.resume:
        journal.forget()
    done = journal.read() if fabric.is_global_zero else []
    todo: list[int] = fabric.broadcast(missing(len(task.source), done))
    if done:
        say(f"{task.name}: {len(done):,} of {len(task.source):,} samples were measured before")
    block = max(1, min(BLOCK, len(todo) // (4 * fabric.world_size)))
    mine = share(todo, fabric.global_rank, fabric.world_size, block)
    progress = EvaluationProgress(task.name, len(mine), fabric.world_size, fabric.is_global_zero)
    predictor = Predictor(task.model, task.settings, config.precision)
    began = time.monotonic()
    try:
        rows = measure(
            task.source, mine, predictor, task.scorer,
            batch=config.batch, workers=readers(config), journal=journal, tell=progress.update,
        )  # fmt: skip
    finally:
        progress.close()
        journal.close()
    new = gather(fabric, rows)
    result = task.result(name, config.precision)
    if fabric.is_global_zero:
        whole = check_once(len(task.source), [*done, *new])
        result.samples = [row for row in whole if "broken" not in row]
        result.broken = [row for row in whole if "broken" in row]
        result.samples_per_second = len(new) / (time.monotonic() - began) if new else None
        if predictor.recursive and any(row["time"] != 0.5 for row in result.samples):
            result.notes.append("times are reached by halving intervals: the network gives the middle frame alone")
    return result


def look(task: Task, result: Result, config: DictConfig, fabric: Fabric) -> Any:
    """Images of the worst and the best samples; and what the precision does to the scores."""
    if config.precision != "fp32" and result.samples:
        result.precision_effect = precision_effect(task, result)
    predictor = Predictor(task.model, task.settings, config.precision)
    if not config.num_examples or not result.columns:
        return []
    return strips(task.source, predictor, result.samples, result.columns[0], config.num_examples)


def precision_effect(task: Task, result: Result) -> dict[str, Any]:
    """The mean difference to fp32 in every column, on some samples that are evenly spread."""
    step = max(1, len(result.samples) // PROBED)
    probed = result.samples[::step][:PROBED]
    with set_up(task.model, task.settings, "fp32"):
        exact = measure(
            task.source, [row["index"] for row in probed], Predictor(task.model, task.settings), task.scorer
        )
    before = results.averages([row for row in exact if "scores" in row], result.columns)
    after = results.averages(probed, result.columns)
    return {"samples": len(probed), "difference": {c: after[c] - before[c] for c in result.columns}}


def unique_labels(measured: list[Result], earlier: list[Result]) -> list[Result]:
    """All results; those of earlier evaluations that are called as others are say so."""
    taken = {(result.label, result.part) for result in measured}
    for result in earlier:
        number = 2
        label = result.label
        while (result.label, result.part) in taken:
            result.label = f"{label} #{number}"
            number += 1
        taken.add((result.label, result.part))
    return [*measured, *earlier]


def by_part(listed: list[Result]) -> list[Result]:
    """Networks that were measured on the same part one after the other."""
    parts = list(dict.fromkeys(result.part for result in listed))
    return sorted(listed, key=lambda result: parts.index(result.part))


def publish(shown: list[Result], images: Strips, config: DictConfig) -> None:
    """Print the table, write the files, and tell W&B where that is asked for."""
    compared = comparison.compare_all(shown)
    tables.print_results(shown)
    for item in compared:
        say(item.sentence())
    name = safe(str(config.name)) if config.name is not None else folder_name(shown)
    folder = Path(config.output) / name
    command = " ".join(["python -m vfi_train.evaluate", *sys.argv[1:]])
    extra = {
        "command": command,
        "made": time.strftime("%Y-%m-%d %H:%M:%S"),
        "torch": torch.__version__,
        "comparisons": [vars(item) for item in compared],
    }
    results.write(folder, shown, extra)
    report = folder / "report.html"
    results.write_text(report, page(name, shown, compared, images, command))
    say(f"results: {folder / results.FILE}\nreport: {report}")
    if config.wandb:
        from vfi_train.evaluate.wandb_report import track

        track(folder, name, shown, config.wandb_project)


def folder_name(shown: list[Result]) -> str:
    """NETWORKS-BENCHMARKS, or the first of them and how many more."""

    def joined(names: list[str]) -> str:
        listed = list(dict.fromkeys(names))
        text = "+".join(listed)
        return text if len(text) <= 60 else f"{listed[0]}+{len(listed) - 1}_more"

    return safe(f"{joined([r.label for r in shown])}-{joined([r.benchmark for r in shown])}")


def tell_broken(measured: list[Result]) -> None:
    """End with an error where samples could not be read.

    Raises:
        UserError: naming how many, and the first.
    """
    broken = [(result, row) for result in measured for row in result.broken]
    if broken:
        first, row = broken[0]
        raise UserError(
            f"{len(broken)} samples could not be read and are in no average, the first on {first.part}: "
            f"{row['broken']}; mend them and start again: only they are measured then"
        )


def readers(config: DictConfig) -> int:
    """Threads that read ahead."""
    return min(8, cores()) if config.workers is None else int(config.workers)
