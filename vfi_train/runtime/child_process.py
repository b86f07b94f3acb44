"""A process that the first one started ends with it.

Only the standard library is imported: it is settled before torch is loaded.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

FIRST = "VFI_TRAIN_FIRST_PROCESS"  # the environment's variable that tells its number to those that it starts
PR_SET_PDEATHSIG = 1  # of Linux's prctl


def exit_with_parent() -> None:
    """Let this process end when the first one is gone, however it went, and whenever: also while this one is loaded.

    To be called by the first process too, before it starts others (Lightning does, telling them their LOCAL_RANK).
    """
    if "LOCAL_RANK" not in os.environ:
        os.environ[FIRST] = str(os.getpid())
    elif FIRST in os.environ and sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(os.environ[FIRST]):  # it went before
            os._exit(1)
