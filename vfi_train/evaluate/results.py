"""What an evaluation found: a result for each network and part of a benchmark; averages, and files."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from statistics import median
from typing import Any

from vfi_train.errors import UserError
from vfi_train.evaluate.resume_log import Row, to_plain

FORMAT = 1
FILE = "results.json"


@dataclass
class Result:
    """One network on one part of a benchmark.

    Args:
        label: what the network is called in tables; unique among networks that are shown together.
        model: its architecture's name. `model_config`: how it was built.
        weights: as given. `weights_file`, `weights_sha256`: the file that was read.
        benchmark, title, split: which part.
        protocol: its name, and what was changed of it. `settings`: what it said; see `settings.Settings`.
        data: the dataset's options.
        expected: samples as published; None where that is not stated.
        asked: samples that were to be measured.
        sequence_parts: how many parts of a key name the sequence (-1: all but the last).
        samples: the rows; see `journal.Row`. `broken`: those that could not be read.
        precision, device: what computed.
        samples_per_second: from file to score, of what this run has measured; None where it measured nothing.
        precision_effect: what the precision does to PSNR, as the mean difference over some samples.
        notes: what else must be known.
    """

    label: str
    model: str
    model_config: dict[str, Any]
    weights: str | None
    weights_file: str | None
    weights_sha256: str | None
    benchmark: str
    title: str
    split: str
    protocol: str
    settings: dict[str, Any]
    data: dict[str, Any]
    expected: int | None
    asked: int
    sequence_parts: int | None
    precision: str
    device: str
    samples: list[Row] = field(default_factory=list)
    broken: list[Row] = field(default_factory=list)
    samples_per_second: float | None = None
    precision_effect: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def part(self) -> str:
        """The benchmark and the split."""
        return f"{self.benchmark}/{self.split}"

    @property
    def columns(self) -> list[str]:
        """The metrics."""
        return list(self.settings["metrics"])

    @property
    def whole(self) -> bool:
        """Whether every sample of the published benchmark was measured."""
        chosen = self.data.get("val_samples") is not None
        return not (self.broken or chosen) and len(self.samples) == self.asked and self.expected in (None, self.asked)

    def averages(self) -> dict[str, float]:
        """The mean of each column, as the protocol averages it."""
        return averages(self.samples, self.columns, self._cluster)

    def counted(self, column: str) -> int:
        """How many samples have a number in a column."""
        return sum(not math.isnan(row["scores"][column]) for row in self.samples)

    def positions(self) -> list[dict[str, Any]]:
        """Averages over the first, second, ... targets between two frames, where all pairs have several."""
        of_pairs: dict[str, list[Row]] = {}
        for row in self.samples:
            of_pairs.setdefault(row["pair"], []).append(row)
        counts = set(map(len, of_pairs.values()))
        if len(counts) != 1 or counts == {1}:  # one target, or a choice of them
            return []
        return [
            {"position": k, **averages(rows, self.columns)}
            for k, rows in enumerate(zip(*of_pairs.values(), strict=True), 1)
        ]

    def sequences(self) -> list[dict[str, Any]]:
        """Averages of each sequence, in order."""
        if self.sequence_parts is None:
            return []
        found: dict[str, list[Row]] = {}
        for row in self.samples:
            found.setdefault(self.sequence(row), []).append(row)
        return [{"sequence": n, "count": len(rows), **averages(rows, self.columns)} for n, rows in found.items()]

    def sequence(self, row: Row) -> str:
        """The sequence of a sample; its pair of frames, where the benchmark has no sequences."""
        if self.sequence_parts is None:
            return str(row["pair"])
        return "/".join(row["key"].split("/")[: self.sequence_parts])

    def milliseconds(self) -> float | None:
        """Of the network for a frame, without reading and scoring: the median over pairs of the mean over times."""
        of_pairs: dict[str, list[float]] = {}
        for row in self.samples:
            of_pairs.setdefault(row["pair"], []).append(row["ms"])
        means = [sum(times) / len(times) for times in of_pairs.values()]
        return median(means) if means else None

    @property
    def _cluster(self) -> Callable[[Row], str] | None:
        return self.sequence if self.settings["average"] == "sequence" else None


def averages(
    rows: Sequence[Row], columns: Iterable[str], sequence: Callable[[Row], str] | None = None
) -> dict[str, float]:
    """The mean of each column over rows, or over sequences of the mean over their rows; NaNs are left out."""
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
    """The mean, exact to the last digit of its values."""
    return math.fsum(values) / len(values) if all(map(math.isfinite, values)) else sum(values) / len(values)


def write(folder: Path, results: Sequence[Result], extra: dict[str, Any]) -> None:
    """Write results.json, results.csv (a row for each result) and samples.csv (a row for each sample)."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = [{**asdict(r), "averages": r.averages(), "positions": r.positions()} for r in results]
    content = {"format": FORMAT, **extra, "results": listed}
    write_text(folder / FILE, json.dumps(to_plain(content), indent=1) + "\n")
    write_text(folder / "results.csv", _table(map(_result_row, results)))
    write_text(folder / "samples.csv", _table(row for result in results for row in _sample_rows(result)))


def read(place: str | Path) -> list[Result]:
    """The results in a folder, or in its results.json.

    Raises:
        UserError: there are none, or they are of another version of the program.
    """
    path = Path(place)
    path = path / FILE if path.is_dir() else path
    try:
        content = json.loads(path.read_text())
        if content["format"] != FORMAT:
            raise UserError(f"{path} is of another version of this program: evaluate again")
        known = {f.name for f in fields(Result)}
        results = [Result(**{k: v for k, v in r.items() if k in known}) for r in content["results"]]
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): give the folder of an earlier evaluation"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} holds no results ({error}): give the folder of an earlier evaluation") from error
    for result in results:
        for row in result.samples:
            row["scores"] = {name: float(value) for name, value in row["scores"].items()}
    return results


def write_text(path: Path, text: str) -> None:
    """Whole or not at all."""
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(text)
    os.replace(partial, path)


def _result_row(r: Result) -> dict[str, Any]:
    return {
        "label": r.label,
        "model": r.model,
        "weights": r.weights,
        "weights_sha256": r.weights_sha256,
        "benchmark": r.benchmark,
        "split": r.split,
        "protocol": r.protocol,
        "samples": len(r.samples),
        "broken": len(r.broken),
        "precision": r.precision,
        "ms_per_frame": r.milliseconds(),
        **r.averages(),
    }


def _sample_rows(r: Result) -> Iterable[dict[str, Any]]:
    about = {"label": r.label, "benchmark": r.benchmark, "split": r.split, "protocol": r.protocol}
    for row in r.samples:
        yield {**about, "key": row["key"], "time": row["time"], **row["scores"]}
    for row in r.broken:
        yield {**about, "key": row["key"], "broken": row["broken"]}


def _table(rows: Iterable[dict[str, Any]]) -> str:
    listed = list(rows)
    columns = list(dict.fromkeys(name for row in listed for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(listed)
    return text.getvalue()
