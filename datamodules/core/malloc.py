"""Options of the C library's allocator."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD, MMAP_MAX = -1, -2, -3, -4  # malloc.h


def set_malloc(options: Mapping[int, int]) -> None:
    """Set options of this process's allocator. Does nothing where the library is not glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return
    for option, value in options.items():
        mallopt(option, value)
