"""Videos as they are found: damaged, cut off, interlaced, on another clock, with chroma sited in several ways."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from datamodules.storage.media import Colour, chroma_location, from_rgb, to_rgb
from datamodules.storage.video_file import VideoFile
from tests.helpers.videos import copy_video, pan, write_video, zero_packets
from vfi_train.errors import UserError

LONG = {"options": {"g": "12", "bf": "0"}}
FIELDS = {"options": {"flags": "+ildct+ilme", "x264-params": "tff=1"}}


def test_what_cannot_be_decoded_is_left_out_and_said(tmp_path: Path) -> None:
    path = zero_packets(write_video(tmp_path / "a.mp4", pan(48), **LONG), [20])
    clip = VideoFile(path)
    times = [frame.time for frame in clip.frames()]
    assert times == [Fraction(i, 24) for i in range(48) if i != 20]  # the others keep their times
    assert len(clip.problems) == 1
    assert "is damaged: 1 of its 48 packets cannot be decoded" in clip.problems[0]


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_a_file_that_was_cut_off_is_said_to_be(tmp_path: Path, ending: str) -> None:
    path = write_video(tmp_path / f"a{ending}", pan(48), **LONG, container_options={"movflags": "faststart"})
    whole = VideoFile(path)
    assert len(list(whole.frames())) == 48
    assert whole.problems == []
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    cut = VideoFile(path)
    count = len(list(cut.frames()))
    assert 10 < count < 40
    assert len(cut.problems) == 1
    said = {
        ".mp4": f"it says that it has 48 frames, but only {count} are there",
        ".mkv": "it says that it lasts 2.00 s",
    }
    assert f"{path} is cut off: {said[ending]}" in cut.problems[0]


def test_times_begin_with_the_first_of_picture_and_sound(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", pan(4), options={"bf": "0"})
    late = VideoFile(copy_video(source, tmp_path / "b.mkv", offset=600))
    assert [round(24 * frame.time) for frame in late.frames()] == [0, 1, 2, 3]
    assert late.clip.start == 600


def test_interlaced_frames_are_known_and_deinterlaced_by_name(tmp_path: Path) -> None:
    """Fields of a square that moves 4 pixels from field to field: a frame of each field shows no comb."""
    fields = [np.full((64, 96, 3), 40, np.uint8) for _ in range(16)]
    for i, image in enumerate(fields):
        image[16:48, 8 + 4 * i : 24 + 4 * i] = 220
    woven = [top.copy() for top in fields[::2]]
    for image, bottom in zip(woven, fields[1::2], strict=True):
        image[1::2] = bottom[1::2]
    path = write_video(tmp_path / "a.mp4", woven, **FIELDS)
    plain = VideoFile(path)
    assert plain.clip.interlaced
    combed = [_comb(frame.image) for frame in plain.frames()]
    clip = VideoFile(path, deinterlace="bwdif")
    frames = list(clip.frames())
    assert (clip.clip.interlaced, clip.clip.rate, clip.clip.count, len(frames)) == (False, 48, 16, 16)
    assert [frame.time for frame in frames] == [Fraction(i, 48) for i in range(16)]
    assert max(_comb(frame.image) for frame in frames[2:-2]) < 0.4 * min(combed)
    once = VideoFile(path, deinterlace="bwdif=mode=send_frame")
    assert (once.clip.rate, len(list(once.frames()))) == (24, 8)
    copied = VideoFile(path, deinterlace="copy")
    assert not copied.clip.interlaced
    assert [_comb(frame.image) for frame in copied.frames()] == combed
    assert not VideoFile(write_video(tmp_path / "b.mp4", fields[:2])).clip.interlaced


def _comb(image: np.ndarray) -> float:
    luma = image.astype(float).mean(axis=2)
    return float(np.abs(luma[1:-1] - (luma[:-2] + luma[2:]) / 2)[20:40].mean())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bwdiff", "deinterlace=bwdiff is no filter that deinterlaces: did you mean 'bwdif'"),
        ("bwdif=mode=twice", "the filter bwdif does not take mode=twice"),
    ],
)
def test_wrong_filters_are_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        VideoFile(tmp_path / "a.mp4", deinterlace=text)


@pytest.mark.parametrize("location", ["left", "center", "topleft"])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv420p10le"])
def test_chroma_comes_back_to_where_it_was(pixel_format: str, location: str) -> None:
    """Ramps of Cb along x and of Cr along y: half a pixel beside, they would be half a level of luma's pixel off."""
    given = _ramps(pixel_format)
    image = to_rgb(given, 16, location)
    made = from_rgb(image, pixel_format, Colour(matrix=2, chroma=location))
    unit = 4 if "10" in pixel_format else 1
    for index in (1, 2):
        inner = np.s_[8:-8, 8:-8]
        difference = (_plane(made, index)[inner] - _plane(given, index)[inner]) / unit
        assert np.abs(difference).max() <= 1
        assert abs(difference.mean()) < 0.03
    # Read as if it were sited elsewhere, it is off by half a pixel of luma, which is half a level here.
    other = from_rgb(image, pixel_format, Colour(matrix=2, chroma="left" if location == "center" else "center"))
    off = max(abs((_plane(other, i) - _plane(given, i))[8:-8, 8:-8].mean()) / unit for i in (1, 2))
    assert off > 0.3


@pytest.mark.parametrize("location", ["left", "center", "topleft"])
def test_the_location_of_chroma_is_read_from_the_file(tmp_path: Path, location: str) -> None:
    options = {"chroma_sample_location": location}
    with av.open(str(write_video(tmp_path / "a.mp4", pan(2), options=options))) as container:
        assert chroma_location(next(container.decode(video=0))) == location
    assert VideoFile(tmp_path / "a.mp4").clip.colour.chroma == location


def _ramps(pixel_format: str) -> av.VideoFrame:
    frame = av.VideoFrame(128, 64, pixel_format)
    frame.pts, frame.time_base = 0, Fraction(1, 24)
    unit = 4 if "10" in pixel_format else 1
    for index, plane in enumerate(frame.planes):
        kind = np.uint8 if unit == 1 else "<u2"
        width = plane.line_size // np.dtype(kind).itemsize
        rows, columns = np.mgrid[: plane.height, :width]
        step = 128 // plane.width, 64 // plane.height  # luma pixels in one of chroma
        values = (np.full_like(rows, 128), 60 + step[0] * columns, 80 + step[1] * rows)[index]
        plane.update((unit * values.clip(0, 255)).astype(kind).tobytes())
    return frame


def _plane(frame: av.VideoFrame, index: int) -> np.ndarray:
    plane = frame.planes[index]
    kind = np.dtype(np.uint8 if frame.format.components[0].bits == 8 else "<u2")
    return np.frombuffer(bytes(plane), kind).reshape(plane.height, -1)[:, : plane.width].astype(float)
