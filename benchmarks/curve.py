"""Whether fast ways of computing a step learn alike: python -m benchmarks.curve

The quickstart's network on drawn scenes, 300 steps: eager float32, and beside it the same from the same weights on the
same batches with what is faster (channels-last; bfloat16 autocast; with --compile, torch.compile). The table has the
mean loss of the last fifty steps, and how far the smoothed curve (means of 25 steps) ever is from that of float32.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from typing import Any

import torch
from hydra.utils import instantiate

from benchmarks.results import write_section
from benchmarks.steps import Step
from vfi_train.config import compose_beside
from vfi_train.contract import Batch

WAYS = {
    "float32": ("32-true", ["module.channels_last=false"]),
    "float32, channels-last": ("32-true", ["module.channels_last=true"]),
    "bf16": ("bf16-mixed", ["module.channels_last=false"]),
    "bf16, channels-last": ("bf16-mixed", ["module.channels_last=true"]),
}


def main() -> None:
    """Train, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--model", default="ifrnet_tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true", help="torch.compile network and losses of a fifth way")
    parser.add_argument("--results", action="store_true", help="write the table into RESULTS.md")
    given = parser.parse_args()
    base = ["experiment=quickstart", f"model={given.model}", f"data.size={given.size}", "data.num_workers=0"]
    base += [f"data.batch_size={given.batch}", f"data.train_samples={given.batch * given.steps}", "data.val_samples=1"]
    ways = WAYS | ({"compiled": ("32-true", ["module.compile=both"])} if given.compile else {})
    data = instantiate(compose_beside(base, "train").data, _convert_="all")
    data.setup()
    batches = [to_floats(data, batch, given.device) for batch in itertools.islice(data.train_dataloader(), given.steps)]
    steps = {
        way: Step(compose_beside([*base, *overrides], "train"), batches[0], precision)
        for way, (precision, overrides) in ways.items()
    }
    curves: dict[str, list[float]] = {way: [] for way in steps}
    seconds: dict[str, list[float]] = {way: [] for way in steps}
    for batch in batches:
        for way, step in steps.items():
            step.batch = batch
            began = time.process_time()
            step.run(lambda part: None)
            seconds[way].append(time.process_time() - began)
            curves[way].append(step.loss.item())
    lines = [
        f"`{given.model}`, {given.steps} steps of {given.batch} crops of {given.size}.",
        "",
        "| way | loss | farthest from float32 | processor time of a step |",
        "| --- | --- | --- | --- |",
    ]
    wanted = smoothed(curves["float32"])
    for way, curve in curves.items():
        apart = max(abs(a / b - 1) for a, b in zip(smoothed(curve), wanted, strict=True))
        median = 1000 * statistics.median(seconds[way])
        lines.append(f"| {way} | {statistics.mean(curve[-50:]):.5f} | {apart:.2%} | {median:.0f} ms |")
    print("\n".join(lines))
    if given.results:
        write_section("curve", "Learning alike", "python -m benchmarks.curve --results", "\n".join(lines))


def to_floats(data: Any, batch: Any, device: str) -> Batch:
    """A batch of the loader as training sees it."""
    moved = {name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in batch.items()}
    done: Batch = data.on_after_batch_transfer(moved, 0)
    return done


def smoothed(curve: list[float], width: int = 25) -> list[float]:
    return [statistics.mean(curve[i : i + width]) for i in range(0, len(curve) - width + 1, width)]


if __name__ == "__main__":
    main()
