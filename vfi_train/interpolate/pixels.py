"""Images as a network takes them: without alpha, values in [0, 1]; and its predictions as images again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from PIL import ImageColor

from datamodules.storage.image_io import SCALES, ImageArray, flatten, has_alpha, to_bits
from datamodules.storage.media import Frame
from vfi_train.errors import UserError


def parts(*images: ImageArray) -> list[tuple[ImageArray, ...]]:
    """The images H W 3 to predict from, for a pair of images and, for some networks, the two around it.

    Images H W 4 give their colours times alpha, so that colours hidden by transparency are never seen, and alpha
    as a grey image where it differs between the two.
    """
    image0, image1 = images[:2]
    if not has_alpha(image0):
        return [images]
    units = [to_bits(image, 32) for image in images]
    colours = tuple(unit[..., :3] * unit[..., 3:] for unit in units)
    if np.array_equal(image0[..., 3], image1[..., 3]):
        return [colours]
    return [colours, tuple(unit[..., [3, 3, 3]] for unit in units)]


def joined(predicted: Sequence[ImageArray], image0: ImageArray) -> ImageArray:
    """The image of predicted `parts`, in the dtype of `image0`."""
    if not has_alpha(image0):
        return predicted[0]
    scale = SCALES[image0.dtype]
    alpha = predicted[1].mean(axis=2, keepdims=True) if len(predicted) > 1 else to_bits(image0, 32)[..., 3:]
    colours = predicted[0] / np.maximum(alpha, 1 / (2 * scale) if scale > 1 else 1e-6)
    if scale > 1:
        colours = colours.clip(0, 1)
    joint = np.concatenate((np.where(alpha > 0, colours, 0), alpha.clip(0, 1)), axis=2) * np.float32(scale)
    return (joint if scale == 1 else joint.round()).astype(image0.dtype)


class Range:
    """Maps the float values of images to [0, 1] and back: as they are up to 1, else by a logarithm.

    The curve is log(1 + (m - 1) x / m) / log(m) with m the largest value: the line x where m nears 1. Values below 0
    become 0.
    """

    def __init__(self, *images: ImageArray) -> None:
        self.top = max(1.0, *(float(image.max()) for image in images))

    def compress(self, image: ImageArray) -> ImageArray:
        """Values 0 and above to [0, 1]."""
        image = np.maximum(image, 0)
        if self.top <= 1 + 1e-6:
            return image
        return (np.log1p(image * (1 - 1 / self.top)) / np.log(self.top)).astype(np.float32)

    def expand(self, image: ImageArray) -> ImageArray:
        """The inverse."""
        if self.top <= 1 + 1e-6:
            return image
        return (np.expm1(image * np.log(self.top)) / (1 - 1 / self.top)).astype(np.float32)


def over(frames: Iterable[Frame], background: Sequence[float]) -> Iterator[Frame]:
    """Frames laid over a colour (RGB, 0..1), those with alpha."""
    for frame in frames:
        is_flat = not has_alpha(frame.image)
        yield frame if is_flat else replace(frame, image=flatten(frame.image, background), native=None)


def background_colour(name: str) -> tuple[float, ...]:
    """RGB in 0..1 of a name ("white") or "#rrggbb"."""
    try:
        return tuple(value / 255 for value in ImageColor.getrgb(str(name))[:3])
    except ValueError:
        raise UserError(f"background={name} is not a colour: give a name such as white, or '#rrggbb'") from None
