"""Results as a table in a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from vfi_train.evaluate.columns import COLUMNS, option_text
from vfi_train.evaluate.published import Distance, distances
from vfi_train.evaluate.results import Result

MAX_COLUMNS = 3  # metrics in one table


def print_results(results: Sequence[Result], console: Console | None = None) -> None:
    """A row for each network on each split: our score, with the published number and the difference below.

    Many metrics are several tables, so that each fits a terminal.
    """
    columns = columns_of(results)
    for start in range(0, max(1, len(columns)), MAX_COLUMNS):
        (console or Console()).print(_table(results, columns[start : start + MAX_COLUMNS]))


def _table(results: Sequence[Result], columns: Sequence[str]) -> Table:
    table = Table(title="Results", show_lines=any(map(distances, results)))
    for title in ("benchmark", "network", "protocol", "samples"):
        table.add_column(title, overflow="fold")
    for column in columns:
        table.add_column(heading(column), justify="right")
    table.add_column("ms per frame", justify="right")
    for result in results:
        found = distances(result)
        averages = result.averages()
        cells = [_cell(column, averages.get(column), found.get(column)) for column in columns]
        speed = result.milliseconds()
        table.add_row(
            f"{result.title} {result.split}",
            result.label,
            result.protocol,
            sample_count(result),
            *cells,
            "" if speed is None else f"{speed:.1f}",
        )
    return table


def columns_of(results: Sequence[Result]) -> list[str]:
    """The columns of any of the results, in the order of `COLUMNS`."""
    return [column for column in COLUMNS if any(column in result.columns for result in results)]


def heading(column: str) -> str:
    """A column's title with its unit, and an arrow in the direction of better."""
    about = COLUMNS[column]
    unit = f" {about.unit}" if about.unit else ""
    return f"{about.title}{unit} {'↑' if about.higher_is_better else '↓'}"


def sample_count(result: Result) -> str:
    """How many were measured, of how many, and how many are broken."""
    count = f"{len(result.samples):,}"
    if result.expected not in (None, len(result.samples)):
        count += f" of {result.expected:,}"
    return f"{count}\n{len(result.broken)} broken" if result.broken else count


def number(column: str, value: float | None) -> str:
    """A score with the digits of its column; "" for None and NaN."""
    if value is None or math.isnan(value):
        return ""
    return f"{value:.{COLUMNS[column].digits}f}"


def signed(distance: Distance) -> str:
    """The difference to the published number, with an arrow where it is out of tolerance."""
    digits = max(COLUMNS[distance.column].digits, len(distance.published.text.partition(".")[2]))
    arrow = "" if distance.within or not distance.comparable else (" ▲" if distance.better else " ▼")
    return f"{distance.difference:+.{digits}f}{arrow}"


def protocol_text(result: Result) -> str:
    """The protocol and its variants of metrics: "rife: PSNR rounded; SSIM 3d, rounded"."""
    metrics = result.settings["metrics"].items()
    return f"{result.protocol}: " + "; ".join(
        f"{COLUMNS[c].title} {option_text(options)}".strip() for c, options in metrics
    )


def summary(result: Result) -> str:
    """One result on a line."""
    averages = result.averages()
    shown = [
        f"{COLUMNS[c].title} {number(c, averages[c]) or 'not defined'}{' dB' if c == 'psnr' else ''}"
        for c in result.columns
    ]
    count = sample_count(result).replace("\n", ", ")
    speed = f", {result.samples_per_second:.1f} samples/s" if result.samples_per_second else ""
    by = f" by {result.protocol}"
    what = f"{result.label.removesuffix(by)} on {result.split_name}{by}"
    return f"{what}: {', '.join(shown)} ({count} samples{speed})"


def published_lines(result: Result) -> list[str]:
    """A line for each published number: the number, the difference, and whether it is within tolerance."""
    return [
        f"  published {COLUMNS[d.column].title} {d.published.text}, ours {signed(d)}: {d.verdict()}"
        f" [{d.published.reference}]"
        for d in distances(result).values()
    ]


def _cell(column: str, value: float | None, distance: Distance | None) -> str:
    text = number(column, value)
    if distance is None:
        return text
    verdict = "" if distance.comparable else "\nnot comparable"
    return f"{text}\npublished {distance.published.text}\n{signed(distance)}{verdict}"
