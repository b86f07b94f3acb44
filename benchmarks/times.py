"""Eight times from one encoding, against eight single calls: python -m benchmarks.times

What does not depend on the time is computed once. By multiply-accumulates (convolutions, matrix products, attention,
counted without computing anything) that bounds the gain; the rest of the table is measured: both ways take turns, the
fastest round of each counts. `batched` decodes all the times in one call of the network from the one encoding, as
`Interpolator(times_at_once=8)` does; on a CPU it needs memory that is kept from one call to the next (`memory kept`).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.results import table_row, write_section
from vfi_train.architectures import Architecture, create_model
from vfi_train.runtime.devices import keep_freed_memory

MODELS = ("ifrnet_s", "amt_s", "ema_vfi_small_t", "rife_m", "atm_vfi_lite_t")
WAYS = ("single", "shared", "batched")
TIMES = [k / 9 for k in range(1, 9)]


def main() -> None:
    """Count, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--size", type=int, nargs=2, default=(256, 448))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--threads", type=int, help="on a CPU; without it all cores")
    parser.add_argument("--cpu-time", action="store_true", help="processor time instead of the clock's: busy machines")
    parser.add_argument("--results", action="store_true", help="write the table into RESULTS.md")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    lines = [
        f"Frames of {given.size[1]}x{given.size[0]}; seconds for eight times.",
        "",
        "| model | bound | single | one encoding | gain | of the bound | batched | batched, memory kept |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    clock = time.process_time if given.cpu_time else time.perf_counter
    size = (given.size[0], given.size[1])
    found = {name: seconds(name, WAYS, size, given.device, given.rounds, clock) for name in given.models}
    if given.device == "cpu":
        keep_freed_memory()  # for good: the C library cannot be made to forget it
    kept = {name: seconds(name, ("batched",), size, given.device, given.rounds, clock) for name in given.models}
    for name, best in found.items():
        limit, gain = bound(name, size), best["single"] / min(best["shared"], best["batched"])
        cells = [f"`{name}`", f"{limit:.2f}", f"{best['single']:.3f}", f"{best['shared']:.3f}", f"**{gain:.2f}**"]
        cells += [f"{gain / limit:.0%}", f"{best['batched']:.3f}", f"{kept[name]['batched']:.3f}"]
        lines.append(table_row(*cells))
        print(lines[-1], flush=True)
    if given.results:
        write_section("times", "Eight times from one encoding", "\n".join(lines))


def seconds(
    name: str, ways: Sequence[str], size: tuple[int, int], device: str, rounds: int, clock: Callable[[], float]
) -> dict[str, float]:
    """The fastest call of each way."""
    torch.manual_seed(0)
    model = create_model(name).eval().to(device)
    if device == "cpu":
        model = model.to(memory_format=torch.channels_last)
    frames = [torch.rand(1, 3, *size, device=device) for _ in range(2)]
    if device == "cpu":
        frames = [frame.contiguous(memory_format=torch.channels_last) for frame in frames]
    calls = {"single": single, "shared": shared, "batched": batched}
    best = dict.fromkeys(ways, float("inf"))
    with torch.inference_mode():
        expected = single(model, *frames)
        for way in ways:
            assert torch.allclose(calls[way](model, *frames), expected, atol=1e-4), f"{name}: {way} differs"
        for _ in range(rounds):
            for way in ways:
                began = read(device, clock)
                calls[way](model, *frames)
                best[way] = min(best[way], read(device, clock) - began)
    return best


def single(model: Architecture, frame0: Tensor, frame1: Tensor) -> Tensor:
    """One call for each time."""
    return torch.cat([model(frame0, frame1, at).frame for at in TIMES])


def shared(model: Architecture, frame0: Tensor, frame1: Tensor) -> Tensor:
    """One encoding, decoded for one time after the other."""
    encoding = model.encode(frame0, frame1)
    return torch.cat([model.decode(encoding, time_tensor([at], frame0)).frame for at in TIMES])


def batched(model: Architecture, frame0: Tensor, frame1: Tensor) -> Tensor:
    """One encoding, decoded for all times in one call."""
    return model.decode(model.encode(frame0, frame1).repeated(len(TIMES)), time_tensor(TIMES, frame0)).frame


def time_tensor(times: list[float], like: Tensor) -> Tensor:
    return torch.tensor(times, device=like.device, dtype=like.dtype).view(-1, 1, 1, 1)


def bound(name: str, size: tuple[int, int]) -> float:
    """The gain if only multiply-accumulates took time."""

    def count(do: Callable[[Architecture, Tensor], object]) -> int:
        model, fakes = create_model(name).eval(), FakeTensorMode(allow_non_fake_inputs=True)
        with fakes, torch.no_grad(), FlopCounterMode(display=False) as counter:
            do(model, torch.rand(1, 3, *size))
            return int(counter.get_total_flops())

    whole = count(lambda model, frame: model(frame, frame, time_tensor([0.5], frame)))
    encoding = count(lambda model, frame: model.encode(frame, frame))
    return len(TIMES) * whole / (encoding + len(TIMES) * (whole - encoding))


def read(device: str, clock: Callable[[], float]) -> float:
    if device != "cpu":
        torch.cuda.synchronize()
    return clock()


if __name__ == "__main__":
    main()
