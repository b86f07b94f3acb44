"""Differences of Laplacian pyramids: the main loss of RIFE, EMA-VFI and ATM-VFI."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from losses.base import Term, Weight
from vfi_train.contract import Batch, Prediction
from vfi_train.errors import UserError
from vfi_train.ranges import Positive


class Laplacian(Term):
    """Mean absolute difference of the bands of two Laplacian pyramids, summed over bands.

    The low-pass image after the last band is not compared. Where the field is a list, the loss is summed over its
    entries, each compared with the target halved (bilinear, align_corners True) to its size.

    Args:
        weight: see `Term`.
        field: compared with the target: "frame", "merged", or a field of the teacher, "teacher.frame".
        levels: number of bands; a sequence gives those at full size, half, a quarter, ... Sides must be multiples
            of 2^levels and at least 2^(levels + 1).

    Source: RIFE, EMA-VFI and ATM-VFI, with the same pyramid. RIFE compares the frame and the teacher's frame,
    weight 1; EMA-VFI the frame with weight 1 and both blends with 0.5; ATM-VFI the frame with weight 1 and the
    blends of all scales with 0.25, levels 5, 5, 4, 3, 2.
    """

    def __init__(self, weight: Weight = 1.0, field: str = "frame", levels: Positive | Sequence[Positive] = 5) -> None:
        super().__init__(weight)
        self.field = field
        self.reads = (field.split(".")[0],)
        self.levels = levels if isinstance(levels, int) else tuple(levels)
        self.pyramid = LaplacianPyramid()

    def forward(self, prediction: Prediction, batch: Batch) -> Tensor:
        """A scalar; see `Term.forward`."""
        value: object = prediction
        for name in self.field.split("."):
            assert isinstance(value, Prediction)
            value = value.require(name, reader=f"the Laplacian loss of {self.field}")
        entries = [value] if isinstance(value, Tensor) else value
        assert isinstance(entries, list)
        targets = [batch["target"]]
        differences: dict[int, list[Tensor]] = {}  # by scale, so that images of one size share a pyramid
        for entry in reversed(entries):  # from fine to coarse
            while targets[-1].shape[-2:] != entry.shape[-2:]:
                targets.append(_half(targets[-1], entry))
            differences.setdefault(len(targets) - 1, []).append(entry - targets[-1])
        terms = [
            len(images) * self.pyramid.size(torch.cat(images), self._levels_at(scale))
            for scale, images in differences.items()
        ]
        return torch.stack(terms).sum()

    def _levels_at(self, scale: int) -> int:
        if isinstance(self.levels, int):
            return self.levels
        if scale >= len(self.levels):
            raise UserError(
                f"the Laplacian loss of {self.field} has levels for {len(self.levels)} sizes, {self.levels}; "
                f"the prediction has 1/{2**scale} of the target's size: give levels for {scale + 1} sizes"
            )
        return self.levels[scale]


class LaplacianPyramid(nn.Module):
    """Band-pass levels of an image: what each downsampling (5x5 binomial blur, every second pixel) removes."""

    blur: Tensor  # 1 1 5 5, sums to 1
    upsample: Tensor  # 4 1 3 3: four times the blur, one 3x3 filter for each phase of the upsampled image

    def __init__(self) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
        # An image upsampled with zeros has samples only at even positions: each phase needs every second tap.
        phases = 2 * torch.stack((taps[0::2], F.pad(taps[1::2], (1, 0))))
        self.register_buffer("blur", torch.outer(taps, taps)[None, None], persistent=False)
        self.register_buffer(
            "upsample", torch.einsum("ay,bx->abyx", phases, phases).reshape(4, 1, 3, 3), persistent=False
        )

    def forward(self, image: Tensor, levels: int) -> list[Tensor]:
        """Bands of `image` (B C H W), full size first, each half the size of the previous one.

        Raises:
            UserError: a side is not a multiple of 2^levels, or is smaller than 2^(levels + 1).
        """
        batch, channels, height, width = image.shape
        if height % 2**levels or width % 2**levels or min(height, width) < 2 ** (levels + 1):
            raise UserError(
                f"a Laplacian pyramid of {levels} levels needs sides that are multiples of {2**levels} and "
                f"at least {2 ** (levels + 1)}; got {height}x{width}: choose another crop or fewer levels"
            )
        bands = []
        x = image.reshape(batch * channels, 1, height, width)
        for _ in range(levels):
            small = F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), self.blur.to(x), stride=2)
            bands.append((x - self._upsampled(small)).unflatten(0, (batch, channels)).squeeze(2))
            x = small
        return bands

    def size(self, difference: Tensor, levels: int) -> Tensor:
        """Sum over bands of the mean absolute value.

        The pyramid is linear: the bands of a difference of images are the differences of their bands.
        """
        return torch.stack([band.abs().mean() for band in self(difference, levels)]).sum()

    def _upsampled(self, x: Tensor) -> Tensor:
        """Doubled size: zeros between samples, reflected borders, four times the blur."""
        # Reflecting the upsampled image at its last row, which is zeros, repeats the last sample.
        x = F.pad(F.pad(x, (1, 0, 1, 0), mode="reflect"), (0, 1, 0, 1), mode="replicate")
        return F.pixel_shuffle(F.conv2d(x, self.upsample.to(x)), 2)


def _half(target: Tensor, entry: Tensor) -> Tensor:
    if target.shape[-1] < entry.shape[-1] or min(target.shape[-2:]) < 2:
        raise UserError(
            f"the Laplacian loss compares images at the target's size, a half, a quarter, ... of it; "
            f"got {tuple(entry.shape)} for a target halved to {tuple(target.shape)}"
        )
    return F.interpolate(target, scale_factor=0.5, mode="bilinear", align_corners=True)
