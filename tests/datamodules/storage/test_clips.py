"""One reader of videos and images for training and interpolation: orientation, depth, colours, time stamps."""

from __future__ import annotations

import gc
import itertools
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from datamodules.storage.clips import ClipPath, ImageFiles
from datamodules.storage.image_io import read_image, to_bits
from datamodules.storage.store import open_store
from datamodules.storage.video_file import VideoFile
from tests.helpers.videos import pan, write_video

TURNS = {0: 0, 90: 1, 180: 2, 270: 3}
MIRRORS = {"none": lambda i: i, "hflip": lambda i: i[:, ::-1], "vflip": lambda i: i[::-1]}


@pytest.mark.parametrize("rotation", TURNS)
@pytest.mark.parametrize("mirror", MIRRORS)
def test_the_display_matrix_rotates_and_mirrors(tmp_path: Path, rotation: int, mirror: str) -> None:
    """By the meaning of the matrix as it is written: a rotation anticlockwise, then a mirror."""
    path = write_video(
        tmp_path / "a.mp4", pan(2), rotation=rotation, mirror=mirror, options={"qp": "0"}, pixel_format="yuv444p"
    )
    plain = write_video(tmp_path / "b.mp4", pan(2), options={"qp": "0"}, pixel_format="yuv444p")
    clip = VideoFile(path)
    (frame, _), (coded, _) = clip.frames(), VideoFile(plain).frames()
    np.testing.assert_array_equal(frame.image, MIRRORS[mirror](np.rot90(coded.image, TURNS[rotation])))
    assert frame.image.shape == (clip.clip.height, clip.clip.width, 3)
    assert (frame.native is None) == (rotation != 0 or mirror != "none")


def test_training_reads_the_same_frames_as_interpolation(tmp_path: Path) -> None:
    """Chroma is interpolated and frames are upright in both."""
    path = write_video(tmp_path / "a.mp4", pan(3), rotation=90)
    for ours, frame in zip(ClipPath(path, "a").frames(), VideoFile(path).frames(), strict=True):
        np.testing.assert_array_equal(ours.image, frame.image)
    small = next(ClipPath(path, "a").frames(max_side=48)).image
    assert small.shape == (48, 32, 3)
    np.testing.assert_array_equal(small, cv2.resize(frame_of(path), (32, 48), interpolation=cv2.INTER_AREA))


def frame_of(path: Path) -> np.ndarray:
    return next(VideoFile(path).frames()).image


def test_sixteen_bits_are_rounded_to_eight(tmp_path: Path) -> None:
    deep = np.arange(0, 65536, 7, dtype=np.uint16)[: 64 * 48 * 3].reshape(48, 64, 3)
    for i in range(2):
        cv2.imwrite(str(tmp_path / f"{i}.png"), deep[..., ::-1])
    expected = np.round(deep / 257).astype(np.uint8)
    np.testing.assert_array_equal(read_image(tmp_path / "0.png"), deep)
    np.testing.assert_array_equal(open_store(tmp_path).read("0.png", "key"), expected)
    np.testing.assert_array_equal(next(ClipPath(tmp_path, "a").frames()).image, expected)
    files = [tmp_path / f"{i}.png" for i in range(2)]
    assert next(ImageFiles(files).frames()).image.dtype == np.uint16
    np.testing.assert_array_equal(to_bits(expected, 16), expected.astype(np.uint16) * 257)


def test_avi_with_b_frames_has_even_times(tmp_path: Path) -> None:
    """AVI stores decoding times, which are out of order: see findings/av_avi_b_frames.sh."""
    images = [np.full((64, 96, 3), 20 + 9 * i, np.uint8) for i in range(24)]
    options = {"bf": "3", "b-adapt": "0", "x264-params": "scenecut=0"}
    frames = list(VideoFile(write_video(tmp_path / "a.avi", images, options=options)).frames())
    means = [frame.image.mean() for frame in frames]
    assert means == sorted(means)
    gaps = {after.time - before.time for before, after in itertools.pairwise(frames)}
    assert (len(frames), len(gaps)) == (24, 1)


def test_decoders_end_without_the_garbage_collector(tmp_path: Path) -> None:
    """A worker that is forked while a decoder waits for collection would wait for ever for its threads."""
    path = write_video(tmp_path / "a.mkv", pan(12), codec="ffv1", pixel_format="bgr0")
    gc.collect()
    gc.disable()
    try:
        VideoFile(path).close()
        assert sum(1 for _ in ClipPath(path, "a").frames()) == 12
        assert not [t for t in Path("/proc/self/task").glob("*/comm") if t.read_text().startswith("av:")]
    finally:
        gc.enable()


def test_times_and_durations(tmp_path: Path) -> None:
    clip = VideoFile(write_video(tmp_path / "a.mp4", pan(4)))
    assert (clip.clip.rate, clip.clip.count) == (24, 4)
    assert [frame.time for frame in clip.frames()] == [Fraction(i, 24) for i in range(4)]
