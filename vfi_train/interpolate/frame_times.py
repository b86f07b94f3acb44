"""Which frames to write: when each appears, and its time between two frames of the input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from datamodules.storage.media import Frame
from vfi_train.errors import UserError

LARGEST_DENOMINATOR = 10_000  # of rates and times
LARGEST_FACTOR = 1000
LARGEST_RATE = 100_000  # frames per second


@dataclass(frozen=True)
class PlannedFrame:
    """A frame to write: when it appears (seconds, on the input's clock), and its time between two frames (0..1)."""

    appears: Fraction
    time: Fraction


class Plan(Protocol):
    """Which frames to write."""

    def between(self, frame0: Frame, frame1: Frame) -> list[PlannedFrame]:
        """Frames from frame0 on and before frame1, in order."""
        ...

    def after(self, last: Frame, has_clock: bool) -> list[PlannedFrame]:
        """Frames that show the last frame: for its complete duration where the output has a clock, else one."""
        ...

    def total(self, count: int, rate: Fraction, has_clock: bool) -> int:
        """How many frames are written for `count` evenly spaced frames, `rate` of them per second."""
        ...

    def rate(self, source: Fraction) -> Fraction:
        """Frames per second of the output, where the input has `source` per second."""
        ...

    def tick(self, source: Fraction) -> Fraction:
        """The largest unit that divides all times of the output, where `source` divides those of the input."""
        ...


class FactorPlan:
    """`factor` frames for each of the input: the frame itself, and factor - 1 between it and the next."""

    def __init__(self, factor: int, key: str = "factor", shown: object = None) -> None:
        if not 1 <= factor <= LARGEST_FACTOR:
            raise UserError(
                f"{key}={shown or factor} is not a number of frames for each input frame: give 1 to {LARGEST_FACTOR} "
                "(2 doubles the rate)"
            )
        self.factor = factor

    def between(self, frame0: Frame, frame1: Frame) -> list[PlannedFrame]:
        """See `Plan`."""
        times = [Fraction(k, self.factor) for k in range(self.factor)]
        return [PlannedFrame(frame0.time + time * (frame1.time - frame0.time), time) for time in times]

    def after(self, last: Frame, has_clock: bool) -> list[PlannedFrame]:
        """See `Plan`."""
        count = self.factor if has_clock else 1
        return [PlannedFrame(last.time + k * last.duration / self.factor, Fraction(0)) for k in range(count)]

    def total(self, count: int, rate: Fraction, has_clock: bool) -> int:
        """See `Plan`."""
        return count * self.factor if has_clock else (count - 1) * self.factor + 1

    def rate(self, source: Fraction) -> Fraction:
        """See `Plan`."""
        return source * self.factor

    def tick(self, source: Fraction) -> Fraction:
        """See `Plan`."""
        return source / self.factor


class RatePlan:
    """Exactly `rate` frames per second, counted from the first frame."""

    def __init__(self, rate: Fraction) -> None:
        self._rate = rate
        self._origin: Fraction | None = None

    def between(self, frame0: Frame, frame1: Frame) -> list[PlannedFrame]:
        """See `Plan`."""
        length = frame1.time - frame0.time
        return [PlannedFrame(t, (t - frame0.time) / length) for t in self._ticks(frame0.time, frame1.time)]

    def after(self, last: Frame, has_clock: bool) -> list[PlannedFrame]:
        """See `Plan`."""
        end = last.time + (last.duration if has_clock else _MINIMUM)
        return [PlannedFrame(t, Fraction(0)) for t in self._ticks(last.time, end)]

    def total(self, count: int, rate: Fraction, has_clock: bool) -> int:
        """See `Plan`."""
        return math.ceil((count / rate if has_clock else (count - 1) / rate + _MINIMUM) * self._rate)

    def rate(self, source: Fraction) -> Fraction:
        """See `Plan`."""
        return self._rate

    def tick(self, source: Fraction) -> Fraction:
        """See `Plan`."""
        return common_unit(source, 1 / self._rate)

    def _ticks(self, start: Fraction, end: Fraction) -> list[Fraction]:
        if self._origin is None:
            self._origin = start
        first = math.ceil((start - self._origin) * self._rate)
        last = math.ceil((end - self._origin) * self._rate)
        return [self._origin + k / self._rate for k in range(first, last)]


class TimesPlan:
    """The same times between every two frames; 0 and 1 are the frames themselves, each written once."""

    def __init__(self, times: Sequence[Fraction]) -> None:
        wrong = next((time for time in times if not 0 <= time <= 1), None)
        if not times or wrong is not None:
            raise UserError(
                f"times={_shown(times)} are not times from 0 to 1 between two frames: give for example [0.5]"
            )
        self.times = sorted(set(times))

    def between(self, frame0: Frame, frame1: Frame) -> list[PlannedFrame]:
        """See `Plan`."""
        times = self.times[:-1] if {0, 1} <= set(self.times) else self.times
        return [PlannedFrame(frame0.time + time * (frame1.time - frame0.time), time) for time in times]

    def after(self, last: Frame, has_clock: bool) -> list[PlannedFrame]:
        """See `Plan`."""
        return [PlannedFrame(last.time, Fraction(0))] if {0, 1} <= set(self.times) else []

    def total(self, count: int, rate: Fraction, has_clock: bool) -> int:
        """See `Plan`."""
        return (count - 1) * len(self.between(_INSTANT, _INSTANT)) + len(self.after(_INSTANT, has_clock))

    def rate(self, source: Fraction) -> Fraction:
        """See `Plan`."""
        return source * len(self.between(_INSTANT, _INSTANT))

    def tick(self, source: Fraction) -> Fraction:
        """See `Plan`."""
        return source / math.lcm(*(time.denominator for time in self.times))


_MINIMUM = Fraction(1, 10**9)  # seconds
_INSTANT = Frame(None, Fraction(0), Fraction(0))  # type: ignore[arg-type]


def make_plan(
    factor: int | None = None,
    rate: float | str | None = None,
    times: Sequence[float | str] | None = None,
    insert: Sequence[int] | None = None,
) -> Plan:
    """The plan of the one argument that is given; without any, of factor 2.

    Raises:
        UserError: two are given, or one is not valid.
    """
    named = {"factor": factor, "rate": rate, "times": times, "insert": insert}
    given = [name for name, value in named.items() if value is not None]
    if len(given) > 1:
        raise UserError(f"{' and '.join(given)} both say which frames to write: give one of them")
    if rate is not None:
        return RatePlan(frame_rate(rate, "rate"))
    if times is not None:
        return TimesPlan([fraction(time, "times") for time in times])
    if insert is not None:
        if not insert or min(insert) < 1:
            raise UserError(
                f"insert={list(insert)} are not numbers of frames to insert, round by round: give for example [1,1]"
            )
        return FactorPlan(math.prod(n + 1 for n in insert), "insert", list(insert))
    return FactorPlan(2 if factor is None else factor)


def frame_rate(value: float | str, key: str) -> Fraction:
    """Frames per second, as `fraction` reads them.

    Raises:
        UserError: it is none, not above 0, or above `LARGEST_RATE`.
    """
    found = fraction(value, key)
    if not 0 < found <= LARGEST_RATE:
        raise UserError(
            f"{key}={value} is not a number of frames per second: give one above 0 and up to {LARGEST_RATE}, such as "
            "60 or 60000/1001"
        )
    return found


def fraction(value: float | str, key: str) -> Fraction:
    """A number (0.5, "60000/1001") as a fraction; decimals of NTSC rates become those (29.97 is 30000/1001)."""
    try:
        exact = Fraction(str(value).strip())
    except (ValueError, ZeroDivisionError):
        raise UserError(f"{key}={value} is not a number: write it like 60, 59.94 or 60000/1001") from None
    ntsc = Fraction(round(exact * 1001, -3), 1001) if key in ("rate", "frame_rate", "output_rate") else exact
    if abs(ntsc - exact) < Fraction(1, 200) and exact.denominator != 1 and "/" not in str(value):
        return ntsc
    return exact.limit_denominator(LARGEST_DENOMINATOR)


def common_unit(*steps: Fraction) -> Fraction:
    """The largest unit in which all of `steps` are integers."""
    common = math.lcm(*(step.denominator for step in steps))
    return Fraction(math.gcd(*(int(step * common) for step in steps)), common)


def _shown(times: Sequence[Fraction]) -> str:
    return "[" + ", ".join(f"{float(time):g}" for time in times) + "]"
