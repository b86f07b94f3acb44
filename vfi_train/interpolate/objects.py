"""Objects between two images, each with a mask and a timing of its own: `masks`, `curves` and `rest`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.storage.image_io import SCALES, ImageArray, read_image
from datamodules.storage.media import Frame
from vfi_train.errors import UserError, check_ordinary
from vfi_train.inference.manipulation import compose, manipulate
from vfi_train.interpolate.frame_stream import FrameStream, Output
from vfi_train.interpolate.pairs import Pair
from vfi_train.interpolate.segment import WHERE, Point, SegmentAnything

EVEN = (0.0, 1.0)  # the curve of motion at constant speed


@dataclass(frozen=True)
class Objects:
    """Objects of the first image.

    Args:
        masks: H W each: where they are; the first of overlapping ones counts. Or a point on the object, for `sam`.
        curves: of each, how far along its path it is: two or more heights, evenly spaced from the first to the last
            image; 0 is where it is in the first, 1 in the last.
        moves: whether everything else moves at constant speed; otherwise it stays as in the first image.
        sam: makes the masks of points.
    """

    masks: Sequence[NDArray[np.bool_] | Point]
    curves: Sequence[Sequence[float]]
    moves: bool
    sam: SegmentAnything | None = None

    def masks_on(self, image: ImageArray) -> list[NDArray[np.bool_]]:
        """The masks, H W each, for the first image."""
        found = []
        for mask in self.masks:
            if isinstance(mask, tuple):
                assert self.sam is not None
                mask = self.sam.mask(image, [mask])
            found.append(mask)
        return found

    @classmethod
    def read(
        cls, masks: Any, curves: Any, rest: str, size: tuple[int, int], sam: str | None = None, device: str = "auto"
    ) -> Objects:
        """From the values of the configuration.

        Args:
            masks: a file or several: images that are white (any channel above half) where the object is. Or, for any
                of them, a point [x, y] on the object, in pixels.
            curves: a curve for each, or one for one; None: even motion.
            rest: "fixed" or "moves".
            size: height and width of the images.
            sam, device: see `SegmentAnything`; None: there are no points.

        Raises:
            UserError: a file that cannot be read or does not fit, a point without `sam`, or curves that do not fit.
        """
        files = masks if isinstance(masks, list) else [masks]
        files = [files] if files and all(isinstance(value, (int, float)) for value in files) else files  # one point
        given = curves if curves is None or (curves and isinstance(curves[0], list)) else [curves]
        given = [list(EVEN)] * len(files) if given is None else given
        if len(given) != len(files):
            raise UserError(f"masks= names {len(files)} objects and curves= {len(given)} curves: give one for each")
        for curve in given:
            if len(curve) < 2 or not all(isinstance(h, (int, float)) and 0 <= h <= 1 for h in curve):
                raise UserError(f"curves={curve} is no curve: give two heights or more from 0 to 1, such as [0,0.2,1]")
        found = [_point(m, size, sam) if isinstance(m, list) else _read_mask(Path(str(m)), size) for m in files]
        has_points = any(isinstance(mask, tuple) for mask in found)
        segment = SegmentAnything(sam, device) if sam is not None and has_points else None
        return cls(found, given, rest == "moves", segment)


class ObjectStream(FrameStream):
    """The frames of a plan between two images with objects. All are predicted, the first and the last one too.

    Networks that take no maps, or whose weights reach times by halving, predict complete frames that are put together.

    Args:
        objects: what moves how.
        others: see `FrameStream`.
    """

    def __init__(self, objects: Objects, *others: Any, **options: Any) -> None:
        super().__init__(*others, **options)
        self.objects = objects

    def outputs(self, items: Iterable[Pair | Frame]) -> Iterator[Output]:
        """All frames in order.

        Raises:
            UserError: there are more than two images.
        """
        first, last, *more = islice(items, 3)
        if more or not isinstance(first, Pair) or not isinstance(last, Frame):
            raise UserError("masks= says where objects are in the first of two images: give input=[FIRST,LAST]")
        ending = self.plan.after(last, self._has_clock)
        times = [float(planned.time) for planned in first.planned] + [1.0] * bool(ending)
        images = self._images(first, times)
        self.counts.update(moving=1, predicted=len(images))
        for planned, image in zip(first.planned, images, strict=False):
            yield Output(Frame(image, planned.appears, first.frame0.duration), first.frame0)
        for planned in ending:
            yield Output(Frame(images[-1], planned.appears, last.duration), last)

    def _images(self, pair: Pair, times: list[float]) -> list[ImageArray]:
        interpolator, objects = self.predictor.interpolator, self.objects
        has_maps = interpolator.model.takes_time_map and not interpolator.recursive

        def predict(frame0: ImageArray, frame1: ImageArray, at: Sequence[Any]) -> list[ImageArray]:
            return list(self.predicted([pair], [at])[0])

        make: Callable[..., list[ImageArray]] = manipulate if has_maps else compose
        return make(
            predict, pair.frame0.image, pair.frame1.image, objects.masks_on(pair.frame0.image), objects.curves, times,
            elsewhere=times if objects.moves else 0.0,
        )  # fmt: skip


def _point(values: list[Any], size: tuple[int, int], sam: str | None) -> Point:
    height, width = size
    numbers = len(values) == 2 and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
    if not numbers or not (0 <= values[0] < width and 0 <= values[1] < height):
        raise UserError(f"masks={values} is no point [x, y] of images of {width}x{height} pixels, and no file")
    if sam is None:
        raise UserError(
            f"masks={values} is a point on an object, whose mask Segment Anything makes: give sam=FOLDER, {WHERE}; or "
            "give the mask as a file"
        )
    return float(values[0]), float(values[1])


def _read_mask(path: Path, size: tuple[int, int]) -> NDArray[np.bool_]:
    check_ordinary(path, "masks", "give an image")
    image = read_image(path)
    if image.shape[:2] != size:
        height, width = image.shape[:2]
        raise UserError(f"masks={path} is {height}x{width} and the images are {size[0]}x{size[1]}: give it their size")
    mask: NDArray[np.bool_] = image.max(axis=-1) > SCALES[image.dtype] / 2
    if not mask.any():
        raise UserError(f"masks={path} is black: paint white where the object is")
    return mask
