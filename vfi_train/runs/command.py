"""`python -m vfi_train.runs`: all trainings and evaluations below folders: listed, compared, the best of them."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from omegaconf import DictConfig

from vfi_train.config.read_settings import read_settings
from vfi_train.errors import UserError, nearest
from vfi_train.evaluate.resume_log import to_plain
from vfi_train.runs.commands import commands
from vfi_train.runs.comparison import RunComparison, choose, compare
from vfi_train.runs.entries import Entry, best_of, checkpoint_hash, find_entries, higher_is_better

SORTS = ("date", "metric", "name", "status", "step", "recipe")
POINTS = 12  # of a curve in the terminal


@dataclass(frozen=True)
class Settings:
    """The keys of conf/runs.yaml, which explains them."""

    folders: list[str] | str
    metric: str
    sort: str
    limit: int | None
    best: bool
    compare: list[str] | str
    hash: bool
    commands: bool
    json: bool


def list_runs(config: DictConfig) -> None:
    """Print what `config` requests; see conf/runs.yaml.

    Raises:
        UserError: a folder, a name or a metric that does not exist.
    """
    s = read_settings(Settings, config)
    if s.sort not in SORTS:
        raise UserError(f"sort={s.sort} is no column: {nearest(s.sort, SORTS)}")
    if s.limit is not None and s.limit < 1:
        raise UserError(f"limit={s.limit} is not a number of rows: give 1 or more, or null")
    entries = find_entries(_listed(s.folders))
    known = {metric for entry in entries for metric in entry.metrics}
    if known and s.metric not in known:
        raise UserError(f"metric={s.metric} was measured by none of the runs: {nearest(s.metric, sorted(known))}")
    compared = None
    if s.compare:
        entries = choose(entries, _listed(s.compare))
        compared = compare(entries, s.metric)
    if s.best:
        entries = [best_of(group, s.metric) for group in _comparable(entries, s.metric)]
    if s.hash:
        trained = {e.name: checkpoint_hash(e) for e in entries if e.kind == "training"}
        entries = [dataclasses.replace(e, sha256=e.sha256 or trained.get(e.name)) for e in entries]
    entries = sort(entries, s.sort, s.metric)
    if s.json:
        print(json.dumps(to_plain(_as_json(entries, compared)), indent=1))
        return
    _print_entries(entries, s.metric, s.limit)
    if compared is not None:
        _print_comparison(compared, s.metric)
    for entry in entries[: s.limit] if s.commands or s.best else ():
        print(f"\n{entry.name}")
        for does, command in commands(entry).items():
            print(f"  {does}: {command}")


def sort(entries: Iterable[Entry], by: str, metric: str) -> list[Entry]:
    """The entries in the order of a column of SORTS; those that have no value there come last."""
    if by in ("name", "status", "recipe"):
        return sorted(entries, key=lambda entry: getattr(entry, by))
    sign = -1 if by != "metric" or higher_is_better(metric) else 1

    def key(entry: Entry) -> float:
        value = entry.metrics.get(metric) if by == "metric" else getattr(entry, by)
        return math.inf if value is None else sign * value

    return sorted(entries, key=key)


def _comparable(entries: Sequence[Entry], metric: str) -> list[list[Entry]]:
    """Entries that have the metric, by what it was measured on and how."""
    groups: dict[tuple[Any, ...], list[Entry]] = {}
    for entry in entries:
        if metric in entry.metrics:
            groups.setdefault((entry.kind, entry.on, entry.protocol, entry.samples), []).append(entry)
    return list(groups.values())


def _as_json(entries: Sequence[Entry], compared: RunComparison | None) -> dict[str, Any]:
    listed = [{**dataclasses.asdict(e), "path": str(e.path), "commands": commands(e)} for e in entries]
    return {"runs": listed, **({} if compared is None else dataclasses.asdict(compared))}


def _print_entries(entries: Sequence[Entry], metric: str, limit: int | None) -> None:
    rows = [("name", "status", "steps", metric, "on", "recipe", "weights", "protocol", "samples", "date")]
    for e in entries[:limit]:
        steps = "" if e.step is None else f"{e.step:,}" + (f" of {e.steps:,}" if e.steps else "")
        date = datetime.fromtimestamp(e.date).strftime("%Y-%m-%d %H:%M")
        sha256 = (e.sha256 or "")[:8]
        samples = "" if e.samples is None else f"{e.samples:,}"
        value = _value(e.metrics.get(metric))
        rows.append((e.name, e.status, steps, value, e.on, e.recipe, sha256, e.protocol or "", samples, date))
    _print_columns(rows, ("steps", metric, "samples"))
    if limit is not None and len(entries) > limit:
        print(f"{limit} of {len(entries)}: limit=null shows all")


def _print_columns(rows: Sequence[Sequence[str]], numbers: Sequence[str]) -> None:
    """Text in columns, those below a title of `numbers` to the right; empty ones are left out.

    A table of rich takes seconds for a thousand rows, and breaks names that do not fit the terminal.
    """
    columns = [column for column in zip(*rows, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) for column in columns]
    for row in zip(*columns, strict=True):
        cells = zip(row, widths, columns, strict=True)
        print("  ".join(c.rjust(w) if column[0] in numbers else c.ljust(w) for c, w, column in cells).rstrip())


def _value(number: float | None) -> str:
    return "" if number is None else f"{number:.4f}"


def _print_comparison(compared: RunComparison, metric: str) -> None:
    for name, lines in compared.differences.items():
        print(f"{name} differs in:", *(lines or ["nothing that decides what is computed"]), sep="\n  ")
    steps = sorted({step for curve in compared.curves.values() for step in curve})
    if steps:
        titles = ("step", *compared.curves)
        shown = steps[:: -(-len(steps) // POINTS)]
        values = [(f"{step:,}", *(_value(curve.get(step)) for curve in compared.curves.values())) for step in shown]
        print(f"{metric} of the validations:")
        _print_columns([titles, *values], titles)
    for comparison in compared.comparisons:
        print(comparison.sentence())
    if not compared.comparisons:
        print("no samples that two of them share: evaluate both on one benchmark (commands=true shows how)")


def _listed(value: list[str] | str) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]
