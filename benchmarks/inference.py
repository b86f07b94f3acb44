"""What makes a frame cheaper: layout, autocast, torch.compile, tiles: python -m benchmarks.inference

Milliseconds of the middle frame in each mode of `python -m vfi_train.profile`, a row for each network; then a large
frame whole and in tiles: time, counted memory, and how far the pictures are apart.
"""

from __future__ import annotations

import argparse
import time

import torch

from benchmarks.results import write_section
from benchmarks.steps import texture
from vfi_train.architectures import create_model
from vfi_train.cost import peak_memory
from vfi_train.devices import find_device
from vfi_train.interpolator import Interpolator
from vfi_train.profile import measure, parse_mode

MODELS = ("ifrnet_s", "amt_s", "ema_vfi_small_t", "rife_m", "atm_vfi_lite_t")
MODES = ("eager", "channels_last", "bf16", "channels_last+bf16", "compiled", "channels_last+compiled")
MIB = 2**20


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
    lines = [
        f"Milliseconds of a frame of {size[1]}x{size[0]}, medians of {given.repeats}.",
        "",
        "| model | " + " | ".join(given.modes) + " |",
        "| --- " * (len(given.modes) + 1) + "|",
    ]
    for name in given.models:
        found = [
            measure(name, create_model(name), size, parse_mode(mode), device, 1, 3, given.repeats)
            for mode in given.modes
        ]
        cells = [row.failure or f"{row.milliseconds:.0f}" for row in found]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    lines += ["", *tiles(given, device)]
    if given.results:
        write_section("inference", "A frame's cost", "\n".join(lines))


def tiles(given: argparse.Namespace, device: torch.device) -> list[str]:
    """A table of what a large frame costs a small network that knows motion; textures move by eight pixels."""
    height, width = given.large
    model = Interpolator("ifrnet_s", weights="ifrnet_s_synthetic", device=device).model
    wide = texture(1, max(height, width) + 8, torch.Generator().manual_seed(0)).to(device)
    frames = [wide[..., shift : shift + height, shift : shift + width] for shift in (0, 8)]
    lines = [
        f"`ifrnet_s`, a frame of {width}x{height}:",
        "",
        "| frame | seconds | memory (MiB) | mean difference | largest difference |",
        "| --- | --- | --- | --- | --- |",
    ]
    whole = None
    for label, tile in (("whole", None), (f"tiles of {given.tile}", given.tile)):
        asked = Interpolator(model, tile=tile)
        with torch.inference_mode():
            asked.predict(frames[0], frames[1])
            began = time.perf_counter()
            answer = asked.predict(frames[0], frames[1]).frame
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds = time.perf_counter() - began
        memory = peak_memory(model, lambda *pair, asked=asked: asked.predict(*pair), (height, width)) / MIB  # type: ignore[misc]
        difference = None if whole is None else (answer - whole).abs()
        apart = " | " if difference is None else f"{difference.mean().item():.1e} | {difference.max().item():.1e}"
        whole = answer if whole is None else whole
        lines.append(f"| {label} | {seconds:.2f} | {memory:,.0f} | {apart} |")
        print(lines[-1], flush=True)
    return lines


if __name__ == "__main__":
    main()
