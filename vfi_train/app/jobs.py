"""What the page of `vfi_train.app` computes: frames between two images, and videos. Independent of Gradio."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.storage.image_io import ImageArray
from datamodules.storage.media import Clip, Frame
from vfi_train.config.build_network import build_network
from vfi_train.config.compose import compose_config
from vfi_train.config.overrides import group_choices
from vfi_train.errors import UserError
from vfi_train.inference.interpolator import Interpolator
from vfi_train.inference.manipulation import compose, manipulate, timing
from vfi_train.inference.time_probe import is_time_aware
from vfi_train.interpolate.command import interpolate_with
from vfi_train.interpolate.encoders import Encoding
from vfi_train.interpolate.segment import SegmentAnything, strokes
from vfi_train.interpolate.writers import OutputWriter
from vfi_train.runtime.devices import find_device
from vfi_train.weights import list_shipped, load_weights

RATE = 10  # frames per second of the files with predicted frames
DEPTH = 6  # of recursion: times are k / 64


class Jobs:
    """Runs one job at a time, since networks share the device.

    Args:
        folder: of the files that are written.
        runs: folder of trainings whose weights can be chosen.
        device: see `find_device`.
        side: pixels of the longer side of an image, at most.
        sam: see `SegmentAnything`; None: masks are what is painted.
        search_path: overrides of `hydra.searchpath`, for models from outside.
    """

    def __init__(
        self,
        folder: Path,
        *,
        runs: str = "runs",
        device: str = "auto",
        side: int = 2160,
        sam: str | None = None,
        search_path: Sequence[str] = (),
    ) -> None:
        self.folder, self.runs, self.device, self.side = folder, runs, device, side
        self.models, self._search_path = group_choices("model", search_path), search_path
        self.segment = None if sam is None else SegmentAnything(sam, device)
        self._lock = threading.Lock()
        self._network = lru_cache(maxsize=2)(self._load)

    def frames(
        self, model: str, weights: str, frame0: ImageArray | None, frame1: ImageArray | None, count: int
    ) -> list[ImageArray]:
        """`count` frames from frame0 to frame1, including both."""
        first, last = self._checked(frame0, frame1)
        times = [k / (count - 1) for k in range(1, count - 1)]
        with self._lock:
            return [first, *(self._network(model, weights)(first, last, times) if times else []), last]

    def manipulated(
        self, model: str, weights: str, frame0: ImageArray | None, frame1: ImageArray | None,
        masks: Sequence[np.ndarray], curves: Sequence[Sequence[float]], rest_moves: bool, count: int,
        complete: bool = False,
    ) -> list[ImageArray]:  # fmt: skip
        """`count` frames: what a mask (H W) covers follows its curve (heights 0..1), the rest is fixed or moves.

        With `complete`, the strokes of a mask are points on an object, whose mask Segment Anything makes.
        """
        first, last = self._checked(frame0, frame1)
        objects = [(mask, list(curve)) for mask, curve in zip(masks, curves, strict=True) if mask.any()]
        if not objects:
            raise UserError("paint over an object in the first image: what is painted follows the curve of its colour")
        elsewhere: Any = timing([0, 1], count) if rest_moves else 0.0
        with self._lock:
            if complete and self.segment is not None:
                objects = [(self.segment.mask(first, strokes(mask)), curve) for mask, curve in objects]
            network = self._network(model, weights)
            predict = manipulate if network.model.takes_time_map and not network.recursive else compose
            regions, timings = zip(*objects, strict=True)
            return predict(network, first, last, regions, timings, count, elsewhere=elsewhere)

    def video(self, model: str, weights: str, source: str | None, factor: int, codec: str) -> Path:
        """A video with `factor` times the frames."""
        if not source:
            raise UserError("give a video first")
        output = Path(tempfile.mkdtemp(dir=self.folder)) / "interpolated.mp4"
        with self._lock:
            interpolate_with(
                self._known(model), self._search_path, weights=weights, runs=self.runs, device=self.device,
                input=str(source), output=str(output), factor=factor, codec=codec,
            )  # fmt: skip
        return output

    def saved(self, frames: Sequence[ImageArray], ending: str) -> Path:
        """Frames as a file to download: ".gif" or ".mp4"."""
        path = Path(tempfile.mkdtemp(dir=self.folder)) / f"interpolated{ending}"
        height, width, _ = frames[0].shape
        clip = Clip("", height, width, rate=Fraction(RATE), tick=Fraction(1, RATE))
        with OutputWriter(str(path), clip, Encoding()) as writer:
            for index, image in enumerate(frames):
                writer.write(Frame(image, Fraction(index, RATE), Fraction(1, RATE)))
        return path

    def clear(self, age: float) -> None:
        """Remove the files in the folder that are older than `age` seconds."""
        for path in self.folder.rglob("*"):
            with suppress(FileNotFoundError):  # removed by Gradio
                if path.is_file() and time.time() - path.stat().st_mtime > age:
                    path.unlink()

    def _checked(self, frame0: ImageArray | None, frame1: ImageArray | None) -> tuple[ImageArray, ImageArray]:
        if frame0 is None or frame1 is None:
            raise UserError("give two images first")
        if frame0.shape != frame1.shape:
            sizes = [f"{frame.shape[1]}x{frame.shape[0]}" for frame in (frame0, frame1)]
            raise UserError(f"the images have different sizes ({' and '.join(sizes)}): bring them to one size")
        if max(frame0.shape) > self.side:
            raise UserError(f"the images have more than {self.side} pixels a side: make them smaller")
        return frame0, frame1

    def _known(self, model: str) -> str:
        if model not in self.models:
            raise UserError(f"there is no model {model}")
        return model

    def _load(self, name: str, weights: str) -> Interpolator:
        model = build_network(compose_config("app", [*self._search_path, f"model={self._known(name)}"])).eval()
        load_weights(model, weights, self.runs)
        model.to(find_device(self.device))
        return Interpolator(model, recursive=not is_time_aware(model), recursion_depth=DEPTH)


def weight_names(runs: str) -> list[str]:
    """Weights that can be chosen: shipped ones, and the best of each training."""
    return [*list_shipped(), *sorted(path.parent.name for path in Path(runs).glob("*/checkpoints"))]


def painted(
    editor: dict[str, Any] | None, colours: Sequence[tuple[int, int, int]]
) -> tuple[ImageArray | None, list[np.ndarray]]:
    """The image (H W 3) of an image editor's value, and for each colour the pixels (H W) painted with it.

    Of a pixel that was painted several times, the last layer counts; edges of strokes, in between, the nearest colour.
    """
    if not editor or editor.get("background") is None:
        return None, []
    background = editor["background"]
    nearest = np.full(background.shape[:2], -1)
    for layer in editor.get("layers") or []:
        if layer is not None:
            distances = [np.square(layer[..., :3].astype(int) - colour).sum(axis=-1) for colour in colours]
            nearest = np.where(layer[..., 3] > 0, np.argmin(distances, axis=0), nearest)
    return np.ascontiguousarray(background[..., :3]), [nearest == index for index in range(len(colours))]
