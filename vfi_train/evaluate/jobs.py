"""Jobs: each network on each split of each benchmark, checked before anything is computed."""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.fabric import Fabric

from datamodules.core.samples import SampleSource
from datamodules.sample_list import NothingListedError
from vfi_train.evaluate.averages import averages
from vfi_train.evaluate.benchmarks import Benchmark, open_split, scored_options
from vfi_train.evaluate.columns import COLUMNS
from vfi_train.evaluate.launch import device_name, gather
from vfi_train.evaluate.measure import check_once, measure, missing, pair_of, shard, without_pairs_of
from vfi_train.evaluate.networks import EvaluatedModel, load_model
from vfi_train.evaluate.options import Options
from vfi_train.evaluate.predictor import Predictor, set_up
from vfi_train.evaluate.protocol import Settings, differences, resolve
from vfi_train.evaluate.results import Result
from vfi_train.evaluate.resume_log import ResumeLog, Row
from vfi_train.evaluate.scorer import Scorer
from vfi_train.runtime.console import say
from vfi_train.runtime.devices import core_count
from vfi_train.runtime.progress import ProgressReporter

MAX_BLOCK = 105  # neighbouring samples of one process: complete pairs of 1, 3, 5 and 7 targets
PROBED = 8  # samples on which a precision is compared with fp32


@dataclass(frozen=True)
class Job:
    """A network on a split of a benchmark.

    Args:
        model: the network.
        benchmark, split: what it is measured on.
        settings: of the protocol.
        options: of the dataset.
        source: the samples.
        scorer: of the protocol's columns.
        notes: for the result.
        by: " by PROTOCOL" where there are several.
    """

    model: EvaluatedModel
    benchmark: Benchmark
    split: str
    settings: Settings
    options: dict[str, Any]
    source: SampleSource
    scorer: Scorer
    notes: list[str]
    by: str = ""

    @property
    def name(self) -> str:
        """LABEL on BENCHMARK/SPLIT."""
        return f"{self.model.label}{self.by} on {self.benchmark.name}/{self.split}"

    def predictor(self, backend: str = "torch", precision: str = "fp32") -> Predictor:
        """Predicts the samples' targets."""
        return Predictor(self.model.network, self.settings, backend, precision)

    def resume_log(self, folder: Path, device: str, backend: str, precision: str, process: int) -> ResumeLog:
        """Stores the rows."""
        identity = {
            **self.model.identity(),
            "benchmark": f"{self.benchmark.name}/{self.split}",
            "data": scored_options(self.options),
            "samples": len(self.source),
            "settings": self.settings.as_dict(),
            "device": device,
            "precision": precision,
            **({} if backend == "torch" else {"backend": backend}),
        }
        name = file_name(f"{self.model.label}-{self.benchmark.name}-{self.split}")
        return ResumeLog(folder, name, identity, process)

    def result(self, device: str, backend: str, precision: str) -> Result:
        """The result, without samples."""
        return Result(
            label=f"{self.model.label}{self.by}",
            model=self.model.name,
            model_config=self.model.config,
            weights=self.model.weights,
            weights_file=None if self.model.weights_file is None else str(self.model.weights_file),
            weights_sha256=self.model.weights_sha256,
            benchmark=self.benchmark.name,
            title=self.benchmark.title,
            split=self.split,
            protocol=self.settings.protocol,
            settings=self.settings.as_dict(),
            data=scored_options(self.options),
            expected=self.benchmark.counts[self.split],
            requested=len(self.source),
            sequence_depth=self.benchmark.sequence_depth,
            backend=backend,
            precision=precision,
            device=device,
            notes=list(self.notes),
        )


def make_jobs(options: Options) -> list[Job]:
    """Every network on every split, in the order of the networks; splits that a list names nothing of are left out.

    Raises:
        UserError: missing weights or files of a metric, a protocol that does not measure a benchmark, or a benchmark
            without the frames before and after that a network takes.
        DataError: missing samples.
    """
    scorers: dict[str, Scorer] = {}
    left_out: dict[str, NothingListedError] = {}
    jobs = []
    for choice in options.models:
        model = load_model(choice, options.runs)
        for benchmark in options.benchmarks:
            protocols = options.protocols_for(model.name, benchmark.name)
            for split in benchmark.splits:
                first: Settings | None = None
                for protocol in protocols:
                    settings = resolve(protocol, benchmark.name, split, model.name, options.override, options.metrics)
                    data = benchmark.dataset_options(split, settings.data, options.samples)
                    columns = repr(settings.metrics)
                    if columns not in scorers:
                        scorers[columns] = Scorer(settings.metrics, options.backbones, options.niqe_parameters)
                    try:
                        source, notes = open_split(data, model.network.takes_context)
                    except NothingListedError as error:
                        left_out[f"{benchmark.name}/{split}"] = error
                        continue
                    if first is not None:
                        differing = "; ".join(differences(settings.as_dict(), first.as_dict()))
                        names = (settings.protocol, first.protocol)
                        notes.append(
                            f"{names[0]} differs from {names[1]} in: {differing}"
                            if differing
                            else f"{names[0]} measures here as {names[1]} does"
                        )
                    first = first or settings
                    by = f" by {settings.protocol}" if len(protocols) > 1 else ""
                    jobs.append(Job(model, benchmark, split, settings, data, source, scorers[columns], notes, by))
    if left_out and not jobs:
        raise next(iter(left_out.values()))
    for name, reason in left_out.items():
        say(f"left out: {name}: {reason}")
    return jobs


