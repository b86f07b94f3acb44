"""Splatting: warping forward, from the pixels of an image to where their flow points.

With p(s) = s + flow(s) for a pixel s of the image and the bilinear kernel b, summation splatting is
S[x](q) = sum over s of b(q - p(s)) x(s): each pixel gives to the four pixels around its position. The other modes
divide by the weights that arrived.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from vfi_train.errors import UserError

Mode = Literal["sum", "average", "linear", "softmax"]

# A map of the corners that pixels land on has a margin, where what leaves the image goes: two columns, which serve as
# the left ones of a row and the right ones of the row before, two rows above, three below.
COLUMNS, ABOVE, ROWS = 2, 2, 5
BLOCK = 2**18  # numbers of a block on a CPU: what one step writes is still in the cache for the next
LARGEST_EXPONENT = 80.0  # exp of more leaves float32


def splat(image: Tensor, flow: Tensor, metric: Tensor | None = None, *, mode: Mode = "average") -> Tensor:
    """Move the pixels of `image` along `flow`, with gradients of image, flow and metric.

    Args:
        image: B C H W.
        flow: B 2 H W, pixels, x then y, from each pixel of the image to where it goes. A pixel whose position is not
            finite or outside takes no part and has gradient zero. Of a pixel that lands across the border, the part
            outside is lost.
        metric: B 1 H W, the importance of each pixel of the image; only for "linear" (at least 0) and "softmax" (any
            finite number).
        mode: "sum": S[image]; "average": S[image] / S[1]; "linear": S[metric image] / S[metric]; "softmax": S[e^metric
            image] / S[e^metric], by the largest metric that arrives at each pixel, so that nothing overflows.

    Returns:
        B C H W in the image's dtype. Where the divisor is exactly zero (nothing arrived: a hole) it is 0; `coverage`
        tells holes from black. Positions and sums are float32 at least, whatever autocast says.

    Raises:
        UserError: shapes that do not belong together, a mode without its metric, or a metric that it has no use for.

    On a CPU a call always gives the same bits. On a GPU sums of several pixels are added in any order, and differ
    by 1e-7 or so from run to run, except under `torch.use_deterministic_algorithms(True)`: PyTorch then sorts what is
    added by its place, which costs time, and memory for an index of each number. Average, linear and softmax splatting
    are discontinuous where the weight that arrives at a pixel goes to zero.

    Source: Niklaus and Liu, "Softmax Splatting for Video Frame Interpolation", CVPR 2020, section 3.
    """
    _check(image, flow, metric, mode)
    given = [image, flow] if metric is None else [image, flow, metric]
    dtype = torch.float32
    for tensor in given:
        dtype = torch.promote_types(dtype, tensor.dtype)
    with torch.autocast(device_type=image.device.type, enabled=False):
        tensors = [tensor.to(dtype).contiguous() for tensor in given]
        trained = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
        if trained and not torch.compiler.is_compiling():
            out = _Splat.apply(mode, *tensors)  # type: ignore[no-untyped-call]
        else:
            out = _forward(mode, *tensors).output
    return out.to(image.dtype)  # type: ignore[no-any-return]


def coverage(flow: Tensor) -> Tensor:
    """How much of the pixels arrives at each pixel, B 1 H W: 0 in a hole, 1 under a constant flow. See `splat`."""
    return splat(torch.ones_like(flow[:, :1]), flow, mode="sum")


@dataclass
class _Result:
    output: Tensor  # B C H W
    divisor: Tensor | None  # B 1 H W; None in mode "sum"
    largest: Tensor | None  # B 1 (H + ROWS)(W + COLUMNS): the largest metric; None but in mode "softmax"


def _forward(mode: Mode, image: Tensor, flow: Tensor, metric: Tensor | None = None) -> _Result:
    """Scatter; also how graphs and compilers see the function, for it is differentiable by itself."""
    batch, channels, height, width = image.shape
    size = (height + ROWS) * (width + COLUMNS)
    largest = _largest(flow, metric) if mode == "softmax" and metric is not None else None
    total = image.new_zeros(batch, channels, size)
    weights = None if mode == "sum" else image.new_zeros(batch, 1, size)
    for rows in _blocks(image):
        corners = _Corners.of(flow, rows)
        pixels = image[:, :, rows].flatten(2)
        factor = None if metric is None else metric[:, :, rows].flatten(2)
        for index, weight in corners:
            if factor is not None:
                weight = weight * (factor if largest is None else _exponential(factor, largest, index))
            total.scatter_add_(2, index.expand_as(pixels), pixels * weight)
            if weights is not None:
                weights.scatter_add_(2, index, weight)
    output = _inside(total, height, width)
    if weights is None:
        return _Result(output.contiguous(), None, None)
    divisor = _inside(weights, height, width)
    divisor = torch.where(divisor == 0, 1.0, divisor)
    return _Result(output / divisor, divisor, largest)


class _Splat(torch.autograd.Function):
    """Keeps image, flow, metric, output and divisor; the backward pass gathers, by a warp or corner by corner."""

    @staticmethod
    def forward(ctx: Any, mode: Mode, image: Tensor, flow: Tensor, metric: Tensor | None = None) -> Tensor:
        result = _forward(mode, image, flow, metric)
        output = None if mode == "sum" else result.output
        ctx.save_for_backward(image, flow, metric, output, result.divisor, result.largest)
        return result.output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
        """With r the factor of a pixel, o the output and g / N the outer gradient over the divisor, sums over corners.

        Image: r b g/N. Flow: r (slope of b) (x - o) g/N, summed over channels. Metric: b (x - o) g/N, in mode
        "softmax" times r.
        """
        image, flow, metric, output, divisor, largest = ctx.saved_tensors
        of_image, of_flow, of_metric = (
            None if tensor is None or not needed else torch.empty_like(tensor)
            for tensor, needed in zip((image, flow, metric), (*ctx.needs_input_grad[1:], False), strict=False)
        )
        if largest is None and _is_warp_faster(image):
            for samples in _chunks(image):
                given = (None if x is None else x[samples] for x in (outer, image, flow, metric, output, divisor))
                results = (None if x is None else x[samples] for x in (of_image, of_flow, of_metric))
                _gather(*given, *results)  # type: ignore[arg-type]
            return (None, of_image, of_flow, of_metric)[: len(ctx.needs_input_grad)]
        gradient, at_output = _margined(outer, output, divisor)
        for rows in _blocks(image):
            corners = _Corners.of(flow, rows)
            pixels = image[:, :, rows].flatten(2)
            factor = None if metric is None else metric[:, :, rows].flatten(2)
            dots, parts = [], []  # (x - o) g/N at each corner, for the flow and, times b, for the metric
            for k, (index, weight) in enumerate(corners):
                here = gradient.gather(2, index.expand_as(pixels))
                scale = factor if factor is None or largest is None else _exponential(factor, largest, index)
                if of_image is not None:
                    share = weight if scale is None else weight * scale
                    sums = of_image.flatten(2)[:, :, corners.span]
                    torch.mul(here, share, out=sums) if k == 0 else sums.addcmul_(here, share)
                if of_flow is None and of_metric is None:
                    continue
                dot = here.mul_(pixels).sum(1, keepdim=True)
                if at_output is not None:
                    dot -= at_output.gather(2, index)
                dots.append(dot if scale is None else dot * scale)
                parts.append(weight * (dot if largest is None else dots[-1]))
            if of_flow is not None:
                of_flow.flatten(2)[:, :, corners.span] = corners.slopes(dots)
            if of_metric is not None:
                of_metric.flatten(2)[:, :, corners.span] = torch.stack(parts).sum(0)
        return (None, of_image, of_flow, of_metric)[: len(ctx.needs_input_grad)]


def _gather(
    outer: Tensor,
    image: Tensor,
    flow: Tensor,
    metric: Tensor | None,
    output: Tensor | None,
    divisor: Tensor | None,
    of_image: Tensor | None,
    of_flow: Tensor | None,
    of_metric: Tensor | None,
) -> None:
    """Write the gradients of all modes but "softmax", by PyTorch's backward warp: splatting is its transpose.

    On a CPU that is faster than a gather for each corner. The warp takes positions from -1 to 1 over a map; with sides
    of 2^k + 1 pixels whole pixels stay whole, and slopes there stay those of the cell to the right and below.
    """
    channels, height, width = image.shape[1:]
    halves = [2 ** max(0, (side - 2).bit_length() - 1) for side in (width, height)]
    canvas = outer.new_empty(len(outer), channels + 1, *(2 * half + 1 for half in halves[::-1]))
    canvas[:, :, height : height + 2] = canvas[..., width : width + 2] = 0  # no position is farther
    gradient, at_output = canvas[:, :-1, :height, :width], canvas[:, -1:, :height, :width]  # g/N, o g/N
    gradient.copy_(outer) if divisor is None else torch.div(outer, divisor, out=gradient)
    if output is not None:
        torch.sum(gradient * output, dim=1, keepdim=True, out=at_output)
    x, y = _positions(flow, slice(0, height))
    grid = torch.cat((x.div_(halves[0]).sub_(1), y.div_(halves[1]).sub_(1)), dim=1).movedim(1, -1)
    del x, y
    if of_flow is not None:
        only_grid = [False, True]
        slopes = torch.ops.aten.grid_sampler_2d_backward(image, canvas[:, :-1], grid, 0, 0, True, only_grid)[1]
        if output is not None:
            ones = torch.ones_like(flow[:, :1])
            slopes -= torch.ops.aten.grid_sampler_2d_backward(ones, canvas[:, -1:], grid, 0, 0, True, only_grid)[1]
        for i, half in enumerate(halves):
            torch.mul(slopes[..., i], 1 / half if metric is None else metric[:, 0] / half, out=of_flow[:, i])
        del slopes
    if of_image is not None or of_metric is not None:
        warped = torch.grid_sampler_2d(canvas[:, :-1] if of_metric is None else canvas, grid, 0, 0, True)
        shares = warped[:, :channels]
        if of_metric is not None:
            torch.sum(shares * image, dim=1, keepdim=True, out=of_metric).sub_(warped[:, -1:])
        if of_image is not None:
            of_image.copy_(shares) if metric is None else torch.mul(shares, metric, out=of_image)


def _positions(flow: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
    """Where the pixels of some rows land, B 1 h w each: x, y. What is no number, or far outside, goes to the margin."""
    height, width = flow.shape[-2:]
    like: dict[str, Any] = {"device": flow.device, "dtype": flow.dtype}
    x = torch.arange(width, **like) + flow[:, :1, rows]
    y = torch.arange(rows.start, rows.stop, **like).unsqueeze(1) + flow[:, 1:, rows]
    return x.nan_to_num(nan=-COLUMNS).clamp(-COLUMNS, width), y.nan_to_num(nan=-ABOVE).clamp(-ABOVE, height)


def _is_warp_faster(image: Tensor) -> bool:
    """On a CPU. GPUs' gradients of a warp are not allowed under deterministic algorithms."""
    return image.device.type == "cpu"


