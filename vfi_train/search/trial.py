"""One trial: a training in a process of its own, watched through its log."""

from __future__ import annotations

import csv
import math
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vfi_train.errors import UserError, make_folder, nearest
from vfi_train.runtime.console import say

if TYPE_CHECKING:
    import optuna

LOG = "trial.log"  # in the run's folder: what the training prints
SECONDS = 2.0  # between looks at the log


def run_trial(
    study: optuna.Study, trial: optuna.Trial, overrides: list[str], folder: Path, monitor: str, direction: str
) -> bool:
    """Train, or train on; tell the study the result.

    A trial that the study's pruner stops ends as after SIGTERM: its last step is saved, so that it can be resumed.

    Args:
        study: of the trial.
        trial: asked from the study.
        overrides: of `python -m vfi_train`.
        folder: of the run.
        monitor: the column of metrics.csv that counts.
        direction: maximize, minimize.

    Returns:
        Whether it came to its end or was pruned.

    Raises:
        UserError: it validates, and logs no such column: the next trials would not either.
    """
    from optuna.trial import TrialState

    make_folder(folder, "runs")
    with (folder / LOG).open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "vfi_train", *overrides], stdout=log, stderr=subprocess.STDOUT
        )
        try:
            pruned = _watch(trial, process, folder / "metrics.csv", monitor)
        except BaseException:  # a signal to the search: the trial saves its step, and goes on with the search
            _stop(process)
            raise
    check_monitor(folder / "metrics.csv", monitor)
    values = [value for _, value in validations(folder / "metrics.csv", monitor)]
    if pruned:
        study.tell(trial, state=TrialState.PRUNED)
        say(f"  stopped early at {monitor}={values[-1]:.4f}")
        return True
    if process.returncode != 0 or not values:
        study.tell(trial, state=TrialState.FAIL)
        say(f"  failed with exit status {process.returncode}: {folder / LOG}")
        return False
    value = max(values) if direction == "maximize" else min(values)
    study.tell(trial, value)
    say(f"  {monitor}={value:.4f}; the best so far has {study.best_value:.4f}")
    return True


def validations(path: Path, monitor: str) -> list[tuple[int, float]]:
    """Step and finite value of each validation in a log that may be being written."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        rows = [(row.get("step"), row.get(monitor)) for row in csv.DictReader(file)]
    found = []
    for step, value in rows:
        try:
            found.append((int(step or ""), float(value or "")))
        except ValueError:
            continue  # a row without a validation, or a last one that is not complete
    return [(step, value) for step, value in found if math.isfinite(value)]


def check_monitor(path: Path, monitor: str) -> None:
    """Check, once a log has validations, that one of its columns is `monitor`.

    Raises:
        UserError: naming those that there are.
    """
    with suppress(FileNotFoundError), path.open(newline="") as file:
        names = next(csv.reader(file), [])
        if monitor not in names and any(name.startswith("val/") for name in names):
            raise UserError(f"search.monitor={monitor} is no column of {path}: {nearest(monitor, names)}")


def _watch(trial: optuna.Trial, process: subprocess.Popen[bytes], log: Path, monitor: str) -> bool:
    """Report validations until the process ends; whether it was stopped because the study's pruner said so."""
    reported = set(trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values)
    while process.poll() is None:
        time.sleep(SECONDS)
        if monitor.startswith("val/"):  # all of these come with the first validation
            check_monitor(log, monitor)
        for step, value in validations(log, monitor):
            if step in reported:
                continue
            reported.add(step)
            trial.report(value, step)
            if trial.should_prune() and process.poll() is None:
                _stop(process)
                return True
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
