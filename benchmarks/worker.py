"""A training step in a process of its own, whose memory is laid out as in a training that does nothing else."""

from __future__ import annotations

import argparse
import multiprocessing
import time
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.peak import peak_resident, peaks
from benchmarks.steps import PlainStep, Step, draw_batch, recipe
from vfi_train.runtime.devices import keep_freed_memory

OURS, PLAIN, KEPT, CHECKPOINTED = "ours", "plain", "plain, memory kept", "ours, checkpointed"
PRODUCTS = ("convolution", "conv2d", "aten::mm", "aten::bmm", "addmm", "scaled_dot_product", "attention")


class Worker:
    """Executes requests one at a time.

    Args:
        way: OURS, PLAIN, KEPT or CHECKPOINTED. On a CPU all but PLAIN keep freed memory for the next step, as our
            training does; PLAIN keeps the C library's defaults, which cannot be restored once changed.
        model: a name of `RECIPES`.
        given: arguments of `train_step`.
    """

    def __init__(self, way: str, model: str, given: argparse.Namespace) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.connection, theirs = spawn.Pipe()
        self.process = spawn.Process(target=serve, args=(theirs, way, model, given), daemon=True)
        self.process.start()
        theirs.close()  # so that a process that dies is noticed

    def ask(self, what: str) -> Any:
        """What to measure.

        `first`: loss and gradient norm of a first step, after which two more are done. `resident`: the process's peak
        so far, bytes. `parts`: seconds. `peaks`: bytes of tensors. `products`: a share.
        """
        self.connection.send(what)
        return self.connection.recv()

    def close(self) -> None:
        self.connection.send(None)
        self.process.join()


def serve(connection: Any, way: str, model: str, given: argparse.Namespace) -> None:
    """The process."""
    if given.threads:
        torch.set_num_threads(given.threads)
    if given.device == "cpu" and way != PLAIN:
        keep_freed_memory()
    step, clock = make_step(way, model, given), Clock(given.device, given.cpu_time)

    def first() -> tuple[float, float]:
        step.run(lambda part: None)
        found = step.loss.item(), step.norm.item()
        for _ in range(2):  # memory as it is in the middle of a training
            step.run(lambda part: None)
        return found

    results = {
        "first": first,
        "parts": lambda: clock.parts(step),
        "resident": peak_resident,
        "peaks": lambda: peaks(step),
        "products": lambda: share_of_products(step),
    }
    while (what := connection.recv()) is not None:
        connection.send(results[what]())


def make_step(way: str, model: str, given: argparse.Namespace) -> Step:
    """The step of a way, on the batch that all ways share."""
    batch = draw_batch(recipe(model), given.batch, given.size, given.device)
    if way in (PLAIN, KEPT):
        return PlainStep(recipe(model), batch)
    switches = [f"module.channels_last={given.channels_last}", f"module.compile={given.compile}"]
    checkpointing = f"module.checkpointing={str(way == CHECKPOINTED).lower()}"
    return Step(recipe(model, checkpointing, *switches), batch, given.precision)


class Clock:
    """Seconds of a step's parts."""

    def __init__(self, device: str, processor_time: bool) -> None:
        self.on_gpu = device.startswith("cuda")
        self.now = time.process_time if processor_time else time.perf_counter

    def parts(self, step: Step) -> dict[str, float]:
        """Of one step, and its "whole"."""
        found, began = {}, self._read()

        def mark(part: str) -> None:
            nonlocal began
            now = self._read()
            found[part], began = now - began, now

        step.run(mark)
        return {**found, "whole": sum(found.values())}

    def _read(self) -> float:
        if self.on_gpu:
            torch.cuda.synchronize()
        return self.now()


def share_of_products(step: Step) -> float:
    """What part of a step's time on the CPU goes to convolutions and matrix products."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        step.run(lambda part: None)
    events = profiler.key_averages()
    products = [e for e in events if e.key.startswith("aten::") and any(name in e.key for name in PRODUCTS)]
    return float(sum(e.self_cpu_time_total for e in products) / sum(e.self_cpu_time_total for e in events))
