"""Items are read ahead, in order, but not too far."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from vfi_train.runtime.read_ahead import ReadAhead

WAIT = 20.0  # seconds, on a busy machine


def test_items_are_read_ahead_up_to_the_limit() -> None:
    read: list[int] = []
    third = threading.Event()

    def items() -> Iterator[int]:
        for index in range(100):
            read.append(index)
            if index == 3:
                third.set()
            yield index

    with ReadAhead(items(), ahead=3) as reading:
        results = iter(reading)
        assert next(results) == 0
        assert third.wait(WAIT)  # three more are read while the first is used
        assert not threading.Event().wait(0.3)
        assert len(read) == 4
        assert list(results) == list(range(1, 100))


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_results_come_in_order(workers: int) -> None:
    def read(index: int) -> int:
        time.sleep(0.002 * (index % 3))
        return index * index

    with ReadAhead(range(30), read, workers=workers) as results:
        assert list(results) == [index * index for index in range(30)]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_exceptions_are_raised_where_the_result_would_have_come(workers: int) -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("cable pulled")

    results = iter(ReadAhead(broken(), workers=workers))
    assert next(results) == 1
    with pytest.raises(OSError, match="cable pulled"):
        next(results)
    with ReadAhead([1, 0, 2], lambda number: 1 / number, workers=workers) as reading:
        results = iter(reading)
        assert next(results) == 1
        with pytest.raises(ZeroDivisionError):
            next(results)


def test_threads_end_when_nobody_takes_the_results() -> None:
    reading = ReadAhead(iter(int, 1), workers=2, ahead=3)
    reading.stop()
    assert not any(thread.is_alive() for thread in threading.enumerate() if thread.name == "read-ahead")


def test_a_blocked_thread_is_left() -> None:
    go = threading.Event()
    reading = ReadAhead([0], lambda _: go.wait(WAIT))
    began = time.monotonic()
    reading.stop(wait=0.1)
    assert time.monotonic() - began < 5
    go.set()
