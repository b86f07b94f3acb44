"""Lines of the progress reporter, with a clock set by hand."""

from __future__ import annotations

import pytest

from vfi_train.runtime import progress
from vfi_train.runtime.progress import ProgressReporter, duration


def test_lines_come_now_and_then_with_rate_and_rest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    calls = []
    with ProgressReporter("frames", 100, completed=20, every_seconds=10) as report:
        now[0] = 5
        report.update(30, lambda: calls.append(1) or "")  # type: ignore[func-returns-value]
        assert (report.rate(), report.seconds_left(), calls) == (2.0, 35.0, [])
        now[0] = 10
        report.update(40, lambda: "loss 0.5")
        assert report.seconds_left(more=20) == 40.0
        report.update(120)  # more than expected: nothing is left, and not less
        assert report.seconds_left() == 0.0
    assert capsys.readouterr().err == "frames 40/100, 30 s left, loss 0.5\n"


def test_a_process_that_is_not_shown_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressReporter("step", None, every_seconds=0, shown=False) as report:
        report.advance()
        report.note("line")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("seconds", "text"), [(5, "5 s"), (600, "10.0 min"), (7200, "2.0 h"), (86400 * 3, "3.0 days")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
