"""What an evaluation leaves: a table on the terminal, files, and a run in W&B."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from datamodules.storage.atomic_write import write_text
from vfi_train.evaluate.bootstrap import compare_all
from vfi_train.evaluate.console_table import print_results
from vfi_train.evaluate.jobs import file_name
from vfi_train.evaluate.options import Options
from vfi_train.evaluate.report import Images, render_report
from vfi_train.evaluate.results import FILE, Result, write_results
from vfi_train.runtime.console import say


def publish(measured: list[Result], earlier: list[Result], images: Images, options: Options) -> None:
    """Compare new and earlier results, print the tables, and write results and report."""
    results = _by_split(_with_unique_labels(measured, earlier))
    comparisons = compare_all(results)
    print_results(results)
    for comparison in comparisons:
        say(comparison.sentence())
    name = file_name(str(options.name)) if options.name is not None else _folder_name(results)
    folder = Path(options.output) / name
    command = shlex.join(["python", "-m", "vfi_train.evaluate", *sys.argv[1:]])
    about = {
        "command": command,
        "made": time.strftime("%Y-%m-%d %H:%M:%S"),
        "torch": torch.__version__,
        "comparisons": [vars(comparison) for comparison in comparisons],
    }
    write_results(folder, results, about)
    report = folder / "report.html"
    write_text(report, render_report(name, results, comparisons, images, command))
    say(f"results: {folder / FILE}\nreport: {report}")
    if options.wandb:
        from vfi_train.evaluate.wandb_report import track

        track(folder, name, results, options.wandb_project)


def _with_unique_labels(measured: list[Result], earlier: list[Result]) -> list[Result]:
    """All results; an earlier one whose label is taken gets a number."""
    taken = {(result.label, result.split_name) for result in measured}
    for result in earlier:
        label, number = result.label, 2
        while (result.label, result.split_name) in taken:
            result.label = f"{label} #{number}"
            number += 1
        taken.add((result.label, result.split_name))
    return [*measured, *earlier]


def _by_split(results: list[Result]) -> list[Result]:
    """The results sorted by the first appearance of their split."""
    names = list(dict.fromkeys(result.split_name for result in results))
    return sorted(results, key=lambda result: names.index(result.split_name))


def _folder_name(results: Sequence[Result]) -> str:
    """NETWORKS-BENCHMARKS; instead of long lists the first of them and how many more."""

    def joined(names: list[str]) -> str:
        listed = list(dict.fromkeys(names))
        text = "+".join(listed)
        return text if len(text) <= 60 else f"{listed[0]}+{len(listed) - 1}_more"

    return file_name(f"{joined([r.label for r in results])}-{joined([r.benchmark for r in results])}")
