"""All-pairs correlation of two feature maps, and looking it up around where flow points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


@dataclass
class CorrelationPyramid:
    """How every pixel of one frame resembles every pixel of the other, both ways, on several levels.

    Made by `correlate`. A row of the volume belongs to one pixel and holds its images of all levels one after
    another, so that a single gather reads them all.
    """

    shared: SharedVolume  # 2B h*w (pixels of all levels): frame0 over frame1, then frame1 over frame0
    grid: Tensor  # 2 h w, x then y of each pixel
    sizes: Tensor  # levels 2, width then height of each level's image
    radius: int

    def repeated(self, count: int) -> CorrelationPyramid:
        """Itself: `lookup` takes several displacements for each pair, one after another, and copies no volume."""
        return self

    def lookup(self, displacement01: Tensor, displacement10: Tensor) -> Tensor:
        """Correlation in a window around where each pixel is displaced to.

        Args:
            displacement01: B 2 h w, from a pixel of frame0 to the window's centre in frame1, in pixels; or nB 2 h w,
                n displacements of each pair.
            displacement10: the same from frame1 to frame0.

        Returns:
            B 2*levels*(2*radius+1)^2 h w: frame0 over frame1, then frame1 over frame0; in each, levels from
            fine to coarse; in a level, x offsets from -radius to radius (slow), then y offsets (fast).
            Level i is sampled around centre / 2^i, bilinear, zero outside; NaN where a centre is not finite.

        Source: RAFT (Teed and Deng, ECCV 2020), section 3.2; both ways at once in AMT (Li et al., CVPR 2023).
        """
        with torch.autocast(device_type=self.grid.device.type, enabled=False):
            displacement = torch.cat((displacement01, displacement10)).to(self.grid.dtype)
            centres = (self.grid + displacement).flatten(2).transpose(1, 2)
            index, before, after = self._window(centres)
            # All displacements of a pair are looked up in one copy of its volume.
            pairs = index.unflatten(0, (len(self.shared.volume), -1)).transpose(1, 2)
            window = self.shared.gather(pairs.flatten(2)).view(pairs.shape).transpose(1, 2).flatten(0, 1)
            # One fraction serves all of a window: bilinear sampling is a mix along y, then a mix along x.
            (before_x, before_y), (after_x, after_y) = before.unbind(3), after.unbind(3)
            window = window[..., :-1] * before_y.unsqueeze(-2) + window[..., 1:] * after_y.unsqueeze(-2)
            window = window[..., :-1, :] * before_x.unsqueeze(-1) + window[..., 1:, :] * after_x.unsqueeze(-1)
        both_ways = torch.cat(window.flatten(2).chunk(2), dim=-1)
        return both_ways.unflatten(1, self.grid.shape[-2:]).permute(0, 3, 1, 2)

    def _window(self, centres: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The positions that bilinear windows around `centres` (2B h*w 2) read, n + 1 a side for n samples.

        Returns:
            Indices into the rows of `volume`, 2B h*w levels n+1 (x) n+1 (y); weights of the neighbours before
            and after each sample, 2B h*w levels 2 (x, y) n each: zero for neighbours outside of the image.
        """
        radius, sizes = self.radius, self.sizes
        scales = torch.pow(2.0, torch.arange(len(sizes), device=sizes.device)).to(centres.dtype)
        position = centres.unsqueeze(2) / scales.unsqueeze(1)
        # Farther out all is zero anyway; this keeps integers small.
        position = torch.minimum(position.clamp(min=-radius - 2.0), (sizes + radius + 1).to(centres.dtype))
        corner = position.detach().nan_to_num(0.0).floor()
        finite = centres.detach().unsqueeze(2)
        position = position + (finite - finite)  # zero, or NaN for an infinite displacement, too
        fraction = (position - corner).unsqueeze(-1)
        side = sizes.unsqueeze(-1)
        index = corner.long().unsqueeze(-1) + torch.arange(-radius, radius + 2, device=sizes.device)
        inside = ((index >= 0) & (index < side)).to(fraction.dtype)
        x, y = torch.minimum(index.clamp(min=0), side - 1).unbind(3)
        area = sizes.prod(dim=1)
        level_start = (area.cumsum(0) - area).view(-1, 1, 1)
        flat = level_start + y.unsqueeze(-2) * sizes[:, :1].unsqueeze(-1) + x.unsqueeze(-1)
        return flat, inside[..., :-1] * (1 - fraction), inside[..., 1:] * fraction


