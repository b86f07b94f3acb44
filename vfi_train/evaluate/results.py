"""Results of an evaluation, one for each network and split of a benchmark: averages, and files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from statistics import median
from typing import Any

from datamodules.storage.atomic_write import write_text
from vfi_train.errors import UserError, check_ordinary, make_folder
from vfi_train.evaluate.averages import averages, strata
from vfi_train.evaluate.columns import COLUMNS, described
from vfi_train.evaluate.resume_log import Row, to_plain

FORMAT = 2
FILE = "results.json"


@dataclass
class Result:
    """One network on one split of a benchmark.

    Args:
        label: name of the network in tables; unique among networks that are compared.
        model: its architecture's name. `model_config`: the block that it was built from.
        weights: as given. `weights_file`, `weights_sha256`: the file that was read.
        benchmark, title, split: what it was measured on.
        protocol: its name, and what was overridden. `settings`: see `protocol.Settings`.
        data: the dataset's options that scores depend on.
        expected: published number of samples; None: not stated.
        requested: number of samples to measure.
        sequence_depth: how many elements of a key (between slashes) name the sequence; -1: all but the last.
        samples: the rows; see `resume_log.Row`. `broken`: rows of samples that could not be read.
        backend, precision, device: of the computation.
        samples_per_second: from file to score, of what this process measured; None: nothing.
        precision_effect: mean difference to PyTorch's float32 of each column, over some samples.
        notes: further remarks.
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
    requested: int
    sequence_depth: int | None
    precision: str
    device: str
    samples: list[Row] = field(default_factory=list)
    broken: list[Row] = field(default_factory=list)
    samples_per_second: float | None = None
    precision_effect: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)
    backend: str = "torch"

    @property
    def split_name(self) -> str:
        """BENCHMARK/SPLIT."""
        return f"{self.benchmark}/{self.split}"

    @property
    def columns(self) -> list[str]:
        """The metrics."""
        return list(self.settings["metrics"])

    def metrics(self) -> dict[str, dict[str, Any]]:
        """What each column is; see `columns.described`."""
        return {name: described(name, options) for name, options in self.settings["metrics"].items()}

    @property
    def complete(self) -> bool:
        """Whether every sample of the published benchmark was measured."""
        count = len(self.samples)
        is_subset = self.broken or self.data.get("val_samples") is not None
        return not is_subset and count == self.requested and self.expected in (None, count)

    def averages(self) -> dict[str, float]:
        """The mean of each column, as the protocol averages it."""
        return averages(self.samples, self.columns, self._cluster)

    def strata(self) -> dict[str, list[dict[str, Any]]]:
        """Averages over parts of the samples; see `averages.strata`."""
        return strata(self.samples, self.columns, None if self.sequence_depth is None else self.sequence)

    def sequence(self, row: Row) -> str:
        """The sequence of a sample; its pair of frames if the benchmark has no sequences."""
        if self.sequence_depth is None:
            return str(row["pair"])
        return "/".join(row["key"].split("/")[: self.sequence_depth])

    def milliseconds(self) -> float | None:
        """Time of the network per frame, without reading and scoring: the median over pairs of the mean over times."""
        by_pair: dict[str, list[float]] = {}
        for row in self.samples:
            by_pair.setdefault(row["pair"], []).append(row["ms"])
        means = [sum(times) / len(times) for times in by_pair.values()]
        return median(means) if means else None

    @property
    def _cluster(self) -> Callable[[Row], str] | None:
        return self.sequence if self.settings["average"] == "sequence" else None


def write_results(folder: Path, results: Sequence[Result], extra: dict[str, Any]) -> None:
    """Write results.json, results.csv (a row for each result) and samples.csv (a row for each sample)."""
    make_folder(folder, "output")
    listed = [{**asdict(r), "metrics": r.metrics(), "averages": r.averages(), "strata": r.strata()} for r in results]
    content = {"format": FORMAT, **extra, "results": listed}
    write_text(folder / FILE, json.dumps(to_plain(content), indent=1) + "\n")
    write_text(folder / "results.csv", _table(map(_result_row, results)))
    write_text(folder / "samples.csv", _table(row for result in results for row in _sample_rows(result)))


def read_results(place: str | Path) -> list[Result]:
    """The results in a folder, or in a results.json.

    Raises:
        UserError: there are none, or another version of the program wrote them.
    """
    path = Path(place)
    path = path / FILE if path.is_dir() else path
    check_ordinary(path, "compare", "give the folder of an earlier evaluation")
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): give the folder of an earlier evaluation"
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} holds no results ({error}): give the folder of an earlier evaluation") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path} holds no results of this version of the program: evaluate again")
    known = {f.name for f in fields(Result)}
    results = [Result(**{k: v for k, v in r.items() if k in known}) for r in content["results"]]
    for result in results:
        if old := next((column for column in result.columns if column not in COLUMNS), None):
            raise UserError(f"{path} holds the metric {old}, which this version of the program has not: evaluate again")
        for row in result.samples:
            row["scores"] = {name: float(value) for name, value in row["scores"].items()}
    return results


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
        "backend": r.backend,
        "precision": r.precision,
        "ms_per_frame": r.milliseconds(),
        "metrics": json.dumps(r.metrics()),
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
