"""The report: one HTML file without external resources, for wide and narrow screens; laid out by report.html.j2."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import combinations, product
from typing import Any, Literal

import jinja2

from vfi_train.evaluate.bootstrap import Comparison, comparable
from vfi_train.evaluate.columns import COLUMNS
from vfi_train.evaluate.console_table import columns_of, heading, number, protocol_text, sample_count, signed
from vfi_train.evaluate.published import distances
from vfi_train.evaluate.results import Result
from vfi_train.evaluate.resume_log import to_plain
from vfi_train.evaluate.sample_images import SampleImages

MAX_POINTS = 4_000  # of a scatter plot
AXES = {"motion": "motion between the inputs, pixels", "time": "time"}
Images = Mapping[tuple[str, str], Sequence[SampleImages]]  # by label and split_name of a result


def render_report(
    title: str, results: Sequence[Result], comparisons: Sequence[Comparison], images: Images, command: str
) -> str:
    """The HTML text.

    Args:
        title: of the page.
        results: in the order of the tables.
        comparisons: of networks among them.
        images: of the worst and best samples.
        command: that made the report.
    """
    by_split: dict[str, list[Result]] = {}
    for result in results:
        by_split.setdefault(result.split_name, []).append(result)
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    helpers = (
        charts, columns_of, distances, heading, number, sample_count, scene_rows, settings_text, signed, strata_rows,
        strata_text,
    )  # fmt: skip
    environment.globals.update({function.__name__: function for function in helpers}, COLUMNS=COLUMNS)
    filters = {"base64": lambda content: base64.b64encode(content).decode()}
    environment.filters.update(filters, heading=heading, protocol_text=protocol_text)
    template = environment.from_string(files("vfi_train.evaluate").joinpath("report.html.j2").read_text())
    shown = {"results": results, "by_split": by_split, "comparisons": comparisons, "images": images}
    return template.render(title=title, command=command, **shown).lstrip()


class Scale:
    """Positions of values on an axis, 0 to 1.

    Args:
        values: to be shown.
        log: logarithmic.
        integer: only integers are ticks.
    """

    def __init__(self, values: Sequence[float], *, log: bool = False, integer: bool = False) -> None:
        self.low, self.high, self.log, self.integer = min(values), max(values), log, integer
        if log:
            self.low, self.high = self.low / 1.5, self.high * 1.5
        else:
            margin = 0.06 * (self.high - self.low) or abs(self.high) * 0.05 or 1.0
            self.low, self.high = self.low - margin, self.high + margin

    def __call__(self, value: float) -> float:
        """The position of a value."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return (value - low) / (high - low)

    def ticks(self) -> list[float]:
        """About five round values."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            values = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
        else:
            rough = (self.high - self.low) / 5
            power = 10.0 ** math.floor(math.log10(rough))
            step = next(digit * power for digit in (1, 2, 5, 10) if digit * power >= rough * 0.999)
            values = [step * k for k in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
        return [v for v in values if self.low <= v <= self.high and (not self.integer or float(v).is_integer())]


@dataclass(frozen=True)
class Chart:
    """A chart: its axes and, by name, series of points (x, y, sample); the sample is "" where it is an average."""

    kind: Literal["scatter", "speed", "lines"]
    caption: str
    x_title: str
    y_title: str
    x: Scale
    y: Scale
    series: dict[str, list[tuple[float, float, str]]]


def charts(results: Sequence[Result]) -> Iterator[Chart]:
    """The charts of the networks that were measured on one split."""
    yield from _speed(results)
    yield from _by_stratum(results)
    for first, second in combinations(results, 2):
        if first.label != second.label and comparable(first, second, first.columns[0]):
            yield from _scatter(first, second)


def strata_rows(result: Result) -> list[dict[str, Any]]:
    """The strata but scenes as rows of a table."""
    found = result.strata()
    total = sum(row["pixels"] for row in found.get("pixels", ()))
    for row in found.get("pixels", ()):
        row["stratum"] += f" ({100 * row['pixels'] / total:.1f} % of all pixels)"
    return [{"by": kind, **row} for kind in ("motion", "time", "pixels") for row in found.get(kind, ())]


def scene_rows(result: Result) -> list[dict[str, Any]]:
    """The scenes as rows of a table."""
    return [{"scene": row["stratum"], **row} for row in result.strata().get("scene", ())]


def strata_text(result: Result) -> str:
    """What the strata are."""
    given = result.samples[0].get("motion_from") == "data"
    how = "by the flow of the data" if given else "by OpenCV DIS (ultrafast) in images of at most 256 pixels"
    pixels = "; pixels: PSNR of all of them together, unrounded; occluded: an input does not show it"
    return (
        f"Means over samples. Motion: quartiles of the mean length of the flow between the inputs, {how}"
        f"{pixels if 'pixels' in result.strata() else ''}."
    )


def settings_text(result: Result) -> str:
    """How a result was measured, as JSON."""
    about = {
        "model": result.model_config,
        "weights": result.weights,
        "sha256 of the weights": result.weights_sha256,
        "protocol": result.settings,
        "metrics": result.metrics(),
        "data": result.data,
        "backend": result.backend,
        "precision": result.precision,
        "device": result.device,
    }
    return json.dumps(to_plain(about), indent=1)


def _speed(results: Sequence[Result]) -> Iterator[Chart]:
    """Milliseconds per frame (logarithmic) against quality, a point for each of several networks."""
    column = results[0].columns[0]
    points = {}
    for result in results:
        ms = result.milliseconds()
        if ms and column in result.columns and math.isfinite(quality := result.averages()[column]):
            points[result.label] = [(ms, quality, "")]
    if len(points) > 1:
        devices = ", ".join(dict.fromkeys(result.device for result in results))
        caption = f"Speed against quality, on {devices}"
        x, y, _ = zip(*(point for (point,) in points.values()), strict=True)
        yield Chart("speed", caption, "ms per frame", heading(column), Scale(x, log=True), Scale(y), points)


def _by_stratum(results: Sequence[Result]) -> Iterator[Chart]:
    """Averages over strata of motion and of time, a line for each network."""
    strata = [(result, result.strata()) for result in results]
    for column, (kind, title) in product(columns_of(results), AXES.items()):
        lines = {
            result.label: [
                (row["at"], row[column], row["stratum"]) for row in parts[kind] if math.isfinite(row[column])
            ]
            for result, parts in strata
            if kind in parts and column in result.columns
        }
        points = [point for line in lines.values() for point in line]
        if points:
            x, y = (Scale([point[k] for point in points]) for k in (0, 1))
            yield Chart("lines", f"By {kind}", title, heading(column), x, y, lines)


def _scatter(first: Result, second: Result) -> Iterator[Chart]:
    """The scores of two networks, a point for each of at most `MAX_POINTS` samples."""
    column = first.columns[0]
    others = {row["key"]: row["scores"][column] for row in second.samples}
    points = [(row["scores"][column], others[row["key"]], row["key"]) for row in first.samples if row["key"] in others]
    step = max(1, math.ceil(len(points) / MAX_POINTS))
    shown = [point for point in points[::step] if all(map(math.isfinite, point[:2]))]
    if shown:
        count = f"{len(shown):,} of {len(points):,}" if len(shown) < len(points) else f"{len(points):,}"
        caption = f"{heading(column)} of each sample ({count}); on the line both are equal"
        scale = Scale([value for point in shown for value in point[:2]])
        yield Chart("scatter", caption, first.label, second.label, scale, scale, {"": shown})
