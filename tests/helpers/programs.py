"""Run the programs as a user does: in a process of their own."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from multiprocessing.context import ForkServerProcess
from pathlib import Path

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline", "COLUMNS": "120"}

# Importing torch and Lightning takes longer than most tests: one clean process does it once, and every
# program starts as a fork of it.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(
    ["vfi_train.training.command", "vfi_train.training.report", "torchmetrics.image", "wandb"]
)


def start_program(module: str, *arguments: str, cwd: Path, output: Path) -> ForkServerProcess:
    """Start `python -m MODULE ARGUMENTS` in the folder `cwd`; its output goes to OUTPUT.stdout and .stderr."""
    outputs = [f"{output}.stdout", f"{output}.stderr"]
    process = _processes.Process(target=_main, args=(module, arguments, str(cwd), ENVIRONMENT, outputs))
    process.start()
    return process


def run_program(module: str, *arguments: str, cwd: Path, timeout: int = 300) -> subprocess.CompletedProcess[str]:
    """`python -m MODULE ARGUMENTS` in the folder `cwd`."""
    with tempfile.TemporaryDirectory() as folder:
        process = start_program(module, *arguments, cwd=cwd, output=Path(folder) / "output")
        outputs = [Path(folder) / f"output.{stream}" for stream in ("stdout", "stderr")]
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired([module, *arguments], timeout, *(output.read_bytes() for output in outputs))
        texts = [output.read_text() for output in outputs]
    return subprocess.CompletedProcess([module, *arguments], process.exitcode, *texts)


def train(*arguments: str, cwd: Path, timeout: int = 300) -> subprocess.CompletedProcess[str]:
    """`python -m vfi_train ARGUMENTS`."""
    return run_program("vfi_train", *arguments, cwd=cwd, timeout=timeout)


def run_fresh(module: str, *arguments: str, cwd: Path, timeout: int = 300) -> subprocess.CompletedProcess[str]:
    """As `run_program`, in a new interpreter: for what importing itself does."""
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=timeout)


def is_alive(pid: int) -> bool:
    """Whether a process runs (found in Linux's /proc)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _main(module: str, arguments: tuple[str, ...], cwd: str, environment: dict[str, str], outputs: list[str]) -> None:
    """What a forked process runs."""
    for number, path in enumerate([os.devnull, *outputs]):
        file = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, mode, 1, closefd=False) for n, mode in enumerate("rww"))
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    multiprocessing.set_start_method(None, force=True)  # type: ignore[arg-type]  # as in a program
    sys.argv = [module, *arguments]
    sys.path[0] = cwd  # as python -m has it
    sys.modules.pop(module, None)  # a preloaded module that is run would be there twice
    runpy.run_module(module, run_name="__main__", alter_sys=True)
