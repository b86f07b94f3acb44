"""What the check of coordinates in `warp` costs, forward and backward: python -m benchmarks.warp

Both ways take turns in one process, as in `benchmarks.splat`; without the check is the same warp, the published one.
"""

from __future__ import annotations

import argparse
import statistics

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.results import table_row, write_section
from benchmarks.splat import peak, seconds, step
from vfi_train.architectures.layers.warp import warp

# A crop's batch, a frame of 720p, features of an encoder.
SHAPES = ((8, 3, 224, 224), (1, 3, 720, 1280), (8, 32, 112, 112), (8, 128, 28, 28))


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--cpu-time", action="store_true", help="processor time instead of the clock's: busy machines")
    parser.add_argument("--results", action="store_true", help="write the table into RESULTS.md")
    given = parser.parse_args()
    lines = ["| shape | unchecked (ms) | ours (ms) | time | memory | bits differ |", "| --- " * 6 + "|"]
    for shape in SHAPES:
        generator = torch.Generator().manual_seed(0)
        image, upstream = (torch.randn(shape, generator=generator) for _ in range(2))
        flow = 5 * torch.randn(shape[0], 2, *shape[2:], generator=generator)
        inputs = [image, flow, upstream]
        plain, ours = step(unchecked, *inputs), step(warp, *inputs)
        differs = "no" if all(torch.equal(a, b) for a, b in zip(plain, ours, strict=True)) else "YES"
        times = [[seconds(way, inputs, given.cpu_time) for way in (unchecked, warp)] for _ in range(given.rounds)]
        before, after = (1000 * statistics.median(column) for column in zip(*times, strict=True))
        ratio = statistics.median(b / a for a, b in times)
        memory = peak(warp, *inputs) / peak(unchecked, *inputs)
        cells = ["x".join(map(str, shape)), f"{before:.1f}", f"{after:.1f}", f"{ratio:.2f}", f"{memory:.2f}", differs]
        lines.append(table_row(*cells))
    print("\n".join(lines))
    if given.results:
        write_section("warp", "Coordinates that are checked", "\n".join(lines))


def unchecked(image: Tensor, flow: Tensor) -> Tensor:
    """`warp` without the check."""
    height, width = flow.shape[-2:]
    y = torch.linspace(-1, 1, height, device=flow.device).view(1, height, 1)
    x = torch.linspace(-1, 1, width, device=flow.device).view(1, 1, width)
    grid_x = x + flow[:, 0] * (2 / max(width - 1, 1))
    grid_y = y + flow[:, 1] * (2 / max(height - 1, 1))
    grid = torch.stack((grid_x, grid_y), dim=-1)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=True)


if __name__ == "__main__":
    main()
