"""Images of the worst and the best samples: inputs, prediction, target, error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from datamodules.core.samples import SampleSource
from vfi_train.evaluate.predictor import Predictor
from vfi_train.evaluate.resume_log import Row
from vfi_train.evaluate.samples import Pair, pairs
from vfi_train.evaluate.scorer import COLUMNS
from vfi_train.visualization import error_image, frame_image, overlay

WIDEST = 480  # pixels of a tile


@dataclass(frozen=True)
class Strip:
    """A sample in images: what it is called, how good it is, and JPEG files with their captions."""

    rank: str
    row: Row
    tiles: list[tuple[str, bytes]]


def strips(source: SampleSource, predictor: Predictor, rows: list[Row], column: str, count: int) -> list[Strip]:
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
            found.append(Strip(rank, row, _tiles(predictor, item)))
    return found


def _tiles(predictor: Predictor, pair: Pair) -> list[tuple[str, bytes]]:
    frame = next(predictor.frames([pair]))[0].cpu()
    frame0, frame1, target = (
        predictor.to_tensor([image])[0].cpu() for image in (pair.frame0, pair.frame1, pair.moments[0].target)
    )
    return [
        ("inputs, overlaid", jpeg(overlay(frame0, frame1))),
        ("prediction", jpeg(frame_image(frame))),
        ("target", jpeg(frame_image(target))),
        ("error (yellow: 0.2)", jpeg(error_image(frame, target))),
    ]


def jpeg(image: np.ndarray) -> bytes:
    """An image H W 3, RGB, at most `WIDEST` pixels wide."""
    height, width = image.shape[:2]
    if width > WIDEST:
        image = cv2.resize(image, (WIDEST, round(height * WIDEST / width)), interpolation=cv2.INTER_AREA)
    bgr: Any = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
