"""Where a training step's time goes, operator by operator: python -m benchmarks.operators [--results]

For every family its published recipe, ours, on one thread with freed memory kept: each operator's processor time, the
least of some steps. Convolutions and matrix products bound what the rest can gain: a step without the rest would be
`bound` times as fast.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.results import write_section
from benchmarks.steps import RECIPES, Step, draw_batch, recipe
from vfi_train.runtime.devices import keep_freed_memory

# A kind is the first one of whose words the operator's name holds.
KINDS = {
    "convolutions": ("convolution",),
    "matrix products": ("mm.", "scaled_dot_product"),
    "sampling": ("grid_sampler", "upsample", "gather", "scatter"),
    "PReLU": ("prelu", "threshold_backward", "addcmul", "sub.out"),
    "optimizer": ("_fused_adamw", "_foreach"),
    "norms, softmax": ("norm.", "norm_backward", "softmax", "gelu", "batch_norm"),
    "joins, copies": ("cat.", "clone.", "copy", "slice_backward", "roll", "stack", "pixel_"),
}
MODELS = ("ifrnet_s", "amt_s", "ema_vfi_small", "atm_vfi_lite", "rife")


class Operators(TorchDispatchMode):
    """Notes the name and the processor time of each operator, the backward pass's too."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[tuple[str, float]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call the operator between two looks at the clock."""
        began = time.process_time()
        result = func(*args, **(kwargs or {}))
        self.times.append((str(func).removeprefix("aten."), time.process_time() - began))
        return result


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(RECIPES))
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--results", action="store_true", help="write the table into RESULTS.md")
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    kinds = [*KINDS, "other"]
    lines = [f"| recipe | ms | {' | '.join(kinds)} | bound |", "| --- " * (len(kinds) + 3) + "|"]
    for name in given.models:
        times = measure(name, given.batch, given.steps)
        whole = sum(times.values())
        shares = {kind: times[kind] / whole for kind in kinds}
        bound = 1 / (shares["convolutions"] + shares["matrix products"])
        cells = [
            f"`{RECIPES[name]}`",
            f"{1000 * whole:.0f}",
            *(f"{shares[kind]:.0%}" for kind in kinds),
            f"{bound:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    text = "\n".join(lines)
    if given.results:
        intro = f"Batches of {given.batch} on one thread, processor time (load average {os.getloadavg()[0]:.1f})."
        write_section("operators", "Training step, what bounds it", f"{intro}\n\n{text}")


def measure(name: str, batch: int, steps: int) -> Counter[str]:
    """Seconds by kind of operator."""
    step = Step(recipe(name), draw_batch(recipe(name), batch, None, "cpu"))
    for _ in range(2):
        step.run(lambda part: None)
    runs = []
    for _ in range(steps):
        with Operators() as found:
            step.run(lambda part: None)
        runs.append(found.times)
    total: Counter[str] = Counter()
    for same in zip(*runs, strict=True):  # the same operator in each step
        total[kind_of(same[0][0])] += min(seconds for _, seconds in same)
    return total


def kind_of(operator: str) -> str:
    """The kind in `KINDS` of an operator's name, as `convolution_backward.default`; else "other"."""
    return next((kind for kind, words in KINDS.items() if any(word in operator for word in words)), "other")


if __name__ == "__main__":
    main()
