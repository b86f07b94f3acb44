"""Whether faster modes of a step give the same learning curve: python -m benchmarks.curve

The narrow network of each family on synthetic scenes, the first 300 steps of its recipe: eager float32, and the same
from the same weights on the same batches with what is faster: channels-last, bfloat16 autocast, both (with
--compile, torch.compile). The table has the mean loss of the first and the last fifty steps, and how far the smoothed
curve (means of 25 steps) ever is from that of float32. Channels-last only changes the order of sums: its distance
shows the effect of rounding on a curve.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from typing import Any

import torch

from benchmarks.results import write_section
from benchmarks.steps import Step, plan
from vfi_train.contract import Batch
from vfi_train.training.build import build_data

EXPERIMENTS = ("quickstart", "synthetic_amt", "synthetic_emavfi", "synthetic_atmvfi", "synthetic_rife")
WAYS = {
    "float32": ("32-true", ["module.channels_last=false"]),
    "float32, channels-last": ("32-true", ["module.channels_last=true"]),
    "bf16": ("bf16-mixed", ["module.channels_last=false"]),
    "bf16, channels-last": ("bf16-mixed", ["module.channels_last=true"]),
}


def main() -> None:
    """Train, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", nargs="+", default=list(EXPERIMENTS))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="on a CPU; without it all cores")
    parser.add_argument("--compile", action="store_true", help="torch.compile network and losses of a fifth way")
    parser.add_argument("--results", action="store_true", help="write the table into RESULTS.md")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    ways = WAYS | ({"compiled": ("32-true", ["module.compile=both"])} if given.compile else {})
    lines = [
        f"{given.steps} steps; milliseconds of processor time per step.",
        "",
        "| experiment | mode | loss of the first 50 | of the last 50 | largest distance from float32 | time |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for experiment in given.experiments:
        lines += rows(experiment, ways, given.steps, given.device)
        print("\n".join(lines[-len(ways) :]), flush=True)
    if given.results:
        write_section("curve", "Same learning curves", "\n".join(lines))


def rows(experiment: str, ways: dict[str, tuple[str, list[str]]], count: int, device: str) -> list[str]:
    """A row of the table for each way."""
    base = [f"experiment={experiment}", "data.num_workers=0", "data.val_samples=1"]
    data = build_data(plan(*base))
    data.setup()
    loader = itertools.chain.from_iterable(itertools.repeat(data.train_dataloader()))  # in case an epoch is shorter
    batches = [to_floats(data, batch, device) for batch in itertools.islice(loader, count)]
    steps = {way: Step(plan(*base, *overrides), batches[0], precision) for way, (precision, overrides) in ways.items()}
    curves: dict[str, list[float]] = {way: [] for way in steps}
    seconds: dict[str, list[float]] = {way: [] for way in steps}
    for batch in batches:
        for way, step in steps.items():
            step.batch = batch
            began = time.process_time()
            step.run(lambda part: None)
            seconds[way].append(time.process_time() - began)
            step.schedule.step()
            curves[way].append(step.loss.item())
    wanted = smoothed(curves["float32"])
    found = []
    for way, curve in curves.items():
        apart = max(abs(a / b - 1) for a, b in zip(smoothed(curve), wanted, strict=True))
        median = 1000 * statistics.median(seconds[way])
        ends = " | ".join(f"{statistics.mean(part):.5f}" for part in (curve[:50], curve[-50:]))
        found.append(f"| `{experiment}` | {way} | {ends} | {apart:.2%} | {median:.0f} |")
    return found


def to_floats(data: Any, batch: Any, device: str) -> Batch:
    """A batch of the loader as training sees it."""
    moved = {name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in batch.items()}
    return data.on_after_batch_transfer(moved, 0)


def smoothed(curve: list[float], width: int = 25) -> list[float]:
    return [statistics.mean(curve[i : i + width]) for i in range(0, len(curve) - width + 1, width)]


if __name__ == "__main__":
    main()
