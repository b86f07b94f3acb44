"""Work shared by processes, with a progress bar."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from vfi_train.errors import UserError
from vfi_train.runtime.child_process import exit_with
from vfi_train.runtime.devices import core_count
from vfi_train.runtime.progress import ProgressReporter

Job = TypeVar("Job")
Result = TypeVar("Result")


def parallel_map(
    function: Callable[[Job], Result], jobs: Sequence[Job], processes: int | None, title: str
) -> Iterator[tuple[Job, Result]]:
    """Each job with its result, in the order in which they end; an exception of one ends all.

    Args:
        function: a module's, so that other processes find it.
        jobs: its arguments.
        processes: how many work at the same time; None: one for each core. 1 works in this process.
        title: of the progress bar.

    Raises:
        UserError: a process was killed.
    """
    count = min(processes or core_count(), len(jobs))
    with ProgressReporter(title, len(jobs)) as progress:
        if count <= 1:
            for job in jobs:
                yield job, function(job)
                progress.advance()
            return
        context = multiprocessing.get_context("fork")  # what the program has imported is not imported again
        pool = ProcessPoolExecutor(count, context, initializer=_init_worker, initargs=(os.getpid(),))
        try:
            running = {pool.submit(function, job): job for job in jobs}
            for future in as_completed(running):
                yield running[future], future.result()
                progress.advance()
        except BrokenProcessPool as error:
            raise UserError(
                "a process was killed, perhaps for lack of memory: give fewer processes=..., and the same command "
                "resumes"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _init_worker(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process ends the others
    exit_with(parent)
