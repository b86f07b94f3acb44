"""Devices, cores and memory of this machine."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

import torch

from vfi_train.errors import UserError

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # malloc.h


def find_device(name: str) -> torch.device:
    """The device that `device=` names; "auto" is the GPU where there is one.

    Raises:
        UserError: there is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device={name} is not here ({str(error).splitlines()[0]}): give auto or cpu") from error
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
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return
    for option, kept, default in ((_MMAP_MAX, 0, 65536), (_TRIM_THRESHOLD, 2**31 - 1, 2**17), (_TOP_PAD, 2**26, 0)):
        mallopt(option, kept if keep else default)
    if not keep and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)