def run_job(job: Job, options: Options, fabric: Fabric) -> Result:
    """Measure the missing samples, in all processes; only the first one gets the samples of the result.

    The network has the attributes of `set_up`.
    """
    device = device_name(fabric.device)
    job.model.network.to(fabric.device)
    job.scorer.to(fabric.device)
    chosen = (options.backend, options.precision)
    log = job.resume_log(Path(options.output) / "samples", device, *chosen, fabric.global_rank)
    if fabric.is_global_zero and not options.resume:
        log.clear()
    done, pair = log.read() if fabric.is_global_zero else [], pair_of(job.source)
    if job.scorer.of_sequences:  # which need all targets of a pair
        done = without_pairs_of(done, missing(len(job.source), done), pair)
    todo: list[int] = fabric.broadcast(missing(len(job.source), done))
    if done:
        say(f"{job.name}: {len(done):,} of {len(job.source):,} samples were measured before")
    block = max(1, min(MAX_BLOCK, len(todo) // (4 * fabric.world_size)))
    indices = shard(todo, fabric.global_rank, fabric.world_size, block, pair)
    predictor = job.predictor(*chosen)
    workers = min(8, core_count()) if options.workers is None else options.workers
    began = time.monotonic()
    title = job.name if fabric.world_size == 1 else f"{job.name} (first of {fabric.world_size} processes)"
    with ProgressReporter(
        title, len(indices), stream="stdout", shown=fabric.is_global_zero, transient=True
    ) as progress:  # fmt: skip
        scores = _RunningScores(progress)
        try:
            rows = measure(
                job.source, indices, predictor, job.scorer,
                batch=options.batch, workers=workers, resume_log=log, report=scores.add,
            )  # fmt: skip
        finally:
            log.close()
    new = gather(fabric, rows)
    result = job.result(device, *(predictor.backend.chosen or chosen))
    if fabric.is_global_zero:
        complete = check_once(len(job.source), [*done, *new])
        result.samples = [row for row in complete if "broken" not in row]
        result.broken = [row for row in complete if "broken" in row]
        result.samples_per_second = len(new) / (time.monotonic() - began) if new else None
        if predictor.recursive and any(row["time"] != 0.5 for row in result.samples):
            result.notes.append("times are reached by halving intervals: the network only predicts the middle frame")
        if (
            job.scorer.of_sequences
            and job.options.get("val_samples") is not None
            and any(row["time"] != 0.5 for row in result.samples)  # else there is one frame between two inputs
        ):
            names = ", ".join(COLUMNS[name].title for name in job.scorer.of_sequences)
            result.notes.append(f"{names}: of the sequences of the chosen samples, which lack the frames between them")
        if (result.backend, result.precision) != ("torch", "fp32") and result.samples:
            result.precision_effect = _precision_effect(job, result)
    return result


def file_name(text: str) -> str:
    """A text as a name of a file or a folder."""
    return re.sub(r"[^\w.+-]+", "_", text).strip("_")


def _precision_effect(job: Job, result: Result) -> dict[str, Any]:
    """The mean difference to PyTorch's float32 in every column, on evenly spaced samples."""
    probed = result.samples[:: max(1, len(result.samples) // PROBED)][:PROBED]
    with set_up(job.model.network, job.settings, "fp32"):
        exact = measure(job.source, [row["index"] for row in probed], job.predictor(), job.scorer)
    columns = list(job.scorer.scores)  # those of sequences would need all targets of a pair
    before = averages([row for row in exact if "scores" in row], columns)
    after = averages(probed, columns)
    return {"samples": len(probed), "difference": {c: after[c] - before[c] for c in columns}}


class _RunningScores:
    """Averages so far, reported with the progress."""

    def __init__(self, progress: ProgressReporter) -> None:
        self.progress, self.broken = progress, 0
        self.sums: Counter[str] = Counter()

    def add(self, rows: list[Row]) -> None:
        for row in rows:
            self.broken += "broken" in row
            self.sums.update(row.get("scores", {}))
        self.progress.update(self.progress.completed + len(rows), self.text)

    def text(self) -> str:
        measured = max(1, self.progress.completed - self.broken)
        words = [
            f"{COLUMNS[column].title} {total / measured:.{COLUMNS[column].digits}f}"
            for column, total in self.sums.items()
            if not math.isnan(total)
        ]
        words.append(f"{self.progress.rate():.1f} samples/s")
        return ", ".join(words + ([f"{self.broken} broken"] if self.broken else []))
