"""How the cost of a training step grows with crop, batch and processes: python -m benchmarks.growth

Time and peak memory of one family's step, and samples per second over processes that share the batch (DDP by gloo on a
CPU, by NCCL on GPUs). Draws docs/images/growth.png.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import multiprocessing
from torch.nn.parallel import DistributedDataParallel

from benchmarks.peak import peaks
from benchmarks.steps import RECIPES, Step, draw_batch, recipe
from benchmarks.worker import Clock
from vfi_train.runtime.console import MIB
from vfi_train.runtime.devices import keep_freed_memory

PLOT = Path(__file__).parents[1] / "docs" / "images" / "growth.png"


def main() -> None:
    """Measure and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ifrnet_s", choices=list(RECIPES))
    parser.add_argument("--crops", type=int, nargs="+", default=[128, 192, 256, 320])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the numbers there")
    parser.add_argument("--plot", type=Path, default=PLOT)
    given = parser.parse_args()
    found = {
        "crop": {side: cost(given, 2, side) for side in given.crops},
        "batch": {batch: cost(given, batch, 192) for batch in given.batches},
        "processes": {count: together(given, count) for count in given.processes},
    }
    print(json.dumps(found, indent=1))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    draw(found, given.model, given.plot)


def cost(given: argparse.Namespace, samples: int, side: int) -> dict[str, float]:
    """Seconds and MiB of a step."""
    step = Step(recipe(given.model), draw_batch(recipe(given.model), samples, side, given.device))
    clock = Clock(given.device, processor_time=False)
    if given.device == "cpu":
        keep_freed_memory()
    for _ in range(2):
        step.run(lambda part: None)
    seconds = statistics.median(clock.parts(step)["whole"] for _ in range(given.rounds))
    return {"seconds": seconds, "memory": peaks(step)["whole"] / MIB}


def together(given: argparse.Namespace, count: int) -> dict[str, float]:
    """Samples per second of `count` processes, which share cores and a batch of four."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    results = multiprocessing.get_context("spawn").SimpleQueue()
    multiprocessing.spawn(work, (count, port, given, results), nprocs=count)
    return {"samples_per_second": 4 / results.get()}


def work(rank: int, count: int, port: int, given: argparse.Namespace, results: Any) -> None:
    """One process."""
    on_gpu = given.device.startswith("cuda")
    device = f"cuda:{rank}" if on_gpu else "cpu"
    if on_gpu:
        torch.cuda.set_device(rank)
    else:
        torch.set_num_threads(max(1, torch.get_num_threads() // count))
        keep_freed_memory()
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("nccl" if on_gpu else "gloo", address, rank=rank, world_size=count)
    step = Step(recipe(given.model), draw_batch(recipe(given.model), 4 // count, 192, device))
    unused = not all(p.requires_grad for p in step.module.architecture.parameters())
    network = DistributedDataParallel(step.module.architecture, find_unused_parameters=unused)
    step.module.compiled["network"] = network
    for _ in range(2):
        step.run(lambda part: None)
    times = []
    for _ in range(given.rounds):
        dist.barrier()
        began = time.perf_counter()
        step.run(lambda part: None)
        if on_gpu:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    if rank == 0:
        results.put(statistics.median(times))
    dist.destroy_process_group()


def draw(found: dict[str, Any], model: str, path: Path) -> None:
    """Three panels: crop, batch, processes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 3, figsize=(10, 3))
    for axes, (key, title) in zip(
        panels, (("crop", "side of the crop, batch 2"), ("batch", "batch, crop 192")), strict=False
    ):
        places = list(found[key])
        x = [side**2 for side in places] if key == "crop" else places
        axes.plot(x, [found[key][place]["seconds"] for place in places], "o-", color="#4c78a8")
        axes.set_xticks(x, [str(place) for place in places])
        axes.set_xlabel(title)
        axes.set_ylabel("seconds", color="#4c78a8")
        memory = axes.twinx()
        memory.plot(x, [found[key][place]["memory"] for place in places], "s--", color="#f58518")
        memory.set_ylabel("MiB", color="#f58518")
        axes.set_ylim(bottom=0)
        memory.set_ylim(bottom=0)
    counts = list(found["processes"])
    panels[2].bar([str(c) for c in counts], [found["processes"][c]["samples_per_second"] for c in counts], 0.5)
    panels[2].set_xlabel("processes on the same cores, batch 4 in all")
    panels[2].set_ylabel("samples/s")
    figure.suptitle(model)
    figure.tight_layout()
    figure.savefig(path, dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    main()
