"""Published results compared with ours: the difference, and whether rounding and other hardware explain it.

The numbers and their sources are in `published.yaml`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from vfi_train.evaluate.columns import COLUMNS
from vfi_train.evaluate.options import read_protocol
from vfi_train.evaluate.protocol import differences, resolve
from vfi_train.evaluate.results import Result

# Differences of a mean on other hardware and libraries, besides the rounding of the printed number; 0.0005 else.
ALLOWANCE = {"psnr": 0.01, "ssim": 0.0002, "ie": 0.005, "niqe": 0.01}


@dataclass(frozen=True)
class PublishedNumber:
    """A number as printed, the protocol it was measured by, its source, and a note on it."""

    text: str
    protocol: str
    source: str
    note: str = ""

    @property
    def value(self) -> float:
        """The number."""
        return float(self.text)

    @property
    def reference(self) -> str:
        """The source with the note."""
        return f"{self.source}; {self.note}" if self.note else self.source

    @property
    def rounding(self) -> float:
        """Half a unit of the last printed digit."""
        return 0.5 * 10.0 ** -len(self.text.partition(".")[2])

    def tolerance(self, column: str) -> float:
        """The rounding plus the allowance."""
        return self.rounding + ALLOWANCE.get(column, 0.0005)


@dataclass(frozen=True)
class Distance:
    """Our average compared with a published number.

    Args:
        column: the metric.
        ours: our average.
        published: the number.
        comparable: whether both are the same measurement; if not, `reason` names what differs.
    """

    column: str
    ours: float
    published: PublishedNumber
    comparable: bool
    reason: str = ""

    @property
    def difference(self) -> float:
        """Ours minus the published number."""
        return self.ours - self.published.value

    @property
    def within(self) -> bool:
        """Whether rounding and other hardware explain the difference."""
        return math.isfinite(self.ours) and abs(self.difference) <= self.published.tolerance(self.column) + 1e-9

    @property
    def better(self) -> bool:
        """Whether ours is better."""
        return (self.difference > 0) == COLUMNS[self.column].higher_is_better

    def verdict(self) -> str:
        """In words."""
        if not self.comparable:
            return f"not comparable: {self.reason}"
        if self.within:
            is_equal = abs(self.difference) <= self.published.rounding + 1e-9
            return "within rounding" if is_equal else "within tolerance (rounding, other hardware)"
        return f"out of tolerance ({'better' if self.better else 'worse'}) by the same protocol"


def distances(result: Result) -> dict[str, Distance]:
    """By column, the published numbers of this network on this split compared with ours."""
    found = find(result.model, result.benchmark, result.split, result.protocol)
    ours = result.averages()
    return {
        column: Distance(column, ours[column], number, not (reason := _differs(result, number, column)), reason)
        for column, number in found.items()
        if column in ours
    }


def find(model: str, benchmark: str, split: str, protocol: str | None = None) -> dict[str, PublishedNumber]:
    """The published numbers by column: of several those by `protocol`, else the first ones."""
    found: dict[str, PublishedNumber] = {}
    for block in blocks():
        if block["benchmark"] == benchmark and block["split"] == split:
            columns: Sequence[str] = block["columns"]
            for column, text in zip(columns, block["results"].get(model, ()), strict=False):
                known = found.get(column)
                if text not in ("", "-") and (known is None or known.protocol != protocol == block["protocol"]):
                    found[column] = PublishedNumber(text, block["protocol"], block["source"], block["note"])
    return found


def _differs(result: Result, number: PublishedNumber, column: str) -> str:
    if result.protocol != number.protocol:
        theirs = resolve(read_protocol(number.protocol), result.benchmark, result.split, result.model)
        differing = differences(result.settings, theirs.as_dict(), [column])
        if differing:
            return f"protocol {result.protocol} differs from the published {number.protocol} in: {'; '.join(differing)}"
    if not result.complete:
        return f"{len(result.samples)} of {result.expected or result.requested} samples"
    if result.backend != "torch":
        return f"backend {result.backend}, precision {result.precision}"
    if result.precision != "fp32":
        return f"precision {result.precision}"
    return ""


@cache
def blocks() -> list[dict[str, Any]]:
    """The tables of the file, a block for each split; numbers stay text, to keep the printed digits."""
    text = files("vfi_train.evaluate").joinpath("published.yaml").read_text()
    content = yaml.load(text, Loader=yaml.BaseLoader)
    found = []
    for source in content:
        for name, results in source["results"].items():
            benchmark, _, split = name.partition("/")
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
