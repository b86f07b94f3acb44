"""Average splatting, forward and backward, ours and a plain scatter: python -m benchmarks.splat

The plain way is the formula written down with PyTorch's own operations: four weighted copies of the image are added up
by `scatter_add`, the weights as one more channel, and automatic differentiation does the rest. Both ways take turns in
one process; a ratio is the median of the rounds' ratios, above 1 where ours is better. Memory is what is held at the
worst moment beside the inputs, to the byte, by the profiler.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from benchmarks.results import table_row, write_section
from vfi_train.architectures.layers.splat import splat
from vfi_train.runtime.console import MIB

Way = Callable[[Tensor, Tensor], Tensor]
# Frames of a benchmark, of a training crop's batch and of 720p; EBME's context features at a crop of 256x256.
SHAPES = ((1, 3, 256, 448), (8, 3, 256, 256), (1, 3, 720, 1280), (8, 16, 128, 128), (8, 32, 64, 64), (8, 128, 16, 16))


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=4, action="append", metavar=("B", "C", "H", "W"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, help="on a CPU; without it all cores")
    parser.add_argument("--cpu-time", action="store_true", help="processor time instead of the clock's: busy machines")
    parser.add_argument("--json", type=Path, help="write the numbers there")
    parser.add_argument("--results", action="store_true", help="write the table into RESULTS.md")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    lines = [
        "| shape | plain (ms) | ours (ms) | times as fast | plain (MiB) | ours (MiB) | of its memory | difference |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    found = []
    for shape in given.shape or SHAPES:
        numbers = compare(tuple(shape), given.device, given.rounds, given.cpu_time)
        found.append(numbers)
        plain, ours = numbers["milliseconds"]
        held_plain, held_ours = numbers["mebibytes"]
        cells = ["x".join(map(str, shape)), f"{plain:.2f}", f"{ours:.2f}", f"**{numbers['faster']:.2f}**"]
        cells += [f"{held_plain:.1f}", f"{held_ours:.1f}", f"**{numbers['memory']:.2f}**"]
        lines.append(table_row(*cells, f"{numbers['difference']:.0e}"))
    print("\n".join(lines))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    if given.results:
        write_section("splat", "Splatting", "\n".join(lines))


def compare(shape: tuple[int, ...], device: str, rounds: int, cpu_time: bool) -> dict:
    """Both ways on one random image and a smooth flow of some pixels."""
    generator = torch.Generator().manual_seed(0)
    batch, _, height, width = shape
    image = torch.rand(shape, generator=generator)
    coarse = 5 * torch.randn(batch, 2, max(1, height // 8), max(1, width // 8), generator=generator)
    flow = F.interpolate(coarse, (height, width), mode="bilinear")
    inputs = [x.to(device) for x in (image, flow, torch.randn(shape, generator=generator))]
    first = [step(way, *inputs) for way in (plain_splat, splat)]
    difference = (first[0][0] - first[1][0]).abs().max().item()
    del first
    held = [peak(way, *inputs) for way in (plain_splat, splat)]
    taken: list[list[float]] = [[], []]
    for _ in range(rounds):
        for way, times in zip((plain_splat, splat), taken, strict=True):
            times.append(seconds(way, inputs, cpu_time))
    return {
        "shape": list(shape),
        "milliseconds": [1000 * statistics.median(times) for times in taken],
        "faster": statistics.median(plain / ours for plain, ours in zip(*taken, strict=True)),
        "mebibytes": [size / MIB for size in held],
        "memory": held[1] / held[0],
        "difference": difference,
    }


def step(way: Way, image: Tensor, flow: Tensor, upstream: Tensor) -> tuple[Tensor, ...]:
    """Output, gradients of image and flow."""
    leaves = [x.detach().requires_grad_() for x in (image, flow)]
    output = way(*leaves)
    return output.detach(), *torch.autograd.grad(output, leaves, upstream)


def plain_splat(image: Tensor, flow: Tensor) -> Tensor:
    """Average splatting, corner by corner."""
    height, width = image.shape[-2:]
    values = torch.cat((image, torch.ones_like(image[:, :1])), dim=1).flatten(2)
    x = torch.arange(width, device=flow.device) + flow[:, :1]
    y = torch.arange(height, device=flow.device).view(height, 1) + flow[:, 1:]
    left, top = x.floor(), y.floor()
    total = torch.zeros_like(values)
    for column, row in ((left, top), (left + 1, top), (left, top + 1), (left + 1, top + 1)):
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        weight = (1 - (x - column).abs()) * (1 - (y - row).abs()) * inside
        index = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).long()
        total = total.scatter_add(2, index.flatten(2).expand_as(values), values * weight.flatten(2))
    total = total.unflatten(2, (height, width))
    coverage = total[:, -1:]
    return total[:, :-1] / torch.where(coverage == 0, 1, coverage)


def seconds(way: Way, inputs: list[Tensor], cpu_time: bool) -> float:
    """Of one forward and backward pass."""
    now = time.process_time if cpu_time else time.perf_counter
    wait = torch.cuda.synchronize if inputs[0].is_cuda else lambda: None
    wait()
    began = now()
    step(way, *inputs)
    wait()
    return now() - began


def peak(way: Way, *inputs: Tensor) -> int:
    """Bytes that one pass holds at its worst moment, inputs left out."""
    if inputs[0].is_cuda:
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step(way, *inputs)
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        results = step(way, *inputs)
    del results
    events = sorted(profiler.profiler.kineto_results.events(), key=lambda event: event.start_ns())
    held = most = 0
    for event in events:
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most


if __name__ == "__main__":
    main()
