"""Each mistake ends in one sentence, and leaves nothing half-written."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.helpers.videos import configured, pan, psnr, read_rgb, write_sizes, write_video
from vfi_train.errors import UserError
from vfi_train.interpolate.command import interpolate


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good and bad inputs."""
    root = tmp_path_factory.mktemp("inputs")
    images = pan(3)
    for index, image in enumerate(images):
        Image.fromarray(image).save(root / f"{index}.png")
    Image.fromarray(images[0][:50]).save(root / "smaller.png")
    (root / "cut.png").write_bytes((root / "0.png").read_bytes()[:-400])
    (root / "text.png").write_text("not an image")
    (root / "text.mp4").write_text("not a video")
    (root / "empty").mkdir()
    (root / "full").mkdir()
    (root / "full" / "kept.txt").write_text("mine")
    write_video(root / "good.mp4", images, sound="aac")
    write_video(root / "flac.mkv", images, sound="flac")
    write_video(root / "one.mp4", images[:1])
    write_video(root / "sound.m4a", images, sound="aac")
    whole = write_video(root / "whole.mkv", pan(40), codec="ffv1", pixel_format="yuv420p").read_bytes()
    (root / "broken.mp4").write_bytes((root / "good.mp4").read_bytes()[:2000])
    (root / "whole.mkv").write_bytes(whole)
    return root


