"""Reading items ahead of their use, in threads."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")
_END: Any = object()


class ReadAhead(Generic[T]):
    """Iterates over `read(item)` of all items, in their order, computed ahead by threads.

    An exception of `read` or of the iteration over `items` is raised where its result would have come. As a context
    manager it stops its threads at the end of the block.

    Args:
        items: what to read; one thread at a time takes the next, so that a decoder can be iterated.
        read: is called in the threads.
        workers: threads; 0: `read` is called in the caller's thread, when the result is needed.
        ahead: results that may wait, or be computed; by default 2 for each thread.
    """

    def __init__(
        self,
        items: Iterable[Any],
        read: Callable[[Any], T] = lambda item: item,
        *,
        workers: int = 1,
        ahead: int | None = None,
    ) -> None:
        self._items, self._read = iter(items), read
        self._room = threading.Semaphore(2 * workers if ahead is None else ahead)
        self._lock = threading.Lock()
        self._stopped = False
        self._results: queue.SimpleQueue[Future[T]] = queue.SimpleQueue()
        # Daemons: one that waits for a pipe must not keep the process from ending.
        self._threads = [threading.Thread(target=self._work, name="read-ahead", daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    def __iter__(self) -> Iterator[T]:
        if not self._threads:
            yield from map(self._read, self._items)
            return
        while (result := self._results.get()) is not _END:
            value = result.result()
            self._room.release()
            yield value

    def stop(self, wait: float = 5.0) -> None:
        """Read no further. A thread that is blocked is left after `wait` seconds."""
        self._stopped = True
        deadline = time.monotonic() + wait
        for _ in self._threads:
            self._room.release()
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def _work(self) -> None:
        while (result := self._next()) is not None:
            future, item = result
            try:
                future.set_result(self._read(item))
            except BaseException as error:
                future.set_exception(error)

    def _next(self) -> tuple[Future[T], Any] | None:
        """The next item and the place of its result, once there is room; None: there is nothing more to read."""
        self._room.acquire()
        future: Future[T] = Future()
        with self._lock:
            if self._stopped:
                return None
            try:
                item = next(self._items)
                self._results.put(future)
                return future, item
            except StopIteration:
                pass
            except BaseException as error:
                future.set_exception(error)
                self._results.put(future)
            self._results.put(_END)
            self._stopped = True
            self._room.release(len(self._threads))
            return None
