"""The most memory that a training step holds, part by part, to the byte."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks.steps import PARTS, Step


def peaks(step: Step) -> dict[str, int]:
    """Bytes held at the worst moment of each part, and of all ("whole").

    On a CPU every allocation and release is followed by the profiler; weights, the optimizer's memory and the batch
    are counted as they are. What the convolutions' library keeps for itself is not seen. On a GPU CUDA's allocator
    says it.
    """
    device = step.batch["frame0"].device
    found = _on_gpu(step, device) if device.type == "cuda" else _on_cpu(step)
    return {**found, "whole": max(found.values())}


def peak_resident() -> int:
    """The most bytes of the machine's memory that this process has held: tensors, libraries, what they keep (Linux)."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


def _on_gpu(step: Step, device: torch.device) -> dict[str, int]:
    found: dict[str, int] = {}

    def mark(part: str) -> None:
        found[part] = torch.cuda.max_memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)

    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats(device)
    step.run(mark)
    return found


def _on_cpu(step: Step) -> dict[str, int]:
    def mark(part: str) -> None:
        with record_function(f"end of {part}"):
            pass

    step.optimizer.zero_grad()
    held = _held(step)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step.run(mark)
    events = sorted(profiler.profiler.kineto_results.events(), key=lambda event: event.start_ns())  # type: ignore[union-attr]
    parts, found, most = iter(PARTS), {}, held
    for event in events:
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
        elif event.name().startswith("end of "):
            found[next(parts)], most = most, held
    return found


def _held(step: Step) -> int:
    states = [value for state in step.optimizer.state.values() for value in state.values()]
    everything = [*step.module.parameters(), *step.module.buffers(), *step.batch.values(), *states]
    return sum(t.numel() * t.element_size() for t in everything if isinstance(t, torch.Tensor))
