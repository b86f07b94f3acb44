"""Every table of a GPU in one call of under ten minutes: make bench-gpu (python -m benchmarks.gpu)

Runs the benchmarks that have a GPU side one after the other, each in a process of its own with its share of the time,
and writes their sections to RESULTS_GPU.md. One that fails or outlasts its share is ended and named; the others go on,
and the exit status is 1. Benchmarks with many rows write them one by one, so that what was measured stays.

`--device cpu --small` is the rehearsal: the same tables at sizes that tell nothing of speed.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.results import PAGE

RESULTS = Path(__file__).with_name("RESULTS_GPU.md")
WHOLE = 590.0  # seconds for all tables
HALF = ("--precision", "bf16-mixed")
TINY_STEP = ("--models", "ifrnet_s", "--size", "64", "--batch", "1", "--rounds", "1", "--threads", "1")


@dataclass(frozen=True)
class Table:
    """A benchmark's run: its script, its share of the time, its arguments, those of the rehearsal (None: not in it)."""

    script: str
    seconds: float
    arguments: tuple[str, ...]
    small: tuple[str, ...] | None

    @property
    def name(self) -> str:
        """Script and arguments."""
        return " ".join((self.script, *self.arguments))


TABLES = (
    Table(
        "train_step", 150, (*HALF, "--compile", "cuda_graphs", "--batch", "8", "--models", "ifrnet_s", "amt_s", "rife"),
        None,
    ),
    Table("frames", 130, ("--size", "1080", "1920", "--triplets", "4", "--frames", "33"), (
        "--models", "ifrnet_tiny", "--size", "64", "96", "--triplets", "1", "--rounds", "1", "--frames", "4",
        "--runs", "1", "--threads", "1",
    )),
    Table("train_step", 75, (*HALF, "--batch", "8"), (*HALF, *TINY_STEP)),
    Table("train_step", 75, ("--batch", "8"), TINY_STEP),
    Table("inference", 45, (
        "--modes", "eager", "channels_last", "bf16", "channels_last+bf16", "--repeats", "30",
    ), (
        "--models", "ifrnet_tiny", "--modes", "eager", "bf16", "--size", "64", "64", "--large", "128", "192",
        "--tile", "96", "--repeats", "1",
    )),
    Table("evaluate", 40, ("--batch", "8"), ("--size", "64", "64", "--pairs", "2", "--rounds", "1")),
    Table("times", 35, ("--rounds", "10"), ("--models", "ifrnet_s", "--size", "64", "64", "--rounds", "1")),
    Table("splat", 20, (), ("--shape", "1", "3", "32", "32", "--rounds", "1")),
    Table("curve", 20, ("--experiments", "quickstart", "--steps", "100"), (
        "--experiments", "quickstart", "--steps", "50",
    )),
)  # fmt: skip


def main() -> None:
    """Run all tables; the last line says what was written, and what was not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="sizes that tell nothing of speed")
    parser.add_argument("--seconds", type=float, default=WHOLE, help="for all tables")
    parser.add_argument("--page", type=Path, default=RESULTS, help="where the tables go")
    given = parser.parse_args()
    if given.device.startswith("cuda") and not torch.cuda.is_available():
        raise SystemExit("make bench-gpu measures on a CUDA device, and PyTorch finds none here")
    if not given.page.exists():
        given.page.write_text("# Measured on a GPU\n")
    began = time.monotonic()
    tables = [table for table in TABLES if not given.small or table.small is not None]
    failed = run_all(tables, given.device, given.small, given.page, given.seconds)
    print(f"{given.page}: {len(tables) - len(failed)} of {len(tables)} tables in {time.monotonic() - began:.0f} s")
    if failed:
        raise SystemExit("not measured to the end: " + "; ".join(failed))


def run_all(tables: Sequence[Table], device: str, small: bool, page: Path, seconds: float) -> list[str]:
    """Run tables within `seconds`; what failed, with the reason."""
    end, failed = time.monotonic() + seconds, []
    for table in tables:
        limit = min(table.seconds if not small else seconds, end - time.monotonic())
        began = time.monotonic()
        reason = run(table, device, small, page, limit) if limit > 0 else "no time was left"
        print(f"{table.name}: {reason or 'done'}, {time.monotonic() - began:.0f} s", flush=True)
        if reason:
            failed.append(f"{table.name} ({reason})")
    return failed


def run(table: Table, device: str, small: bool, page: Path, limit: float) -> str | None:
    """Run one table for `limit` seconds at most; why it is not complete."""
    command = [sys.executable, "-m", f"benchmarks.{table.script}", "--device", device]
    command += [*((table.small or ()) if small else table.arguments), "--results"]
    if small and table.script == "train_step":  # its plot is one of the documentation
        command += ["--plot", str(page.with_suffix(".png"))]
    environment = os.environ | {PAGE: str(page.absolute())}
    process = subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        output, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        return f"ended after its {limit:.0f} s"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # with the processes that it has started
            process.communicate()
    if process.returncode:
        print(output, flush=True)
        return f"exit status {process.returncode}"
    return None


if __name__ == "__main__":
    main()
