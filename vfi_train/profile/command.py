"""`python -m vfi_train.profile`: parameters, operations, memory and time of networks, as a table and a plot."""

from __future__ import annotations

import csv
import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import torch
from omegaconf import DictConfig

from datamodules.storage.atomic_write import atomic_file, write_text
from vfi_train.architectures import Architecture
from vfi_train.architectures.base import count_parameters
from vfi_train.config.build_network import build_network
from vfi_train.config.read_settings import parse_size, read_settings
from vfi_train.config.selection import chosen, configured
from vfi_train.errors import UserError, first_line, make_folder, nearest, no_empty_folders
from vfi_train.inference.padding import padded_size
from vfi_train.profile.inference_cost import multiply_accumulates, peak_memory
from vfi_train.ranges import Limit, Names, Natural, Positive
from vfi_train.runtime.console import MIB
from vfi_train.runtime.devices import find_device, keep_freed_memory

PARTS = ("channels_last", "bf16", "fp16", "compiled")  # of a mode
HEADINGS = (
    "model", "parameters (M)", "size", "GMACs", "mode", "ms per frame", "spread (ms)", "first run (s)", "memory (MiB)",
)  # fmt: skip
Sizes = Annotated[list[Any], Limit("of one or more", bool)]


@dataclass(frozen=True)
class Row:
    """The cost of one network for one size in one mode.

    `milliseconds` is the median per frame, `low` and `high` are the quartiles; `first` is the first run's seconds.
    `memory` is in MiB with parameters: measured on a GPU, counted on a CPU (see `peak_memory`). `failure` says why
    nothing was measured.
    """

    model: str
    parameters: int
    size: tuple[int, int]
    macs: int
    mode: str
    milliseconds: float | None = None
    low: float | None = None
    high: float | None = None
    first: float | None = None
    memory: float | None = None
    failure: str = ""

    def cells(self) -> list[str]:
        """The row of the table."""
        size = "x".join(map(str, self.size))
        known = [self.model, f"{self.parameters / 1e6:.2f}", size, f"{self.macs / 1e9:.1f}", self.mode]
        if self.milliseconds is None:
            return [*known, self.failure, "", "", ""]
        spread = f"{self.low:.1f} to {self.high:.1f}"
        return [*known, f"{self.milliseconds:.1f}", spread, f"{self.first:.1f}", f"{self.memory:.0f}"]


@dataclass(frozen=True)
class Settings:
    """The keys of conf/profile.yaml, which explains them."""

    sizes: Sizes
    modes: Names
    batch: Positive
    device: str
    threads: Positive | None
    warmup: Natural
    repeats: Positive
    output: str | None


def profile(config: DictConfig) -> list[Row]:
    """Measure the networks of `model=` at `config.sizes` in `config.modes`; see conf/profile.yaml."""
    names = chosen("model")
    if not names:
        raise UserError("there is nothing to measure: give model=NAME, model=[NAME,NAME] or model=amt*")
    return measure_all({name: partial(_build, name) for name in names}, config)


def measure_all(models: Mapping[str, Callable[[], Architecture]], config: DictConfig) -> list[Row]:
    """Measure networks, by name; print rows as they are measured, and write the table to `config.output`."""
    s = read_settings(Settings, config)
    sizes, modes = [parse_size(size, f"sizes: {size}") for size in s.sizes], [parse_mode(mode) for mode in s.modes]
    device = find_device(s.device)
    output = None if s.output is None else Path(s.output).expanduser()
    if device.type == "cpu":
        keep_freed_memory()
    rows: list[Row] = []
    with no_empty_folders(*([] if output is None else [output.parent])), _threads(s.threads):
        if output is not None:
            make_folder(output.parent, "output")
        print(f"on {describe(device)}, {s.batch} pairs per run, {s.repeats} runs after {s.warmup}")
        print(_line(HEADINGS), _line(["---"] * len(HEADINGS)), sep="\n", flush=True)
        for (name, make), size, mode in product(models.items(), sizes, modes):
            rows.append(measure(name, make(), size, mode, device, s.batch, s.warmup, s.repeats))
            print(_line(rows[-1].cells()), flush=True)
        if output is not None:
            write(rows, output, describe(device))
    return rows


