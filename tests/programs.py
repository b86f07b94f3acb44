"""Run the programs as a user does: in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline", "COLUMNS": "120"}


def run_program(module: str, *arguments: str, cwd: Path, timeout: int = 300) -> subprocess.CompletedProcess[str]:
    """`python -m MODULE ARGUMENTS` in the folder `cwd`."""
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=timeout)


def train(*arguments: str, cwd: Path, timeout: int = 300) -> subprocess.CompletedProcess[str]:
    """`python -m vfi_train ARGUMENTS`."""
    return run_program("vfi_train", *arguments, cwd=cwd, timeout=timeout)
