"""Work spread over processes, with a progress bar."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vfi_train.errors import UserError

Job = TypeVar("Job")
Result = TypeVar("Result")
PR_SET_PDEATHSIG = 1  # of Linux's prctl.h


def parallel_map(
    function: Callable[[Job], Result], jobs: Sequence[Job], processes: int | None, title: str
) -> Iterator[tuple[Job, Result]]:
    """Each job with its result, as they are done; an exception of one ends all.

    Args:
        function: of a module, so that processes find it.
        jobs: what it is called with.
        processes: how many work at the same time; None: one for each core. 1 works in this process.
        title: of the progress bar.

    Raises:
        UserError: a process was killed.
    """
    count = min(processes or _cores(), len(jobs))
    if count <= 1:
        with _bar() as bar:
            task = bar.add_task(title, total=len(jobs))
            for job in jobs:
                yield job, function(job)
                bar.advance(task)
        return
    context = multiprocessing.get_context("fork")  # what the program has imported need not be imported anew
    pool = ProcessPoolExecutor(count, context, initializer=_settle, initargs=(os.getpid(),))
    try:
        futures: dict[Future[Result], Job] = {pool.submit(function, job): job for job in jobs}
        with _bar() as bar:
            task = bar.add_task(title, total=len(jobs))
            for done in as_completed(futures):
                yield futures[done], done.result()
                bar.advance(task)
    except BrokenProcessPool as error:
        raise UserError(
            "a process was killed, perhaps for want of memory: give fewer processes=..., and the same command goes on"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))


def _settle(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process ends the others
    if hasattr(os, "getppid") and os.uname().sysname == "Linux":  # nor does a killed one leave them behind
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
