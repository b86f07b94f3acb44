"""Scores of samples, each measured once whatever the batches, processes and interruptions."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from datamodules.core.samples import SampleSource
from vfi_train.evaluate.predictor import Predictor
from vfi_train.evaluate.resume_log import ResumeLog, Row
from vfi_train.evaluate.samples import Broken, Pair, batches, pairs
from vfi_train.evaluate.scorer import Scorer
from vfi_train.runtime.devices import core_count

MAX_WAITING = 2  # batches of predictions that wait for their scores


def measure(
    source: SampleSource,
    indices: Sequence[int],
    predictor: Predictor,
    scorer: Scorer,
    *,
    batch: int = 1,
    workers: int = 2,
    resume_log: ResumeLog | None = None,
    report: Callable[[list[Row]], None] = lambda rows: None,
) -> list[Row]:
    """Score samples.

    Threads read frames ahead, and score predictions if cores are free, while the network computes.

    Args:
        source: of the samples.
        indices: of the samples to measure, in order.
        predictor: of the targets.
        scorer: of the predictions.
        batch: pairs per batch, where they fit one.
        workers: threads that read ahead.
        resume_log: stores the rows.
        report: called with new rows.

    Returns:
        A row for each index (see `resume_log.Row`), in the order of computation.
    """
    rows: list[Row] = []

    def keep(new: list[Row]) -> None:
        if resume_log is not None:
            resume_log.append(new)
        rows.extend(new)
        report(new)

    waiting: deque[Future[list[Row]]] = deque()
    most = MAX_WAITING if _cores_are_free(predictor.device) else 0
    with ThreadPoolExecutor(1, "score") as scoring:
        try:
            for item in batches(pairs(source, indices, workers), batch, predictor.recursive):
                if isinstance(item, Broken):
                    keep([{"index": item.index, "key": item.key, "broken": item.reason}])
                    continue
                for number, frame, timer in _timed(predictor, item):
                    waiting.append(scoring.submit(_score, predictor, scorer, item, number, frame, timer))
                    if len(waiting) > most:
                        keep(waiting.popleft().result())
            while waiting:
                keep(waiting.popleft().result())
        finally:
            for future in waiting:
                future.cancel()
    return rows


def missing(size: int, rows: Sequence[Row]) -> list[int]:
    """The indices of a source of this size that have no row."""
    done = {row["index"] for row in rows}
    return [index for index in range(size) if index not in done]


def shard(indices: Sequence[int], process: int, processes: int, block: int) -> list[int]:
    """The indices of one process: every `processes`-th block of neighbours, which have frames in common."""
    blocks = [indices[start : start + block] for start in range(0, len(indices), block)]
    return [index for own in blocks[process::processes] for index in own]


def check_once(size: int, rows: Sequence[Row]) -> list[Row]:
    """The rows in the order of the source.

    Raises:
        RuntimeError: a sample was measured twice or not at all: a bug.
    """
    found = sorted(row["index"] for row in rows)
    if found != list(range(size)):
        twice = sorted({index for index in found if found.count(index) > 1})
        raise RuntimeError(
            f"of {size} samples, {missing(size, rows)[:5]} were not measured, {twice[:5]} more than once"
        )
    return sorted(rows, key=lambda row: row["index"])


class Timer:
    """The network's time for a batch, measured without waiting for a GPU."""

    def __init__(self, device: torch.device) -> None:
        self.events = [torch.cuda.Event(enable_timing=True) for _ in range(2)] if device.type == "cuda" else None
        self.began = self.ended = 0.0

    def start(self) -> None:
        """Before the network is called."""
        if self.events:
            self.events[0].record()
        self.began = time.perf_counter()

    def stop(self) -> None:
        """After the call."""
        if self.events:
            self.events[1].record()
        self.ended = time.perf_counter()

    def milliseconds(self) -> float:
        """The time, once the batch is done."""
        if self.events:
            self.events[1].synchronize()
            return self.events[0].elapsed_time(self.events[1])
        return 1000 * (self.ended - self.began)


def _timed(predictor: Predictor, batch: list[Pair]) -> Iterator[tuple[int, Tensor, Timer]]:
    """Numbered predictions with their times. The first time includes the encoding of the frames."""
    frames = predictor.frames(batch)
    for number in range(len(batch[0].targets)):
        timer = Timer(predictor.device)
        timer.start()
        frame = next(frames)
        timer.stop()
        yield number, frame, timer


def _score(
    predictor: Predictor, scorer: Scorer, batch: list[Pair], number: int, frame: Tensor, timer: Timer
) -> list[Row]:
    """The rows of the `number`-th target of each pair."""
    targets = [pair.targets[number] for pair in batch]
    columns = scorer(frame, predictor.to_tensor([target.image for target in targets]).contiguous())
    ms = timer.milliseconds() / len(batch)
    return [
        {
            "index": target.index,
            "key": target.key,
            "pair": pair.name,
            "time": target.time if isinstance(target.time, float) else None,
            "size": list(pair.frame0.shape[:2]),
            "ms": round(ms, 3),
            "scores": {name: values[i] for name, values in columns.items()},
        }
        for i, (pair, target) in enumerate(zip(batch, targets, strict=True))
    ]


def _cores_are_free(device: torch.device) -> bool:
    """Whether to score while the network computes: OpenMP threads that compete for cores slow each other down."""
    return device.type != "cpu" or torch.get_num_threads() < core_count()
