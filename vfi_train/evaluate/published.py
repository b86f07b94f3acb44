"""Published results beside ours: how far off, and whether that is within what rounding and another machine explain.

The numbers and where they stand are data: `published.yaml`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from vfi_train.evaluate.results import Result
from vfi_train.evaluate.scorer import COLUMNS

# What other hardware and libraries do to a mean, beside the rounding of the printed number.
ALLOWANCE = {"psnr": 0.01, "ssim": 0.0002, "ie": 0.005, "lpips": 0.0005, "niqe": 0.01}


@dataclass(frozen=True)
class Published:
    """A number as it was printed: its text, the protocol that it was made by, its source, and what to know of it."""

    text: str
    protocol: str
    source: str
    note: str = ""

    @property
    def value(self) -> float:
        """As a number."""
        return float(self.text)

    def tolerance(self, column: str) -> float:
        """Half a unit of the last printed digit, and the allowance."""
        digits = len(self.text.partition(".")[2])
        return 0.5 * 10.0**-digits + ALLOWANCE[column]


@dataclass(frozen=True)
class Distance:
    """Ours beside a published number.

    Args:
        column: the metric.
        ours: our average.
        published: theirs.
        comparable: whether it is the same measurement; else `reason` says what differs.
    """

    column: str
    ours: float
    published: Published
    comparable: bool
    reason: str = ""

    @property
    def difference(self) -> float:
        """Ours less theirs."""
        return self.ours - self.published.value

    @property
    def within(self) -> bool:
        """Whether the difference is explained by rounding and other machines."""
        return math.isfinite(self.ours) and abs(self.difference) <= self.published.tolerance(self.column) + 1e-9

    @property
    def better(self) -> bool:
        """Whether ours is on the better side."""
        return (self.difference > 0) == COLUMNS[self.column].higher_is_better

    def verdict(self) -> str:
        """In words."""
        if not self.comparable:
            return f"not comparable: {self.reason}"
        if self.within:
            return "within tolerance"
        return f"out of tolerance ({'better' if self.better else 'worse'})"


def distances(result: Result) -> list[Distance]:
    """The published numbers of this network on this part of the benchmark, beside ours."""
    found = find(result.model, result.benchmark, result.split)
    ours = result.averages()
    return [
        Distance(column, ours[column], number, not (reason := _differs(result, number)), reason)
        for column, number in found.items()
        if column in ours
    ]


def find(model: str, benchmark: str, split: str) -> dict[str, Published]:
    """The published numbers by column."""
    found: dict[str, Published] = {}
    for block in blocks():
        if block["benchmark"] == benchmark and block["split"] == split:
            columns: Sequence[str] = block["columns"]
            for column, text in zip(columns, block["results"].get(model, ()), strict=False):
                if text not in ("", "-"):
                    found[column] = Published(text, block["protocol"], block["source"], block.get("note", ""))
    return found


def _differs(result: Result, number: Published) -> str:
    if result.protocol != number.protocol:
        return f"protocol {result.protocol}, theirs is {number.protocol}"
    if not result.whole:
        return f"{len(result.samples)} of {result.expected or result.asked} samples"
    if result.precision != "fp32":
        return f"precision {result.precision}"
    return ""


@cache
def blocks() -> list[dict[str, Any]]:
    """The tables of the file, a block for each part of a benchmark; numbers stay texts, so that digits count."""
    text = files("vfi_train.evaluate").joinpath("published.yaml").read_text()
    content = yaml.load(text, Loader=yaml.BaseLoader)
    found = []
    for source in content:
        for part, results in source["results"].items():
            benchmark, _, split = part.partition("/")
            found.append(
                {
                    "benchmark": benchmark,
                    "split": split,
                    "protocol": source["protocol"],
                    "source": source["source"],
                    "columns": results.pop("columns"),
                    "note": results.pop("note", ""),
                    "results": results,
                }
            )
    return found
