"""Reading, computing and writing overlap, and how far it is is told."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator

import pytest

from vfi_train.interpolate.progress import FrameProgress
from vfi_train.interpolate.threads import ReadAhead, WriteBehind

WAIT = 20.0  # seconds, on a busy machine


def test_reading_goes_on_while_an_item_is_worked_on_but_not_too_far() -> None:
    read: list[int] = []
    third = threading.Event()

    def items() -> Iterator[int]:
        for index in range(100):
            read.append(index)
            if index == 3:
                third.set()
            yield index

    reading = ReadAhead(items(), size=3)
    worked_on = iter(reading)
    assert next(worked_on) == 0
    assert third.wait(WAIT)  # three more are read, while nobody asks
    assert not threading.Event().wait(0.3)
    assert len(read) <= 5  # one taken, three that wait, one in the reader's hand
    assert list(worked_on) == list(range(1, 100))
    reading.stop()


def test_writing_goes_on_behind_but_not_too_far() -> None:
    go, written = threading.Event(), []

    def write(item: int) -> None:
        assert go.wait(WAIT)
        written.append(item)

    writing = WriteBehind(write, size=2)
    for item in range(3):  # one is being written, two wait
        writing.put(item)
    assert written == []
    blocked = threading.Thread(target=writing.put, args=(3,))
    blocked.start()
    blocked.join(0.3)
    assert blocked.is_alive()
    go.set()
    blocked.join(WAIT)
    writing.close()
    assert written == [0, 1, 2, 3]


def test_errors_come_out_where_the_items_are_awaited() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("cable pulled")

    reading = iter(ReadAhead(broken(), 4))
    assert next(reading) == 1
    with pytest.raises(OSError, match="cable pulled"):
        next(reading)

    def write(item: int) -> None:
        raise OSError("disk full")

    writing = WriteBehind(write, 1)
    writing.put(1)
    with pytest.raises(OSError, match="disk full"):
        writing.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("vfi_train.interpolate.progress.time.monotonic", lambda: now[0])
    return now


def test_lines_tell_speed_and_time_left(clock: list[float], capsys: pytest.CaptureFixture) -> None:
    progress = FrameProgress(300)
    clock[0] += 9
    progress.update(20)
    assert capsys.readouterr().err == ""
    clock[0] += 3
    progress.update(60)  # 60 in 12 s; 240 more in 48 s
    progress.update(61)
    captured = capsys.readouterr()
    assert captured.err == "60 of 300 frames, 5.0 frames/s, 0.8 min left\n"
    assert captured.out == ""
    assert FrameProgress(0).line(0) == "0 frames, 0.0 frames/s"


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = type("Terminal", (io.StringIO,), {"isatty": lambda self: True})()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = FrameProgress(300)
    progress.update(60)
    progress.note("a note [1/2]")
    progress.close()
    shown = terminal.getvalue()
    assert "60/300" in shown
    assert "frames/s" in shown
    assert "left" in shown
    assert "a note [1/2]" in shown