def measure(
    name: str,
    model: Architecture,
    size: tuple[int, int],
    mode: tuple[str, ...],
    device: torch.device,
    batch: int,
    warmup: int,
    repeats: int,
) -> Row:
    """One row: the network predicts the middle frame of noise, padded as it requires.

    Args:
        name: for the table.
        model: the network; its weights do not matter.
        size: height and width of the frames.
        mode: some of "channels_last", "bf16" or "fp16" (autocast), "compiled"; none of them is eager float32.
        device: of the network.
        batch: pairs per run.
        warmup: runs before those that are measured.
        repeats: runs that are measured.
    """
    model.eval().to(device)
    row = Row(name, count_parameters(model), size, multiply_accumulates(model, size), "+".join(mode) or "eager")
    layout = torch.channels_last if "channels_last" in mode else torch.contiguous_format
    model.to(memory_format=layout)  # type: ignore[call-overload]
    padded = padded_size(size, model)
    call: Callable[..., Any] = torch.compile(model) if "compiled" in mode else model
    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(next((p for p in mode if p in ("bf16", "fp16")), ""))
    precision = torch.autocast(device.type, dtype=kind) if kind else nullcontext()
    try:
        frames = [torch.rand(batch, 3, *padded, device=device).to(memory_format=layout) for _ in range(2)]
        with torch.inference_mode(), precision:
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            first, *seconds = time_calls(lambda: call(*frames), max(warmup, 1), repeats, device)
            memory = _memory(model, padded, batch, device)
    except (RuntimeError, MemoryError, UserError) as error:  # it does not fit or does not compile
        return dataclasses.replace(row, failure=_reason(error))
    per_frame = sorted(1000 * s / batch for s in seconds)
    low, middle, high = (
        statistics.quantiles(per_frame, n=4, method="inclusive") if len(per_frame) > 1 else per_frame * 3
    )
    return dataclasses.replace(row, milliseconds=middle, low=low, high=high, first=first, memory=memory)


def time_calls(call: Callable[[], object], warmup: int, repeats: int, device: torch.device) -> list[float]:
    """Seconds of the first call, and of `repeats` calls after `warmup` calls; each waits until the GPU is done."""

    def timed() -> float:
        began = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - began

    seconds = [timed() for _ in range(warmup + repeats)]
    return [seconds[0], *seconds[warmup:]]


def write(rows: Sequence[Row], output: Path, title: str) -> None:
    """The rows as OUTPUT.md, OUTPUT.csv and OUTPUT.png."""
    table = [_line(HEADINGS), _line(["---"] * len(HEADINGS)), *(_line(row.cells()) for row in rows)]
    write_text(output.with_suffix(".md"), f"{title}\n\n" + "\n".join(table) + "\n")
    with atomic_file(output.with_suffix(".csv")) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in dataclasses.fields(Row)])
        writer.writeheader()
        for row in rows:
            writer.writerow({**dataclasses.asdict(row), "size": "x".join(map(str, row.size))})
    with atomic_file(output.with_suffix(".png"), keep_suffix=True) as image:
        plot(rows, image, title)
    print(f"{output.with_suffix('.md')}, .csv, .png")


def plot(rows: Sequence[Row], path: Path, title: str) -> None:
    """Time over multiply-accumulates, a panel for each size, a colour for each mode, areas by parameters."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    sizes, modes = sorted({row.size for row in rows}), list(dict.fromkeys(row.mode for row in rows))
    figure, axes = plt.subplots(1, len(sizes), figsize=(1 + 6 * len(sizes), 5), squeeze=False, layout="constrained")
    for panel, size in zip(axes[0], sizes, strict=True):
        for index, mode in enumerate(modes):
            shown = [r for r in rows if r.size == size and r.mode == mode and r.milliseconds is not None]
            panel.scatter(
                [r.macs / 1e9 for r in shown], [r.milliseconds for r in shown],
                s=[20 + 10 * r.parameters / 1e6 for r in shown], color=f"C{index}", alpha=0.6, label=mode,
            )  # fmt: skip
        for name, found in _by_model(rows, size):
            place = (found[0].macs / 1e9, max(r.milliseconds or 0 for r in found))
            panel.annotate(name, place, xytext=(0, 7), textcoords="offset points", ha="center", fontsize=8)
        panel.set(xscale="log", yscale="log", xlabel="GMACs", ylabel="ms per frame", title="x".join(map(str, size)))
        panel.margins(0.2)
        panel.grid(alpha=0.3, which="both")
    axes[0][0].legend(title="area: parameters", fontsize=8)
    figure.suptitle(title, fontsize=9)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def parse_mode(text: str) -> tuple[str, ...]:
    """The parts of a mode like channels_last+bf16; none for eager."""
    parts = tuple(part for part in str(text).split("+") if part != "eager")
    wrong = next((part for part in parts if part not in PARTS), None)
    if wrong is not None:
        raise UserError(f"modes: {wrong} is not known: {nearest(wrong, ['eager', *PARTS])}")
    return parts


def describe(device: torch.device) -> str:
    """The machine in words."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    return f"{device.type}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def _build(name: str) -> Architecture:
    return build_network({"model": configured("model", name)})


def _memory(model: Architecture, padded: tuple[int, int], batch: int, device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / MIB
    parameters = sum(p.numel() * p.element_size() for p in model.parameters())
    return (parameters + peak_memory(model, model, padded, batch)) / MIB


def _by_model(rows: Sequence[Row], size: tuple[int, int]) -> Iterator[tuple[str, list[Row]]]:
    for name in dict.fromkeys(row.model for row in rows):
        found = [row for row in rows if row.model == name and row.size == size and row.milliseconds is not None]
        if found:
            yield name, found


def _reason(error: BaseException) -> str:
    return "out of memory" if "memory" in str(error).lower() else first_line(error)[:80]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    usual = torch.get_num_threads()
    torch.set_num_threads(count or usual)
    try:
        yield
    finally:
        torch.set_num_threads(usual)
