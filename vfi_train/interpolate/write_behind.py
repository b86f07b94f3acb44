"""Writing in a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")
_END: Any = object()


class WriteBehind(Generic[T]):
    """Calls `write` on each item in a thread, up to `size` items behind; its exceptions are raised by the next call."""

    def __init__(self, write: Callable[[T], None], size: int) -> None:
        self._write = write
        self._queue: queue.Queue = queue.Queue(size)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Write an item later; waits while `size` of them are waiting."""
        self._check()
        self._queue.put(item)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *exception: object) -> None:
        """Wait until all items are written; after an exception, only for the one that is being written."""
        if kind is not None:
            self._error = self._error or RuntimeError("cancelled")
        self._queue.put(_END)
        self._thread.join()
        if kind is None:
            self._check()

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
