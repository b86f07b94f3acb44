"""Images of the worst and the best samples: inputs, prediction, target, error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from datamodules.core.samples import SampleSource
from vfi_train.evaluate.columns import COLUMNS
from vfi_train.evaluate.predictor import Predictor
from vfi_train.evaluate.resume_log import Row
from vfi_train.evaluate.samples import Pair, pairs
from vfi_train.visualization import error_image, frame_image, overlay

MAX_WIDTH = 480  # pixels


@dataclass(frozen=True)
class SampleImages:
    """A sample: its rank ("worst 1"), its row, and JPEG files with their captions."""

    rank: str
    row: Row
    tiles: list[tuple[str, bytes]]


def worst_and_best(
    source: SampleSource, predictor: Predictor, rows: list[Row], column: str, count: int
) -> list[SampleImages]:
    """The `count` worst samples by a column, worst first, and the `count` best, best first."""
    measured = [row for row in rows if not math.isnan(row["scores"][column])]
    ordered = sorted(measured, key=lambda row: row["scores"][column], reverse=not COLUMNS[column].higher_is_better)
    count = min(count, len(ordered) // 2 or len(ordered))
    chosen = [(f"worst {i}", row) for i, row in enumerate(ordered[:count], 1)]
    if len(ordered) > count:
        chosen += [(f"best {i}", row) for i, row in enumerate(reversed(ordered[-count:]), 1)]
    found = []
    for rank, row in chosen:
        item = next(pairs(source, [row["index"]], 0))
        if isinstance(item, Pair):
            found.append(SampleImages(rank, row, _tiles(predictor, item)))
    return found


def _tiles(predictor: Predictor, pair: Pair) -> list[tuple[str, bytes]]:
    frame = next(predictor.frames([pair]))[0].cpu()
    images = (pair.frame0, pair.frame1, pair.targets[0].image)
    frame0, frame1, target = (predictor.to_tensor([image])[0].cpu() for image in images)
    return [
        ("inputs, overlaid", _jpeg(overlay(frame0, frame1))),
        ("prediction", _jpeg(frame_image(frame))),
        ("target", _jpeg(frame_image(target))),
        ("error (yellow: 0.2)", _jpeg(error_image(frame, target))),
    ]


def _jpeg(image: np.ndarray) -> bytes:
    """An image H W 3, RGB, reduced to `MAX_WIDTH`."""
    height, width = image.shape[:2]
    if width > MAX_WIDTH:
        image = cv2.resize(image, (MAX_WIDTH, round(height * MAX_WIDTH / width)), interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
