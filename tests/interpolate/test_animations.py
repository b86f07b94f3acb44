"""Animated images: written frame by frame, at the rate that the format shows, and read again."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.storage.clips import AnimatedImage
from tests.helpers.videos import configured, pan, psnr, write_video
from vfi_train.errors import UserError
from vfi_train.interpolate import animation_writer
from vfi_train.interpolate.command import interpolate
from vfi_train.interpolate.readers import open_source


def durations(path: Path) -> list[float]:
    """Milliseconds that each frame is shown."""
    with Image.open(path) as image:
        found = []
        for index in range(image.n_frames):
            image.seek(index)
            image.load()
            found.append(image.info["duration"])
        assert image.info.get("loop", 0) == 0
        return found


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
def test_a_gif_lasts_as_long_as_the_source(tmp_path: Path, factor: int, capsys: pytest.CaptureFixture) -> None:
    """A GIF shows at most 50 frames/s: of 12.5 frames/s times 8, every second one is left out."""
    images = [Image.fromarray(image) for image in pan(13)]
    images[0].save(tmp_path / "in.gif", save_all=True, append_images=images[1:], duration=80, loop=0)
    summary = interpolate(configured(input=tmp_path / "in.gif", output=tmp_path / "out.gif", factor=factor))
    found = durations(tmp_path / "out.gif")
    assert abs(sum(found) - 13 * 80) <= 10
    assert min(found) >= 20
    count = 12 * min(factor, 4) + 1  # the last is held
    assert len(found) == summary.frames == count
    said = capsys.readouterr()
    more = f" ({13 * factor - count} more are shown by the ones before)" if factor > 1 else ""
    assert f"out.gif: {count} frames{more}, " in said.out
    assert ("gif shows at most 50 frames/s, not 100: the others are left out" in said.err) == (factor == 8)


def test_odd_rates_of_a_gif_are_kept_on_average(tmp_path: Path) -> None:
    source = write_video(tmp_path / "in.mp4", pan(30), rate=30)
    interpolate(configured(input=source, output=tmp_path / "out.gif", factor=2))
    found = durations(tmp_path / "out.gif")
    assert abs(sum(found) - 1000) <= 10
    assert min(found) >= 20


@pytest.mark.parametrize("ending", [".webp", ".apng"])
def test_an_animation_is_read_as_it_was_written(tmp_path: Path, ending: str) -> None:
    source = write_video(tmp_path / "in.mkv", pan(6), codec="ffv1", pixel_format="bgr0", rate=10)
    interpolate(configured(input=source, output=tmp_path / f"a{ending}", factor=2))
    clip = open_source(tmp_path / f"a{ending}")
    assert not clip.clip.alpha
    frames = list(clip.frames())
    assert [round(1000 * (b.time - a.time)) for a, b in pairwise(frames)] == [50] * 10
    for index, image in enumerate(pan(6)):
        assert psnr(frames[2 * index].image, image) > (28 if ending == ".webp" else 99)
    interpolate(configured(input=tmp_path / f"a{ending}", output=tmp_path / "b.mp4", factor=2))


def test_an_animated_png_by_another_name(tmp_path: Path) -> None:
    images = [Image.fromarray(image) for image in pan(3)]
    images[0].save(tmp_path / "in.png", save_all=True, append_images=images[1:], duration=100)
    assert AnimatedImage.holds(tmp_path / "in.png")
    summary = interpolate(configured(input=tmp_path / "in.png", output=tmp_path / "out", factor=2))
    assert summary.frames == 5
    images[0].save(tmp_path / "one.webp")
    with pytest.raises(UserError, match=r"one\.webp is one frame only: give two images or more"):
        interpolate(configured(input=tmp_path / "one.webp", output=tmp_path / "x", factor=2))


@pytest.mark.parametrize("ending", [".gif", ".apng"])
def test_frames_are_written_as_they_come(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    write = animation_writer.AnimationWriter.write

    def counted(self: animation_writer.AnimationWriter, frame: object) -> bool:
        sizes.append((tmp_path / f".out{ending}.part").stat().st_size)
        return write(self, frame)  # type: ignore[arg-type]

    monkeypatch.setattr(animation_writer.AnimationWriter, "write", counted)
    rng = np.random.default_rng(0)
    for i in range(12):
        Image.fromarray(rng.integers(0, 256, (64, 96, 3), np.uint8)).save(tmp_path / f"{i:02d}.png")
    interpolate(configured(input=f"{tmp_path}/*.png", output=tmp_path / f"out{ending}", factor=1))
    assert sizes[-1] > 0.5 * (tmp_path / f"out{ending}").stat().st_size


def test_patterns_of_ffmpeg_and_rates_of_videos_are_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"input=\S+%05d.png is written as for FFmpeg: .* input=\S+f\*.png"):
        interpolate(configured(input=f"{tmp_path}/f%05d.png", output=tmp_path / "x.mp4"))
    source = write_video(tmp_path / "in.mp4", pan(3))
    with pytest.raises(UserError, match=r"frame_rate=12 is of images, and \S+in.mp4 has its own times: output_rate="):
        interpolate(configured(input=source, output=tmp_path / "x.mp4", frame_rate=12))
    with pytest.raises(UserError, match="output_rate=24 and speed=1/2 both say how fast"):
        interpolate(configured(input=source, output=tmp_path / "x.mp4", output_rate=24, speed="1/2"))
    assert not list(tmp_path.glob("*x*"))
