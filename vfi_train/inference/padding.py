"""Padding of frames to the sizes that a network takes, and cropping back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch.nn.functional as F
from torch import Tensor

from vfi_train.architectures import Architecture
from vfi_train.architectures.base import scaled_size
from vfi_train.errors import UserError

NamedMode = Literal["replicate", "zeros", "reflect"]
PaddingMode = NamedMode | float  # a number: this value in all channels, from 0 to 1
PaddingSide = Literal["center", "right_bottom"]


@dataclass(frozen=True)
class Padding:
    """How many pixels are added on each side of a frame, and how they are filled."""

    left: int
    right: int
    top: int
    bottom: int
    mode: PaddingMode = "replicate"

    @classmethod
    def between(
        cls,
        size: tuple[int, int],
        padded: tuple[int, int],
        mode: PaddingMode = "replicate",
        side: PaddingSide = "center",
    ) -> Padding:
        """The padding from a height and width to larger ones; an odd pixel goes right or to the bottom."""
        (height, width), (rows, columns) = size, padded
        top, left = ((rows - height) // 2, (columns - width) // 2) if side == "center" else (0, 0)
        return cls(left, columns - width - left, top, rows - height - top, mode)

    def pad(self, x: Tensor) -> Tensor:
        """B C H W to B C H+top+bottom W+left+right."""
        amounts = (self.left, self.right, self.top, self.bottom)
        if not any(amounts):
            return x
        height, width = x.shape[-2:]
        if isinstance(self.mode, (int, float)):
            return F.pad(x, amounts, value=self.mode)
        if self.mode == "zeros":
            return F.pad(x, amounts)
        if self.mode == "reflect" and (max(amounts[:2]) >= width or max(amounts[2:]) >= height):
            raise UserError(
                f"a frame of {height}x{width} is too small to be reflected by {max(amounts)} pixels: "
                "take padding=replicate"
            )
        return F.pad(x, amounts, mode=self.mode)

    def pad_map(self, x: Tensor) -> Tensor:
        """Pad a time or distance map by repeating its border, in every mode. A single time stays."""
        if x.shape[-1] == 1 and x.shape[-2] == 1:
            return x
        return Padding(self.left, self.right, self.top, self.bottom).pad(x)

    def crop(self, x: Tensor) -> Tensor:
        """The inverse of `pad`."""
        height, width = x.shape[-2:]
        return x[..., self.top : height - self.bottom, self.left : width - self.right]


def check_padding(mode: Any, name: str = "padding") -> None:
    """Raise a UserError when `mode` is no `PaddingMode`; `name` is that of the option in the message."""
    is_value = isinstance(mode, (int, float)) and not isinstance(mode, bool) and 0 <= mode <= 1
    if mode not in get_args(NamedMode) and not is_value:
        raise UserError(
            f"{name} is one of {', '.join(get_args(NamedMode))}, or a value from 0 to 1 (0.5: grey); got {mode!r}"
        )


def padded_size(
    size: tuple[int, int], model: Architecture, scale: float = 1.0, multiple: tuple[int, int] | None = None
) -> tuple[int, int]:
    """The smallest height and width that contain a frame and suit the model.

    Args:
        size: height and width of the frame.
        model: its `size_multiple` and `min_size` apply after scaling, its `full_size_multiple` before. Resizing
            a padded side by `scale` and by 1 / `scale` gives the same side.
        scale: of the frames on which flow is estimated.
        multiple: of height and width, instead of the model's.

    Raises:
        UserError: no size nearby fits the scale.
    """
    if multiple is not None:
        return (_next_multiple(size[0], multiple[0]), _next_multiple(size[1], multiple[1]))
    return (_padded_side(size[0], model, scale), _padded_side(size[1], model, scale))


def _padded_side(side: int, model: Architecture, scale: float) -> int:
    multiple = model.size_multiple
    start = max(side, int(model.min_size / scale))
    for padded in range(start, start + int(16 * multiple / min(scale, 1)) + 1):
        small = scaled_size(padded, scale)
        fits = small % multiple == 0 and small >= model.min_size and scaled_size(small, 1 / scale) == padded
        if fits and padded % model.full_size_multiple == 0:
            return padded
    raise UserError(
        f"no size near {side} times scale {scale} is a multiple of {multiple} and scales back to itself: "
        f"take a scale of {multiple}/n, for example {multiple}/{max(1, round(multiple / scale))}"
    )


def _next_multiple(side: int, multiple: int) -> int:
    return -(-side // multiple) * multiple
