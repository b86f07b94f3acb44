"""Writing overlaps with computing."""

from __future__ import annotations

import threading

import pytest

from vfi_train.interpolate.write_behind import WriteBehind

WAIT = 20.0  # seconds, on a busy machine


def test_items_are_written_later_up_to_the_limit() -> None:
    go, written = threading.Event(), []

    def write(item: int) -> None:
        assert go.wait(WAIT)
        written.append(item)

    with WriteBehind(write, size=2) as writing:
        for item in range(3):  # one is being written, two wait
            writing.put(item)
        assert written == []
        blocked = threading.Thread(target=writing.put, args=(3,))
        blocked.start()
        blocked.join(0.3)
        assert blocked.is_alive()
        go.set()
        blocked.join(WAIT)
    assert written == [0, 1, 2, 3]


def test_exceptions_are_raised_at_the_end_and_nothing_more_is_written() -> None:
    written: list[int] = []

    def write(item: int) -> None:
        written.append(item)
        raise OSError("disk full")

    writing = WriteBehind(write, 2)
    writing.put(1)
    writing.put(2)
    with pytest.raises(OSError, match="disk full"):
        writing.__exit__(None)
    assert written == [1]


def test_after_an_exception_what_waits_is_not_written() -> None:
    go, begun, written = threading.Event(), threading.Event(), []

    def write(item: int) -> None:
        begun.set()
        go.wait(WAIT)
        written.append(item)

    def fail() -> None:
        with WriteBehind(write, 3) as writing:
            for item in range(3):
                writing.put(item)
            assert begun.wait(WAIT)
            threading.Timer(0.2, go.set).start()
            raise KeyError("elsewhere")

    with pytest.raises(KeyError):
        fail()
    assert written == [0]
