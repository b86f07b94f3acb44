"""Which frames are wanted: factors, exact rates, lists of times, rounds."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest

from datamodules.storage.media import Frame
from vfi_train.errors import UserError
from vfi_train.interpolate.frame_times import common_unit, fraction, make_plan


def walk(
    wanted, times: list[Fraction], has_clock: bool = True, last: Fraction = Fraction(1, 24)
) -> list[tuple[Fraction, int, Fraction]]:
    """(when, index of the frame before, time between) of all moments."""
    frames = [Frame(None, time, last) for time in times]
    found = []
    for index, (frame0, frame1) in enumerate(pairwise(frames)):
        found += [(p.appears, index, p.time) for p in wanted.between(frame0, frame1)]
    return found + [(p.appears, len(frames) - 1, p.time) for p in wanted.after(frames[-1], has_clock)]


def clock(count: int, rate: int = 24) -> list[Fraction]:
    return [Fraction(i, rate) for i in range(count)]


@pytest.mark.parametrize("factor", [1, 2, 3, 8])
def test_a_factor_fills_the_clock_to_its_end(factor: int) -> None:
    got = walk(make_plan(factor=factor), clock(5))
    assert [when for when, _, _ in got] == [Fraction(k, 24 * factor) for k in range(5 * factor)]
    assert all(when == Fraction(index, 24) + time / 24 for when, index, time in got[: 4 * factor])
    assert {(index, time) for _, index, time in got[4 * factor :]} == {(4, 0)}  # nothing comes after the last frame


def test_without_a_clock_the_last_frame_comes_once() -> None:
    assert [(i, t) for _, i, t in walk(make_plan(factor=4), clock(3), has_clock=False)] == [
        *((0, Fraction(k, 4)) for k in range(4)), *((1, Fraction(k, 4)) for k in range(4)), (2, 0),
    ]  # fmt: skip


@pytest.mark.parametrize("rate", [Fraction(60), Fraction(60000, 1001), Fraction(25), Fraction(12), Fraction(7, 2)])
def test_a_rate_is_met_exactly(rate: Fraction) -> None:
    got = walk(make_plan(rate=str(rate)), clock(48))
    count = 2 * rate  # two seconds
    assert [when for when, _, _ in got] == [k / rate for k in range(-(-count.numerator // count.denominator))]
    for when, index, time in got[:-3]:
        assert Fraction(index, 24) + time / 24 == when or index == 47


@pytest.mark.parametrize("has_clock", [True, False])
@pytest.mark.parametrize("count", [2, 5, 24])
@pytest.mark.parametrize(
    "given",
    [{"factor": 3}, {"rate": 60}, {"rate": "60000/1001"}, {"rate": 12}, {"times": [0.5]}, {"times": [0, 0.3, 1]}],
)
def test_the_total_is_the_number_of_frames_to_write(given: dict, count: int, has_clock: bool) -> None:
    frames = walk(make_plan(**given), clock(count), has_clock)
    assert make_plan(**given).total(count, Fraction(24), has_clock) == len(frames)


def test_24_to_60_uses_the_times_of_a_three_two_pattern() -> None:
    got = walk(make_plan(rate=60), clock(3))
    assert [(i, t) for _, i, t in got[:5]] == [
        (0, 0),
        (0, Fraction(2, 5)),
        (0, Fraction(4, 5)),
        (1, Fraction(1, 5)),
        (1, Fraction(3, 5)),
    ]


def test_frames_of_varying_length_are_divided_each_for_itself() -> None:
    times = [Fraction(0), Fraction(1, 24), Fraction(4, 24), Fraction(5, 24)]
    got = walk(make_plan(factor=2), times, last=Fraction(3, 24))
    assert [when * 48 for when, _, _ in got] == [0, 1, 2, 5, 8, 9, 10, 13]
    at_rate = walk(make_plan(rate=24), times, last=Fraction(3, 24))
    assert [(when * 24, index, 3 * time) for when, index, time in at_rate] == [
        (0, 0, 0), (1, 1, 0), (2, 1, 1), (3, 1, 2), (4, 2, 0), (5, 3, 0), (6, 3, 0), (7, 3, 0),
    ]  # fmt: skip


def test_a_clip_that_begins_late_keeps_its_times() -> None:
    assert [when for when, _, _ in walk(make_plan(rate=48), [Fraction(7, 24), Fraction(8, 24)])] == [
        Fraction(k, 48) for k in range(14, 18)
    ]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([0.5], [(0, Fraction(1, 2)), (1, Fraction(1, 2))]),
        ([0, "1/3"], [(0, 0), (0, Fraction(1, 3)), (1, 0), (1, Fraction(1, 3))]),
        ([0.25, 1], [(0, Fraction(1, 4)), (0, 1), (1, Fraction(1, 4)), (1, 1)]),
        ([1, 0, 0.5, 0.5], [(0, 0), (0, Fraction(1, 2)), (1, 0), (1, Fraction(1, 2)), (2, 0)]),
    ],
)
def test_lists_of_times_show_each_frame_once(times: list, expected: list) -> None:
    assert [(i, t) for _, i, t in walk(make_plan(times=times), clock(3))] == expected


def test_rounds_count_as_published() -> None:
    """InterpAny-Clearer: `--num 1 1 1` makes 9 frames of 2, `5 5` makes 37, seven ones 129."""
    for insert, count in (([1, 1, 1], 9), ([5, 5], 37), ([1] * 7, 129)):
        assert len(walk(make_plan(insert=insert), clock(2), has_clock=False)) == count


def test_units_of_time_divide_all_moments() -> None:
    assert make_plan(factor=8).tick(Fraction(1, 12288)) == Fraction(1, 98304)
    assert make_plan(rate=60).tick(Fraction(1, 24)) == Fraction(1, 120)
    assert make_plan(times=[0.25, "1/3"]).tick(Fraction(1, 24)) == Fraction(1, 288)
    assert common_unit(Fraction(1, 24), Fraction(1001, 30000)) == Fraction(1, 30000)


def test_decimals_of_ntsc_rates_are_taken_as_meant() -> None:
    expected = {
        "23.976": Fraction(24000, 1001),
        "29.97": Fraction(30000, 1001),
        "59.94": Fraction(60000, 1001),
        "119.88": Fraction(120000, 1001),
    }
    assert {text: fraction(text, "rate") for text in expected} == expected
    assert [fraction(x, "rate") for x in (24, 25.0, 12.5, 59.9, "60000/1001")] == [
        24,
        25,
        12.5,
        Fraction(599, 10),
        Fraction(60000, 1001),
    ]
    assert fraction(0.1, "times") == Fraction(1, 10)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"factor": 2, "rate": 60}, "factor and rate both say which frames"),
        ({"factor": 0}, "factor=0 is not a number of frames"),
        ({"rate": -5}, "rate=-5 is not a number of frames per second"),
        ({"rate": "fast"}, "rate=fast is not a number: write it like 60"),
        ({"times": [0.5, 1.5]}, r"times=\[0.5, 1.5\] are not times from 0 to 1"),
        ({"times": []}, r"times=\[\] are not times"),
        ({"insert": [1, 0]}, r"insert=\[1, 0\] are not numbers of frames to insert"),
    ],
)
def test_plans_that_make_no_sense_are_refused(given: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_plan(**given)