def correlate(features0: Tensor, features1: Tensor, levels: int = 4, radius: int = 3) -> CorrelationPyramid:
    """Correlation of all pairs of pixels, f0 . f1 / sqrt(C), in float32 at least.

    Args:
        features0: B C h w.
        features1: the same shape.
        levels: images per pixel, each half the size (rounded down) of the one before, by 2x2 means.
        radius: of the window that `lookup` reads.
    """
    with torch.autocast(device_type=features0.device.type, enabled=False):
        features = torch.cat((features0, features1))
        features = features.to(torch.promote_types(features.dtype, torch.float32))
        # The mean of correlations is the correlation with the mean: pool the features, not the large volume.
        images = [features.roll(len(features0), dims=0)]
        for _ in range(levels - 1):
            images.append(F.avg_pool2d(images[-1], 2))
        rows = features.flatten(2).transpose(1, 2) * features.shape[1] ** -0.5
        volume = torch.bmm(rows, torch.cat([image.flatten(2) for image in images], dim=2))
    height, width = features.shape[-2:]
    x = torch.arange(width, device=volume.device, dtype=volume.dtype).expand(height, width)
    y = torch.arange(height, device=volume.device, dtype=volume.dtype).unsqueeze(1).expand(height, width)
    # Made on the device: copying a list of numbers there would wait for it.
    finest = torch.stack([torch.full((), side, device=volume.device) for side in (width, height)])
    sizes = finest >> torch.arange(levels, device=volume.device).unsqueeze(1)
    return CorrelationPyramid(SharedVolume(volume), torch.stack((x, y)), sizes, radius)


class SharedVolume:
    """A large tensor that is looked up several times; the lookups share one gradient.

    PyTorch's own `gather` fills a volume with zeros in the backward pass of each lookup, and adds them up.

    Args:
        volume: N R C.
    """

    def __init__(self, volume: Tensor) -> None:
        self.volume = volume
        self.gradient: list[Tensor] = []  # what lookups have added up so far in a backward pass
        self.is_trained = volume.requires_grad and not torch.compiler.is_compiling()
        # Lookups depend on a number that depends on the volume, so that its gradient is requested after all of theirs.
        self.knot = _Tie.apply(volume, self.gradient) if self.is_trained else None  # type: ignore[no-untyped-call]

    def gather(self, index: Tensor) -> Tensor:
        """For each row the entries at `index`, N R K."""
        if not self.is_trained:
            return self.volume.gather(2, index)
        return _Gather.apply(self.knot, self.volume.detach(), index, self.gradient)  # type: ignore[no-any-return, no-untyped-call]


class _Tie(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, volume: Tensor, gradient: list[Tensor]) -> Tensor:
        ctx.gradient = gradient
        return volume.new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None]:
        return ctx.gradient.pop(), None


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, knot: Tensor, volume: Tensor, index: Tensor, gradient: list[Tensor]) -> Tensor:
        ctx.save_for_backward(index)
        ctx.shape, ctx.gradient = volume.shape, gradient
        return volume.gather(2, index)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None, None, None]:
        (index,) = ctx.saved_tensors
        if not ctx.gradient:
            ctx.gradient.append(outer.new_zeros(ctx.shape))
        ctx.gradient[0].scatter_add_(2, index, outer)
        return outer.new_zeros(()), None, None, None
