"""GoPro's groups and times against the published loaders of IFRNet and AMT."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest

from datamodules.file_dataset import Triplet
from datamodules.gopro import TEST_VIDEOS, TRAIN_VIDEOS, GoPro, group_triplets, groups, video_triplets
from datamodules.transforms import HorizontalFlip, RandomCrop, ReverseTime
from tests.helpers.golden_cases import load
from tests.helpers.layouts import fabricate
from vfi_train.errors import DataError


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
        assert len(video_triplets(row["frames_in_clip"])) == row["samples"]
        assert [list(got[0]), list(got[-1])] == [row["first_group"], row["last_group"]]


def test_triplets_are_amts() -> None:
    rows = load("functions_AMT", "gopro_index").info["indices"]
    assert len(rows) == 6
    for row in rows:
        positions = [8 * row["group"] + offset for offset in row["frame_offsets"]]
        triplet = video_triplets(25)[row["index"]]
        assert (triplet, triplet.time) == (Triplet(*positions), row["timestep"])


def test_a_group_played_backwards_keeps_its_times() -> None:
    """As IFRNet reverses the nine frames: the k-th target is then frame 8 - k, and its time k/8."""
    got = group_triplets(groups(17)[1][::-1])
    assert got == [Triplet(16, 16 - k, 8) for k in range(1, 8)]
    assert [triplet.time for triplet in got] == [k / 8 for k in range(1, 8)]


@pytest.mark.parametrize("always_turn_time", [False, True])
def test_amts_time_reversal(always_turn_time: bool) -> None:
    """The published loader reverses the time whether it exchanges the frames or not; here this is an option."""
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


def test_no_video_is_both_trained_and_tested_on() -> None:
    assert (len(set(TRAIN_VIDEOS)), len(set(TEST_VIDEOS))) == (22, 11)
    assert not set(TRAIN_VIDEOS) & set(TEST_VIDEOS)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fabricate("gopro", tmp_path_factory.mktemp("gopro"), size=(16, 24))


def test_a_whole_group_is_augmented_alike(root: Path) -> None:
    """IFRNet's item: seven targets of one pair, the same window of all nine frames, played forwards or backwards."""
    transforms = [RandomCrop(8), HorizontalFlip(0.5), ReverseTime(0.5)]
    source = GoPro(root=str(root), batch_size=1, item="group", transforms=transforms).train_source()
    assert len(source) == 3 + 21
    directions = set()
    for seed in range(20):
        samples = source.sample(1, np.random.default_rng(seed))
        assert isinstance(samples, list)
        assert [s["key"][-6:] for s in samples] == [f"{47 + 8 + k:06d}" for k in range(1, 8)]
        assert {s["pair"] for s in samples} == {"GOPR0372_07_00/000055-000063"}
        backwards = samples[0]["time"] == 7 / 8
        directions.add(backwards)
        assert [s["time"] for s in samples] == [(8 - k if backwards else k) / 8 for k in range(1, 8)]
        frames = [samples[0]["frame0"], *(s["target"] for s in samples), samples[0]["frame1"]]
        if backwards:
            frames[0], frames[-1] = frames[-1], frames[0]
        # Frame k is the first one moved k pixels to the right: neighbours overlap where the window is the same.
        for first, second in itertools.pairwise(frames):
            shifts = [np.array_equal(first[:, :-1], second[:, 1:]), np.array_equal(first[:, 1:], second[:, :-1])]
            assert any(shifts)
        for sample in samples[1:]:
            np.testing.assert_array_equal(sample["frame0"], samples[0]["frame0"])
    assert directions == {True, False}


def test_a_batch_of_groups_holds_seven_times_as_many_images(root: Path) -> None:
    module = GoPro(root=str(root), batch_size=2, item="group", transforms=[RandomCrop(8)])
    module.setup()
    assert module.train_size == 24
    batches = list(module.train_dataloader())
    assert len(batches) == 12
    for batch in batches:
        assert batch["frame0"].shape == batch["target"].shape == (14, 3, 8, 8)
        assert batch["time"].flatten().tolist() == [k / 8 for k in range(1, 8)] * 2
        assert len(set(batch["key"])) == 14


def test_missing_videos_are_counted(tmp_path: Path) -> None:
    made = fabricate("gopro", tmp_path, size=(8, 8))
    for video in ("GOPR0374_11_02", "GOPR0378_13_00"):
        shutil.rmtree(made / "train" / video)
    message = r"has no train/GOPR0374_11_02, one of 2 missing train videos of 22: .*GOPRO_Large_all\.zip"
    with pytest.raises(DataError, match=message):
        GoPro(root=str(made), batch_size=1).check()
