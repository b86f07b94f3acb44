"""GoPro's groups and times against the published loaders of IFRNet and AMT."""

from __future__ import annotations

import numpy as np
import pytest

from datamodules.gopro import TEST_VIDEOS, TRAIN_VIDEOS, Moment, groups, moments, video_moments
from datamodules.transforms import ReverseTime
from tests.golden_cases import load


def test_groups_are_ifrnets() -> None:
    rows = load("functions_IFRNet", "gopro_grouping").info["rows"]
    assert len(rows) == 6
    for row in rows:
        got = groups(row["frames"])
        assert len(got) == row["groups"]
        assert [[g[0], g[-1]] for g in got] == row["groups_indices"]


def test_groups_are_amts() -> None:
    rows = load("functions_AMT", "gopro_index").info["groups"]
    assert len(rows) == 7
    for row in rows:
        got = groups(row["frames_in_clip"])
        assert len(got) == row["groups"]
        assert len(video_moments(row["frames_in_clip"])) == row["samples"]
        assert [list(got[0]), list(got[-1])] == [row["first_group"], row["last_group"]]


def test_moments_are_amts() -> None:
    rows = load("functions_AMT", "gopro_index").info["indices"]
    assert len(rows) == 6
    for row in rows:
        positions = [8 * row["group"] + offset for offset in row["frame_offsets"]]
        assert video_moments(25)[row["index"]] == Moment(*positions, row["timestep"])


def test_a_group_played_backwards_keeps_its_times() -> None:
    """As IFRNet reverses the nine frames: the k-th target is then frame 8 - k, and its time k/8."""
    got = moments(groups(17)[1][::-1])
    assert got == [Moment(16, 16 - k, 8, k / 8) for k in range(1, 8)]


@pytest.mark.parametrize("always_turn_time", [False, True])
def test_amts_time_reversal(always_turn_time: bool) -> None:
    """The published loader turns the time whether it exchanges the frames or not; we do so when asked."""
    rows = load("functions_AMT", "gopro_time_reversal").info["table"]
    assert [row["swapped"] for row in rows] == [True, False]
    frames = {name: np.full((2, 2, 3), number, np.uint8) for name, number in (("frame 0", 0), ("frame 8", 8))}
    for row in rows:
        sample = {"frame0": frames["frame 0"], "frame1": frames["frame 8"], "target": frames["frame 0"], "key": "k"}
        reverse = ReverseTime(float(row["swapped"]), always_turn_time=always_turn_time)
        got = reverse({**sample, "time": row["timestep_in"]}, np.random.default_rng(0))
        np.testing.assert_array_equal(got["frame0"], frames[row["img0"]])
        np.testing.assert_array_equal(got["frame1"], frames[row["img1"]])
        turns = row["swapped"] or always_turn_time
        assert got["time"] == (row["timestep_out"] if turns else row["timestep_in"])


def test_short_videos_and_groups() -> None:
    assert groups(8) == groups(0) == []
    assert groups(9) == [range(9)]
    assert moments(groups(3, size=3)[0]) == [Moment(0, 1, 2, 0.5)]
    with pytest.raises(ValueError, match=r"3 frames or more; got size=2"):
        groups(9, size=2)


def test_no_video_is_both_trained_and_tested_on() -> None:
    assert (len(set(TRAIN_VIDEOS)), len(set(TEST_VIDEOS))) == (22, 11)
    assert not set(TRAIN_VIDEOS) & set(TEST_VIDEOS)
