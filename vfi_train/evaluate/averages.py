"""Means of scores over samples, over sequences, and over strata: parts of the samples, or of their pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from vfi_train.evaluate.resume_log import Row

Scene = Callable[[Row], str]
Groups = list[tuple[str, float | None, list[Row]]]  # names, places on an axis, and rows
MAX_TIMES = 32  # different times that are strata of their own; more are put together
TIME_PARTS = 8


def averages(rows: Sequence[Row], columns: Iterable[str], sequence: Scene | None = None) -> dict[str, float]:
    """The mean of each column over rows, or over sequences of the mean over their rows; NaNs do not count."""
    found = {}
    for column in columns:
        groups: dict[str, list[float]] = {}
        for row in rows:
            if not math.isnan(row["scores"][column]):
                groups.setdefault(sequence(row) if sequence else "", []).append(row["scores"][column])
        means = [mean(values) for values in groups.values()]
        found[column] = mean(means) if means else math.nan
    return found


def mean(values: Sequence[float]) -> float:
    """The mean, without rounding errors of the sum."""
    return math.fsum(values) / len(values) if all(map(math.isfinite, values)) else sum(values) / len(values)


def strata(rows: Sequence[Row], columns: Sequence[str], scene: Scene | None) -> dict[str, list[dict[str, Any]]]:
    """The mean over samples of each column in each stratum; every sample is in one stratum of a kind.

    Args:
        rows: of the samples.
        columns: to average.
        scene: of a sample; None: there are none.

    Returns:
        By kind: "motion" (quartiles of the motion between the inputs, pixels), "time" and "scene", where there are
        several; each stratum with its name, its place `at` on an axis (None for scenes) and its number of samples. Also
        "pixels": the mean squared error of all visible and of all occluded pixels, where the data says which these are.
    """
    kinds = {"motion": _by_motion(rows), "time": _by_time(rows), "scene": _by_scene(rows, scene)}
    found = {
        kind: [
            {"stratum": name, "at": at, "samples": len(members), **averages(members, columns)}
            for name, at, members in groups
        ]
        for kind, groups in kinds.items()
        if len(groups) > 1
    }
    return found | ({"pixels": pixels} if (pixels := _by_pixels(rows)) else {})


def _by_motion(rows: Sequence[Row]) -> Groups:
    motion = np.array([row.get("motion", math.nan) for row in rows])
    if len({row.get("motion_from") for row in rows}) != 1 or not np.isfinite(motion).all():
        return []
    number = np.searchsorted(np.quantile(motion, (0.25, 0.5, 0.75)), motion)
    parts = [np.flatnonzero(number == k) for k in range(4)]
    return [
        (f"{motion[p].min():.3g} to {motion[p].max():.3g} px", float(np.median(motion[p])), [rows[int(i)] for i in p])
        for p in parts
        if len(p)
    ]


def _by_time(rows: Sequence[Row]) -> Groups:
    """By time; targets whose times are maps by their number between the inputs."""
    times: list[float] = [row["time"] for row in rows]
    if None in times:
        seen: dict[str, int] = {}
        times = []
        for row in rows:
            seen[row["pair"]] = seen.get(row["pair"], 0) + 1
            times.append(seen[row["pair"]])
        return [(f"target {at}", at, members) for at, members in _grouped(times, rows)]
    if len(set(times)) <= MAX_TIMES:
        return [(f"{at:.4g}", at, members) for at, members in _grouped(times, rows)]
    parts = [min(int(time * TIME_PARTS), TIME_PARTS - 1) / TIME_PARTS for time in times]
    width = 1 / TIME_PARTS
    return [(f"{at:g} to {at + width:g}", at + width / 2, members) for at, members in _grouped(parts, rows)]


def _by_scene(rows: Sequence[Row], scene: Scene | None) -> Groups:
    found: dict[str, list[Row]] = {}
    for row in rows if scene else ():
        found.setdefault(scene(row), []).append(row)  # type: ignore[misc]
    return [(name, None, members) for name, members in found.items()]


def _by_pixels(rows: Sequence[Row]) -> list[dict[str, Any]]:
    if not rows or not all("pixels" in row for row in rows):
        return []
    found = []
    for name in ("visible", "occluded"):
        parts = [row["pixels"][name] for row in rows if row["pixels"][name][0]]
        count = sum(number for number, _ in parts)
        if count:
            error = math.fsum(number * squared for number, squared in parts) / count
            psnr = -10 * math.log10(error) if error else math.inf
            found.append({"stratum": name, "samples": len(parts), "pixels": count, "mse": error, "psnr": psnr})
    return found


def _grouped(values: Sequence[float], rows: Sequence[Row]) -> list[tuple[float, list[Row]]]:
    found: dict[float, list[Row]] = {}
    for value, row in zip(values, rows, strict=True):
        found.setdefault(value, []).append(row)
    return sorted(found.items())
