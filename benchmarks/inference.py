"""What makes a frame cheaper: kept memory, layout, autocast, torch.compile, tiles: python -m benchmarks.inference

Milliseconds of the middle frame in each mode of `python -m vfi_train.profile`, a row for each network; then a large
frame in full and in tiles: time, counted memory, and how far the images are apart. On a CPU freed memory is
kept for the next frame, as `interpolate` does where there is room, but for the columns that say otherwise.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

from benchmarks.results import table_row, write_section
from benchmarks.steps import texture
from vfi_train.architectures import create_model
from vfi_train.inference.interpolator import Interpolator
from vfi_train.profile.command import measure, parse_mode, time_calls
from vfi_train.profile.inference_cost import peak_memory
from vfi_train.runtime.console import MIB
from vfi_train.runtime.devices import find_device, keep_freed_memory

MODELS = ("ifrnet_s", "amt_s", "ema_vfi_small_t", "rife_m", "atm_vfi_lite_t")
MODES = ("eager", "channels_last", "bf16", "channels_last+bf16", "compiled", "channels_last+compiled")
LARGE = "ifrnet_s"


def main() -> None:
    """Measure, print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--modes", nargs="+", default=list(MODES))
    parser.add_argument("--size", type=int, nargs=2, default=(256, 448))
    parser.add_argument("--large", type=int, nargs=2, default=(1080, 1920), help="the frame for tiles")
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--results", action="store_true", help="write the tables into RESULTS.md")
    given = parser.parse_args()
    device, size = find_device(given.device), (given.size[0], given.size[1])
    first = given.modes[0]
    lines = [
        f"Milliseconds of a frame of {size[1]}x{size[0]}, medians of {given.repeats}.",
        "",
        table_row("model", f"{first}, memory not kept", *given.modes),
        table_row(*["---"] * (len(given.modes) + 2)),
    ]

    def cell(name: str, mode: str) -> str:
        row = measure(name, create_model(name), size, parse_mode(mode), device, 1, 3, given.repeats)
        return row.failure or f"{row.milliseconds:.1f}"

    before = {name: cell(name, first) for name in given.models}
    before_large, *_ = large(given, device, None)
    if device.type == "cpu":
        keep_freed_memory()
    for name in given.models:
        lines.append(table_row(f"`{name}`", before[name], *(cell(name, mode) for mode in given.modes)))
        print(lines[-1], flush=True)
    lines += ["", *tiles(given, device, before_large)]
    if given.results:
        write_section("inference", "A frame's cost", "\n".join(lines))


def tiles(given: argparse.Namespace, device: torch.device, before: float) -> list[str]:
    """A table of what a large frame costs a small network that knows motion; textures move by eight pixels."""
    height, width = given.large
    lines = [
        f"`{LARGE}`, a frame of {width}x{height}:",
        "",
        "| frame | seconds, memory not kept | seconds | memory (MiB) | mean difference | largest difference |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    seconds, memory, full = large(given, device, None)
    lines.append(f"| full | {before:.3f} | {seconds:.3f} | {memory:,.0f} |  |  |")
    seconds, memory, prediction = large(given, device, given.tile)
    apart = (prediction - full).abs()
    differences = f"{apart.mean().item():.1e} | {apart.max().item():.1e}"
    lines.append(f"| tiles of {given.tile} |  | {seconds:.3f} | {memory:,.0f} | {differences} |")
    print("\n".join(lines[-2:]), flush=True)
    return lines


def large(given: argparse.Namespace, device: torch.device, tile: int | None) -> tuple[float, float, Tensor]:
    """Seconds of a large frame, the second of two; MiB that are counted for it; and the frame."""
    tiled = Interpolator(LARGE, weights=f"{LARGE}_synthetic", device=device, tile=tile)
    height, width = given.large
    wide = texture(1, max(height, width) + 8, torch.Generator().manual_seed(0)).to(device)
    frame0, frame1 = (wide[..., shift : shift + height, shift : shift + width] for shift in (0, 8))
    frames: list[Tensor] = []
    with torch.inference_mode():
        _, seconds = time_calls(lambda: frames.append(tiled.predict(frame0, frame1).frame), 1, 1, device)
    memory = peak_memory(tiled.model, lambda *pair: tiled.predict(*pair), (height, width))
    return seconds, memory / MIB, frames[-1]


if __name__ == "__main__":
    main()
