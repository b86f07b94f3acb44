"""Scores of samples, each measured once whatever the batches, processes and interruptions."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.core.samples import HasPairs, SampleSource
from vfi_train.evaluate.predictor import Predictor
from vfi_train.evaluate.resume_log import ResumeLog, Row
from vfi_train.evaluate.samples import Broken, Pair, batches, pairs, to_8_bit
from vfi_train.evaluate.scorer import Scorer
from vfi_train.metrics.motion import Image
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
        if not new:
            return
        if resume_log is not None:
            resume_log.append(new)
        rows.extend(new)
        report(new)

    score = _Scoring(predictor, scorer)
    waiting: deque[Future[list[Row]]] = deque()
    most = MAX_WAITING if _cores_are_free(predictor.device) else 0
    with ThreadPoolExecutor(1, "score") as scoring:
        try:
            for item in batches(pairs(source, indices, workers), batch, predictor.recursive):
                if isinstance(item, Broken):
                    keep([{"index": item.index, "key": item.key, "broken": item.reason}])
                    continue
                for number, frame, timer in _timed(predictor, item):
                    waiting.append(scoring.submit(score, item, number, frame, timer))
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


def shard(
    indices: Sequence[int], process: int, processes: int, block: int, pair: Callable[[int], Hashable] = lambda i: i
) -> list[int]:
    """The indices of one process: every `processes`-th block of neighbours, which have frames in common.

    A block has at least `block` of them, and ends where a pair of frames does.
    """
    blocks: list[list[int]] = []
    for index in indices:
        if not blocks or (len(blocks[-1]) >= block and pair(index) != pair(blocks[-1][-1])):
            blocks.append([])
        blocks[-1].append(index)
    return [index for own in blocks[process::processes] for index in own]


def pair_of(source: SampleSource) -> Callable[[int], Hashable]:
    """The pair of frames of each sample; samples of a source without `pair` have one each."""
    return source.pair if isinstance(source, HasPairs) else lambda index: index


def without_pairs_of(rows: Sequence[Row], indices: Sequence[int], pair: Callable[[int], Hashable]) -> list[Row]:
    """The rows of other pairs of frames than those of the indices."""
    others = {pair(index) for index in indices}
    return [row for row in rows if pair(row["index"]) not in others]


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


class _Scoring:
    """Makes rows of predictions; with metrics of sequences once all targets of a batch are predicted."""

    def __init__(self, predictor: Predictor, scorer: Scorer) -> None:
        self.predictor, self.scorer = predictor, scorer
        self._held: list[tuple[list[Row], list[Image]]] = []  # of the targets so far

    def __call__(self, batch: list[Pair], number: int, frame: Tensor, timer: Timer) -> list[Row]:
        """The rows that are complete with the `number`-th target of each pair."""
        rows = self._rows(batch, number, frame, timer)
        if not self.scorer.of_sequences:
            return rows
        self._held.append((rows, [to_8_bit(image) for image in frame.permute(0, 2, 3, 1).cpu().numpy()]))
        if number + 1 < len(batch[0].targets):
            return []
        held, self._held = self._held, []
        for i, pair in enumerate(batch):
            true = [to_8_bit(target.image) for target in pair.targets]
            predicted = [images[i] for _, images in held]
            scores = self.scorer.sequence(to_8_bit(pair.frame0), to_8_bit(pair.frame1), predicted, true)
            for k, (of_target, _) in enumerate(held):
                of_target[i]["scores"] |= {name: values[k] for name, values in scores.items()}
        return [row for of_target, _ in held for row in of_target]

    def _rows(self, batch: list[Pair], number: int, frame: Tensor, timer: Timer) -> list[Row]:
        targets = [pair.targets[number] for pair in batch]
        images = self.predictor.to_tensor([target.image for target in targets]).contiguous()
        columns = self.scorer(frame, images)
        ms = timer.milliseconds() / len(batch)
        return [
            {
                "index": target.index,
                "key": target.key,
                "pair": pair.name,
                "time": target.time if isinstance(target.time, float) else None,
                "size": list(pair.frame0.shape[:2]),
                "ms": round(ms, 3),
                "motion": round(pair.motion if target.motion is None else target.motion, 4),
                "motion_from": "dis" if target.motion is None else "data",
                **_pixels(frame[i], images[i], target.occluded),
                "scores": {name: values[i] for name, values in columns.items()},
            }
            for i, (pair, target) in enumerate(zip(batch, targets, strict=True))
        ]


def _pixels(frame: Tensor, true: Tensor, occluded: NDArray[np.bool_] | None) -> dict[str, Any]:
    """How many pixels of an image 3 H W are visible and occluded, and the mean squared error of each kind."""
    if occluded is None:
        return {}
    error = (frame.double() - true.double()).square().mean(dim=0).cpu().numpy()
    kinds = {"visible": error[~occluded], "occluded": error[occluded]}
    return {"pixels": {name: [e.size, float(e.mean()) if e.size else 0.0] for name, e in kinds.items()}}


def _cores_are_free(device: torch.device) -> bool:
    """Whether to score while the network computes: OpenMP threads that compete for cores slow each other down."""
    return device.type != "cpu" or torch.get_num_threads() < core_count()