BAD: dict[str, tuple[dict, str]] = {
    "no such file": ({"input": "nowhere.mp4"}, "there is no file or folder input=nowhere.mp4: give a video, a folder"),
    "no such image": ({"input": ["0.png", "9.png"]}, "there is no image 9.png, which input= names"),
    "no match": ({"input": "*.jpeg"}, r"no file matches the pattern input=\*.jpeg"),
    "mixed pattern": ({"input": "*"}, "matches .*, which is not an image: give one video, or images"),
    "unreadable video": ({"input": "text.mp4"}, "text.mp4 cannot be read as a video"),
    "broken video": ({"input": "broken.mp4"}, "broken.mp4 cannot be read as a video"),
    "unreadable image": ({"input": ["0.png", "text.png"]}, "text.png is not an image that can be decoded"),
    "cut image": ({"input": ["0.png", "cut.png"]}, r"cut.png is cut off \("),
    "one frame": ({"input": "one.mp4"}, "one.mp4 holds only one frame: a clip has two or more"),
    "one image": (
        {"input": "0.png"},
        r"input=0.png is one frame only: give two images or more, input=\[0.png,OTHER\]",
    ),
    "list of one": ({"input": ["0.png"]}, r"input= holds one frame only \(0.png\)"),
    "empty folder": ({"input": "empty"}, "the folder input=empty holds no images"),
    "different sizes": (
        {"input": ["0.png", "smaller.png"]},
        r"different sizes: 0.png is 64x96, smaller.png is 50x96 \(height x width\): bring them to one size",
    ),
    "unknown codec": ({"codec": "h256"}, "codec=h256 is not known here: did you mean 'h265'"),
    "codec of sound": ({"codec": "aac"}, "codec=aac is no codec of videos"),
    "codec that the container lacks": (
        {"codec": "h264", "output": "out.webm"},
        "out.webm cannot hold libx264 video: give an output that ends in .mp4 or .mkv",
    ),
    "quality that the codec lacks": ({"codec": "mpeg4", "quality": 3}, "codec=mpeg4 has no quality="),
    "encoder's refusal": (
        {"encoder_options": {"preset": "brisk"}},
        "64 yuv420p by libx264 and sound of aac cannot be written",
    ),
    "pixel format": (
        {"pixel_format": "yuv420p8"},
        "pixel_format=yuv420p8 is not taken by libx264: did you mean 'yuv420p'",
    ),
    "sound that the container lacks": (
        {"input": "flac.mkv", "output": "out.webm"},
        r"out.webm cannot hold the source's sound \(flac\): give an output that ends in .mkv, or audio=false",
    ),
    "unknown ending": ({"output": "out.mpx"}, r"out.mpx ends in .mpx, which is none of .mp4, .m4v"),
    "existing file": ({"output": "good.mp4"}, "output=good.mp4 exists: choose another, or overwrite=true"),
    "the input itself": ({"output": "good.mp4", "overwrite": True}, "output=good.mp4 is the input: choose another"),
    "the input, otherwise named": (
        {"input": ["0.png", "1.png"], "times": [0.5], "output": "./1.png", "overwrite": True},
        "output=./1.png is the input: choose another",
    ),
    "folder that is not empty": (
        {"output": "full"},
        "output=full is a folder that holds files: give a file such as out.mp4",
    ),
    "place that cannot be written": ({"output": "/proc/out.mp4"}, "output=/proc/out.mp4 cannot be written"),
    "folder that cannot be made": ({"output": "/proc/out"}, "output=/proc/out cannot be written after 0 frames"),
    "one image for many": ({"output": "out.png"}, "output=out.png is one image, but there are more frames"),
    "kind of frames": ({"output": "new", "frames": "pgn"}, "frames=pgn is no kind of image: did you mean 'png'"),
    "two plans": ({"factor": 2, "rate": 60}, "factor and rate both say which frames to write"),
    "speed": ({"speed": 0}, "speed=0 is not a speed"),
    "compare": ({"compare": "left"}, "compare=left is not known: give beside or below"),
    "tile": ({"tile": "large"}, "tile=large is not a tile's side"),
    "memory": ({"memory": 0.001}, "0.00 GiB of memory hold no tile of 256 pixels"),
    "device": ({"device": "tpu"}, "device=tpu is not here"),
    "weights": ({"weights": "ifrnet_tini"}, "weights=ifrnet_tini is no file.*did you mean 'ifrnet_tiny_synthetic'"),
    "scale": ({"scale": -1}, "scale=-1.0 is not a factor above 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_one_sentence(case: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes, message = BAD[case]
    monkeypatch.chdir(folder)
    before = sorted(p.name for p in folder.rglob("*"))
    with pytest.raises((UserError, ValueError), match=message) as caught:
        interpolate(configured(**{"input": "good.mp4", "output": str(tmp_path / "out.mp4"), **changes}))
    assert "\n" not in str(caught.value)
    assert sorted(p.name for p in folder.rglob("*")) == before
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def limited() -> Iterator[Callable[[int], None]]:
    """Lets files grow to so many bytes, as a full disk would."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda most: resource.setrlimit(resource.RLIMIT_FSIZE, (most, usual[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, usual)


@pytest.mark.parametrize("output", ["out.mkv", "frames", "out.apng"])
def test_a_full_disk(folder: Path, tmp_path: Path, limited: Callable[[int], None], output: str) -> None:
    codec = "ffv1" if output.endswith(".mkv") else None
    config = configured(input=folder / "whole.mkv", output=tmp_path / output, codec=codec, factor=1)
    limited(3_000)
    with pytest.raises(
        UserError, match=r"the disk of output=.* is full after .* frames, and what was written is removed"
    ):
        interpolate(config)
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_to_a_full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(UserError, match="the disk of output=- is full"):
            interpolate(configured(input=folder / "whole.mkv", output="-", factor=1))
        monkeypatch.undo()


def test_a_reader_that_leaves(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as broken:
        monkeypatch.setattr(sys, "stdout", broken)
        with pytest.raises(UserError, match="the reader of standard output ended"):
            interpolate(configured(input=folder / "whole.mkv", output="-", factor=1))
        monkeypatch.undo()


def test_terminals_are_no_pipes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.openpty()
    with open(theirs, "r+b", buffering=0) as terminal:
        text = type("Text", (), {"buffer": terminal, "isatty": lambda self: True})()
        monkeypatch.setattr(sys, "stdin", text)
        with pytest.raises(UserError, match="standard input is a terminal"):
            interpolate(configured(input="-", output=str(folder / "x.mp4")))
        monkeypatch.setattr(sys, "stdout", text)
        with pytest.raises(UserError, match="standard output is a terminal"):
            interpolate(configured(input=folder / "good.mp4", output="-"))
        monkeypatch.undo()
    os.close(ours)


def test_a_pipe_without_y4m(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(np.random.default_rng(0).bytes(5000))
    with (tmp_path / "noise").open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        with pytest.raises(UserError, match="standard input cannot be read as y4m"):
            interpolate(configured(input="-", output=str(tmp_path / "x.mp4")))
        monkeypatch.undo()


def test_frames_of_another_size_are_scaled_to_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_sizes(tmp_path / "in.ts", ((64, 96), (80, 120), (64, 96)))
    interpolate(configured(input=path, output=tmp_path / "out.mp4", factor=1))
    expected = [cv2.resize(image, (96, 64)) for image in pan(15)]
    found = read_rgb(tmp_path / "out.mp4")
    assert len(found) == 15
    assert min(psnr(a, b) for a, b in zip(found, expected, strict=True)) > 25  # of the frame beside it: 17
    said = [line for line in capsys.readouterr().err.splitlines() if "changes its size" in line]
    assert len(said) == 1
    assert "in.ts changes its size from 64x96 to 80x120 at frame 6: 5 frames are scaled to the first size" in said[0]
