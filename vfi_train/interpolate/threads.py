"""Reading ahead and writing behind, each in a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
_END = object()


class ReadAhead(Generic[T]):
    """Iterates over `items` in a thread, up to `size` ahead. Errors come out where the item would have."""

    def __init__(self, items: Iterable[T], size: int) -> None:
        self._queue: queue.Queue = queue.Queue(size)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(items,), daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        while True:
            item, error = self._queue.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item

    def stop(self, wait: float = 5.0) -> None:
        """Read no further. A thread that waits for a pipe is left behind after `wait` seconds; it ends with us."""
        self._stopped.set()
        self._thread.join(wait)

    def _run(self, items: Iterable[T]) -> None:
        try:
            for item in items:
                if not self._put((item, None)):
                    return
            self._put((_END, None))
        except BaseException as error:
            self._put((None, error))

    def _put(self, entry: object) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put(entry, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False


class WriteBehind(Generic[T]):
    """Calls `write` on what it is given, in a thread, up to `size` behind. Errors come out of the next call here."""

    def __init__(self, write: Callable[[T], None], size: int) -> None:
        self._write = write
        self._queue: queue.Queue = queue.Queue(size)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Hand over an item; waits while `size` of them are waiting."""
        self._check()
        self._queue.put(item)

    def close(self) -> None:
        """Wait until all is written."""
        self._queue.put(_END)
        self._thread.join()
        self._check()

    def cancel(self) -> None:
        """Write nothing more than what is being written now."""
        self._error = self._error or RuntimeError("cancelled")
        self._queue.put(_END)
        self._thread.join()

    def _run(self) -> None:
        while (item := self._queue.get()) is not _END:
            if self._error is None:
                try:
                    self._write(item)
                except BaseException as error:
                    self._error = error

    def _check(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error
