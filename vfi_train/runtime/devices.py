"""Devices, cores and memory of this machine."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

import torch

from datamodules.core.malloc import MMAP_MAX, TOP_PAD, TRIM_THRESHOLD, set_malloc
from vfi_train.errors import UserError, first_line


def is_emulated(dtype: torch.dtype | None, device: torch.device) -> bool:
    """Whether a CPU lacks the instructions for a half precision: PyTorch then takes up to 100 times as long."""
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if dtype == torch.bfloat16:
        return not torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return dtype == torch.float16 and not torch.ops.mkldnn._is_mkldnn_fp16_supported()


def emulation(override: str) -> str:
    """What to say of a precision that `is_emulated`."""
    return (
        f"{override}: this processor has no instructions for it, and PyTorch takes up to 100 times as long as in "
        "float32, which is the default"
    )


def find_device(name: str) -> torch.device:
    """The device that `device=` names; "auto" is the GPU where there is one.

    Raises:
        UserError: there is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # "meta" has no numbers
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device={name} is not here ({first_line(error)}): give auto or cpu") from error
    return device


def core_count() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory(device: torch.device) -> float:
    """Free bytes: on the GPU, or of the machine's memory within the limit of a container."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    free = float("inf")
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
        free = float(lines["MemAvailable"].split()[0]) * 1024
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.is_file() and used.is_file() and limit.read_text().strip().isdigit():
        free = min(free, float(limit.read_text()) - float(used.read_text()))
    return free


def keep_freed_memory(keep: bool = True) -> None:
    """Let the process keep the memory of freed CPU tensors for later ones, or not.

    By default the C library returns large blocks to the system immediately, which hands them out again page by page,
    filled with zeros: a sixth of a training step's processor time, and more of a large frame's. Does nothing where
    the library is not glibc.
    """
    set_malloc(
        {MMAP_MAX: 0, TRIM_THRESHOLD: 2**31 - 1, TOP_PAD: 2**26}
        if keep
        else {MMAP_MAX: 65536, TRIM_THRESHOLD: 2**17, TOP_PAD: 0}  # glibc's own
    )
    if not keep and sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)
