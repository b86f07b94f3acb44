"""Processes end with the one that started them.

Imports only the standard library: this is set up before torch is loaded.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

FIRST = "VFI_TRAIN_FIRST_PROCESS"  # environment variable: the id of the process that starts the others
PR_SET_PDEATHSIG = 1  # of Linux's prctl


def exit_with_parent() -> None:
    """End this process when the first one ends, for whatever reason, also while this one is being loaded.

    Also to be called by the first process, before it starts others (Lightning does, and sets their LOCAL_RANK).
    """
    if "LOCAL_RANK" not in os.environ:
        os.environ[FIRST] = str(os.getpid())
    elif FIRST in os.environ:
        exit_with(int(os.environ[FIRST]))


def exit_with(parent: int) -> None:
    """End this process when its parent, whose id is `parent`, ends or has ended. Only on Linux."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before
            os._exit(1)