def _chunks(image: Tensor) -> Iterator[slice]:
    """Samples that are worked on together: one for each thread, or what fits the cache."""
    step = max(torch.get_num_threads(), BLOCK // (2 * image[0].numel()))  # two maps at a time, of inputs and results
    for start in range(0, len(image), step):
        yield slice(start, start + step)


@dataclass
class _Corners:
    """Where a block of pixels lands: the four pixels around each position. Iterates over (index, weight), B 1 n."""

    cell: Tensor  # index of the top left corner in a map with a margin
    x: Tensor  # fraction of the position, from 0 to 1
    y: Tensor
    stride: int  # of a row in the map
    span: slice  # the pixels, of H * W

    @classmethod
    def of(cls, flow: Tensor, rows: slice) -> _Corners:
        width = flow.shape[-1]
        x, y = _positions(flow, rows)  # before any conversion to integers
        left, top = x.floor(), y.floor()
        stride = width + COLUMNS
        cell = torch.add(left.int(), top.int(), alpha=stride).long() + (ABOVE * stride + COLUMNS)
        span = slice(rows.start * width, rows.stop * width)
        return cls(cell.flatten(2), (x - left).flatten(2), (y - top).flatten(2), stride, span)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        x, y = self.x, self.y
        before_x, before_y = 1 - x, 1 - y
        yield self.cell, before_x * before_y
        yield self.cell + 1, x * before_y
        yield self.cell + self.stride, before_x * y
        yield self.cell + (self.stride + 1), x * y

    def slopes(self, values: list[Tensor]) -> Tensor:
        """The sum of four values (B 1 n) times the slopes of their weights in x and in y: B 2 n."""
        top_left, top_right, bottom_left, bottom_right = values
        of_x = torch.lerp(top_right - top_left, bottom_right - bottom_left, self.y)
        of_y = torch.lerp(bottom_left - top_left, bottom_right - top_right, self.x)
        return torch.cat((of_x, of_y), dim=1)


def _blocks(image: Tensor) -> Iterator[slice]:
    """Rows that are worked on together: on a CPU few enough for its cache, elsewhere all."""
    batch, channels, height, width = image.shape
    if image.device.type != "cpu" or torch.compiler.is_compiling():
        yield slice(0, height)
        return
    step = max(1, BLOCK // (batch * (channels + 1) * width))
    for start in range(0, height, step):
        yield slice(start, min(height, start + step))


def _largest(flow: Tensor, metric: Tensor) -> Tensor:
    """The largest metric of the pixels that arrive with a weight above zero, for each pixel of a map with a margin.

    Where none arrives it is 0. Softmax splatting does not change when one number is taken off all metrics that meet.
    """
    height, width = flow.shape[-2:]
    metric = metric.detach()
    largest = metric.new_full((len(flow), 1, (height + ROWS) * (width + COLUMNS)), -torch.inf)
    for index, weight in _Corners.of(flow.detach(), slice(0, height)):
        reaching = torch.where(weight > 0, metric.flatten(2), -torch.inf)
        largest.scatter_reduce_(2, index, reaching, "amax")
    return torch.where(largest > -torch.inf, largest, 0.0)


def _exponential(metric: Tensor, largest: Tensor, index: Tensor) -> Tensor:
    """e^(metric - largest): at most 1 where the pixel's weight is above zero."""
    return (metric - largest.gather(2, index)).clamp(max=LARGEST_EXPONENT).exp()


def _margined(outer: Tensor, output: Tensor | None, divisor: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """The outer gradient over the divisor, B C P, and its dot product with the output, B 1 P, with zeros around."""
    batch, channels, height, width = outer.shape
    shape = (height + ROWS, width + COLUMNS)
    gradient = outer.new_zeros(batch, channels, *shape)
    inside = gradient[:, :, ABOVE : ABOVE + height, COLUMNS:]
    if output is None or divisor is None:
        inside.copy_(outer)
        return gradient.flatten(2), None
    torch.div(outer, divisor, out=inside)
    at_output = outer.new_zeros(batch, 1, *shape)
    at_output[:, :, ABOVE : ABOVE + height, COLUMNS:] = (inside * output).sum(1, keepdim=True)
    return gradient.flatten(2), at_output.flatten(2)


def _inside(total: Tensor, height: int, width: int) -> Tensor:
    """A map without its margin: B C H W."""
    whole = total.unflatten(2, (height + ROWS, width + COLUMNS))
    return whole[:, :, ABOVE : ABOVE + height, COLUMNS:]


def _check(image: Tensor, flow: Tensor, metric: Tensor | None, mode: Mode) -> None:
    if mode not in get_args(Mode):
        raise UserError(f"mode={mode} is none of {', '.join(get_args(Mode))}")
    expected = (image.shape[0], 2, *image.shape[2:])
    if image.ndim != 4 or tuple(flow.shape) != expected:
        raise UserError(
            "splat takes an image B C H W and a flow B 2 H W of the same batch, height and width; "
            f"got {tuple(image.shape)} and {tuple(flow.shape)}"
        )
    if mode in ("sum", "average"):
        if metric is not None:
            raise UserError(f'splat has no use for a metric in mode "{mode}": leave it out, or take linear or softmax')
        return
    if metric is None:
        raise UserError(f'splat needs a metric in mode "{mode}": give one, B 1 H W, or take sum or average')
    if tuple(metric.shape) != (image.shape[0], 1, *image.shape[2:]):
        raise UserError(
            f"splat takes a metric of one channel, B 1 H W, for an image {tuple(image.shape)}; got "
            f"{tuple(metric.shape)}"
        )
