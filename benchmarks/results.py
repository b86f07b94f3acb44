"""RESULTS.md: a section for each benchmark, written by the benchmark itself between two marks.

RESULTS_GPU.md is the same for GPUs, see gpu.py.
"""

from __future__ import annotations

import datetime
import os
import platform
import shlex
import sys
from pathlib import Path

import torch

from vfi_train.runtime.devices import core_count

PAGE = "VFI_BENCHMARK_PAGE"  # in the environment: another page than RESULTS.md
RESULTS = Path(os.environ.get(PAGE) or Path(__file__).with_name("RESULTS.md"))


def write_section(name: str, title: str, text: str) -> None:
    """Put a benchmark's command and text between its marks; a new one goes to the end.

    Args:
        name: of the benchmark's file; FILE:VARIANT where it has several sections.
        title: the section's heading.
        text: Markdown.
    """
    script = name.partition(":")[0]
    begin, end = f"<!-- {name}: made by benchmarks/{script}.py -->", f"<!-- {name}: end -->"
    page = RESULTS.read_text() if RESULTS.exists() else "# Measured\n"
    command = shlex.join(["python", "-m", f"benchmarks.{script}", *sys.argv[1:]])
    section = f"{begin}\n`{command}`\n\n{machine()}\n\n{text}\n{end}"
    if begin in page:
        before, _, rest = page.partition(begin)
        page = before + section + rest.partition(end)[2]
    else:
        page = f"{page.rstrip()}\n\n## {title}\n\n{section}\n"
    RESULTS.write_text(page)


def table_row(*cells: str) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def machine() -> str:
    """The day, the hardware and the versions in one sentence."""
    device = f"{torch.cuda.get_device_name()} (CUDA {torch.version.cuda}), " if torch.cuda.is_available() else ""
    processor = f"{core_count()} CPU cores ({platform.machine()}, {_model_name()})"
    versions = f"Python {platform.python_version()}, torch {torch.__version__.split('+')[0]}"
    return f"{datetime.date.today()}, {device}{processor}, {versions}."


def _model_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "processor unknown")
