"""What torch.compile gains a training step, and whether it compiles once: python -m benchmarks.compiled

The recipe's step eager and with `module.compile=both`, in turns on one batch, and how many graphs were made in the
first step and in all that follow, whose batches change. Compiling takes minutes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

import torch
from torch._dynamo.utils import counters

from benchmarks.results import table_row, write_section
from benchmarks.steps import RECIPES, SMALL, Step, draw_batch, recipe
from benchmarks.worker import Clock
from vfi_train.runtime.devices import keep_freed_memory


def main() -> None:
    """Compile, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(SMALL), choices=list(RECIPES))
    parser.add_argument("--what", default="both", choices=["network", "losses", "both", "cuda_graphs"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="32-true", choices=["32-true", "bf16-mixed"])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--results", action="store_true", help="write the table into RESULTS.md")
    given = parser.parse_args()
    lines = [
        f"Batches of {given.batch}, precision {given.precision}, compiled: {given.what}, threads: "
        f"{torch.get_num_threads()} (load average {os.getloadavg()[0]:.1f}). Seconds of a step; the first one "
        "is quick where inductor's cache has its kernels from an earlier run.",
        "",
        "| recipe | eager | compiled | gain | graphs of the first step | of all others | first step |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    if given.device == "cpu":
        keep_freed_memory()
    for name in given.models:
        lines.append(row(name, given))
        print(lines[-1], flush=True)
        if given.results:  # after each row, so that a run that is ended has written what it measured
            write_section("compiled", "torch.compile", "\n".join(lines))


def row(name: str, given: argparse.Namespace) -> str:
    """A line of the table."""
    torch._dynamo.reset()
    counters.clear()
    batches = [draw_batch(recipe(name), given.batch, None, given.device, seed) for seed in range(2)]
    eager = Step(recipe(name), batches[0], given.precision)
    compiled = Step(recipe(name, f"module.compile={given.what}"), batches[0], given.precision)
    clock, began = Clock(given.device, processor_time=False), time.perf_counter()
    compiled.run(lambda part: None)
    first, graphs = time.perf_counter() - began, counters["stats"]["unique_graphs"]
    for step in (eager, compiled, eager, compiled):
        step.run(lambda part: None)
    seconds: dict[str, list[float]] = {"eager": [], "compiled": []}
    for number in range(given.rounds):
        for way, step in (("eager", eager), ("compiled", compiled)):
            step.batch = batches[number % 2]
            seconds[way].append(clock.parts(step)["whole"])
    medians = {way: statistics.median(values) for way, values in seconds.items()}
    return table_row(
        f"`{RECIPES[name]}`",
        *(f"{medians[way]:.4f}" for way in medians),
        f"**{statistics.median(e / c for e, c in zip(*seconds.values(), strict=True)):.2f}**",
        f"{graphs}",
        f"{counters['stats']['unique_graphs'] - graphs}",
        f"{first:.0f} s",
    )


if __name__ == "__main__":
    main()
