"""One network on one part of a benchmark: every sample once, whatever the batches, processes and interruptions."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from datamodules.core.samples import SampleSource
from vfi_train.evaluate.predictor import Predictor
from vfi_train.evaluate.resume_log import Journal, Row
from vfi_train.evaluate.samples import Broken, Pair, batches, pairs
from vfi_train.evaluate.scorer import Scorer

IN_FLIGHT = 2  # columns of predictions that wait for their scores


def measure(
    source: SampleSource,
    indices: Sequence[int],
    predictor: Predictor,
    scorer: Scorer,
    *,
    batch: int = 1,
    workers: int = 2,
    journal: Journal | None = None,
    tell: Callable[[list[Row]], None] = lambda rows: None,
) -> list[Row]:
    """Score samples.

    Frames are read by threads, and scored by another where cores are free, while the network works.

    Args:
        source: of the samples.
        indices: which of them, in order.
        predictor: gives the predictions.
        scorer: scores them.
        batch: pairs that are computed at once, where they fit one batch.
        workers: threads that read ahead.
        journal: keeps rows as they come.
        tell: called with new rows.

    Returns:
        A row for each index (see `journal.Row`), in the order in which they were done.
    """
    rows: list[Row] = []

    def keep(new: list[Row]) -> None:
        if journal is not None:
            journal.append(new)
        rows.extend(new)
        tell(new)

    waiting: deque[Future[list[Row]]] = deque()
    most = IN_FLIGHT if _cores_are_free(predictor.device) else 0
    with ThreadPoolExecutor(1, "score") as scoring:
        try:
            for item in batches(pairs(source, indices, workers), batch, predictor.recursive):
                if isinstance(item, Broken):
                    keep([{"index": item.index, "key": item.key, "broken": item.reason}])
                    continue
                for number, frame, clock in _timed(predictor, item):
                    waiting.append(scoring.submit(_score, predictor, scorer, item, number, frame, clock))
                    if len(waiting) > most:
                        keep(waiting.popleft().result())
            while waiting:
                keep(waiting.popleft().result())
        finally:
            for future in waiting:
                future.cancel()
    return rows


def missing(size: int, rows: Sequence[Row]) -> list[int]:
    """The indices of a source of this size that no row is about."""
    done = {row["index"] for row in rows}
    return [index for index in range(size) if index not in done]


def share(indices: Sequence[int], process: int, processes: int, block: int) -> list[int]:
    """The part of one process: every `processes`-th block of neighbours, which have frames in common."""
    blocks = [indices[start : start + block] for start in range(0, len(indices), block)]
    return [index for part in blocks[process::processes] for index in part]


def check_once(size: int, rows: Sequence[Row]) -> list[Row]:
    """The rows in the order of the source.

    Raises:
        RuntimeError: a sample was measured twice, or not at all, which is a fault of the program.
    """
    found = sorted(row["index"] for row in rows)
    if found != list(range(size)):
        twice = sorted({index for index in found if found.count(index) > 1})
        raise RuntimeError(
            f"of {size} samples, {missing(size, rows)[:5]} were not measured, {twice[:5]} more than once"
        )
    return sorted(rows, key=lambda row: row["index"])


class Clock:
    """How long the network took for a batch, without waiting for a GPU."""

    def __init__(self, device: torch.device) -> None:
        self.events = [torch.cuda.Event(enable_timing=True) for _ in range(2)] if device.type == "cuda" else None
        self.began = self.ended = 0.0

    def start(self) -> None:
        """Before the network is asked."""
        if self.events:
            self.events[0].record()
        self.began = time.perf_counter()

    def stop(self) -> None:
        """After it was asked."""
        if self.events:
            self.events[1].record()
        self.ended = time.perf_counter()

    def milliseconds(self) -> float:
        """Once the batch is done."""
        if self.events:
            self.events[1].synchronize()
            return self.events[0].elapsed_time(self.events[1])
        return 1000 * (self.ended - self.began)


def _timed(predictor: Predictor, item: list[Pair]) -> Iterator[tuple[int, Tensor, Clock]]:
    """Predictions, numbered, each with its time. The first has the encoding of the frames in it."""
    frames = predictor.frames(item)
    for number in range(len(item[0].moments)):
        clock = Clock(predictor.device)
        clock.start()
        frame = next(frames)
        clock.stop()
        yield number, frame, clock


def _score(
    predictor: Predictor, scorer: Scorer, item: list[Pair], number: int, frame: Tensor, clock: Clock
) -> list[Row]:
    """The rows of the `number`-th moment of each pair."""
    moments = [pair.moments[number] for pair in item]
    columns = scorer(frame, predictor.to_tensor([moment.target for moment in moments]).contiguous())
    ms = clock.milliseconds() / len(item)
    return [
        {
            "index": moment.index,
            "key": moment.key,
            "pair": pair.name,
            "time": moment.time if isinstance(moment.time, float) else None,
            "size": list(pair.frame0.shape[:2]),
            "ms": round(ms, 3),
            "scores": {name: values[i] for name, values in columns.items()},
        }
        for i, (pair, moment) in enumerate(zip(item, moments, strict=True))
    ]


def _cores_are_free(device: torch.device) -> bool:
    """Whether scores may be computed while the network works: OpenMP threads that share cores slow each other down."""
    return device.type != "cpu" or torch.get_num_threads() < cores()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
