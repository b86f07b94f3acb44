"""What a video has beside its picture is copied, or named."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition

from datamodules.storage.video_file import VideoFile
from tests.helpers.videos import configured, copy_video, pan, read_video, sound_samples, write_video
from vfi_train.interpolate.command import interpolate
from vfi_train.interpolate.tracks import plain_text, timecode_at

TWO = [
    {"metadata": {"language": "eng"}},
    {"metadata": {"language": "deu", "title": "Commentary"}, "default": True},
]  # fmt: skip


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a second of H.264."""
    return write_video(tmp_path_factory.mktemp("clip") / "picture.mp4", pan(12), options={"crf": "12"})


def streams(path: Path) -> list[tuple[str, dict[str, str], bool]]:
    with av.open(str(path)) as container:
        return [
            (
                stream.type,
                {k: v for k, v in stream.metadata.items() if k in ("language", "title", "name", "timecode")},
                bool(stream.disposition & Disposition.default),
            )
            for stream in container.streams
        ]


def chapters(path: Path) -> list[tuple[Fraction, Fraction, str]]:
    with av.open(str(path)) as container:
        found: list[Any] = container.chapters()
        return [(c["start"] * c["time_base"], c["end"] * c["time_base"], c["metadata"]["title"]) for c in found]


def seconds(path: Path, kind: str) -> float:
    """When the last packet of a kind of track ends."""
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(getattr(container.streams, kind)[0]) if p.dts is not None]
        return float(max((p.pts + (p.duration or 0)) * p.time_base for p in packets))


def test_sound_beyond_the_picture_is_kept(picture: Path, tmp_path: Path) -> None:
    source = copy_video(picture, tmp_path / "in.mp4", sounds=[{}], seconds=1.5)
    assert VideoFile(copy_video(picture, tmp_path / "in.mkv", sounds=[{}], seconds=1.5)).clip.count == 12
    interpolate(configured(input=source, output=tmp_path / "out.mp4", factor=2))
    assert np.array_equal(sound_samples(tmp_path / "out.mp4"), sound_samples(source))
    assert seconds(tmp_path / "out.mp4", "audio") > 1.45
    assert seconds(tmp_path / "out.mp4", "video") == 0.5


def test_matroska_keeps_all_tracks(picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    source = copy_video(
        picture, tmp_path / "in.mkv", sounds=TWO, subtitles="Hello", chapters=[0, 0.25], seconds=0.5,
        metadata={"title": "T", "MOOD": "calm"},
    )  # fmt: skip
    interpolate(configured(input=source, output=tmp_path / "out.mkv", factor=2))
    assert streams(tmp_path / "out.mkv") == streams(source)
    assert [kind for kind, _, _ in streams(source)] == ["video", "audio", "audio", "subtitle"]
    assert chapters(tmp_path / "out.mkv") == chapters(source)
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert {"title": "T", "MOOD": "calm"}.items() <= container.metadata.items()
        text = [bytes(p) for p in container.demux(container.streams.subtitles[0]) if p.dts is not None]
    assert text == [b"Hello"]
    assert "left out" not in capsys.readouterr().err


def test_mp4_names_what_it_cannot_hold(picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    source = copy_video(
        picture, tmp_path / "in.mkv", sounds=TWO, subtitles="Hello", chapters=[0, 0.25], seconds=0.5,
        metadata={"title": "T", "MOOD": "calm"},
    )  # fmt: skip
    interpolate(configured(input=source, output=tmp_path / "out.mp4", factor=2))
    found = [stream for stream in streams(tmp_path / "out.mp4") if stream[0] == "audio"]
    assert [(tags["language"], default) for _, tags, default in found] == [("eng", False), ("deu", True)]
    assert found[1][1]["name"] == "Commentary"
    assert chapters(tmp_path / "out.mp4") == chapters(source)
    said = capsys.readouterr().err
    assert "out.mp4 cannot hold it (.mkv holds more): the tag MOOD" in said
    interpolate(configured(input=source, output=tmp_path / "out.gif", factor=1))
    assert "gif holds only the picture: left out is sound, subtitles, chapters" in capsys.readouterr().err
    interpolate(configured(input=source, output=tmp_path / "frames", factor=1, audio=False))
    assert "images hold only the picture: left out is subtitles, chapters" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "output", "codec"), [("in.mkv", "out.mp4", "mov_text"), ("in.mp4", "out.mkv", "subrip")]
)
def test_subtitles_become_what_the_container_takes(
    picture: Path, tmp_path: Path, given: str, output: str, codec: str, capsys: pytest.CaptureFixture
) -> None:
    source = copy_video(
        picture, tmp_path / given, subtitles="<i>Hé</i>, you", seconds=1, offset=5 if given == "in.mkv" else 0
    )
    interpolate(configured(input=source, output=tmp_path / output, factor=2))
    with av.open(str(tmp_path / output)) as container:
        track = container.streams.subtitles[0]
        assert track.codec_context.name.replace("srt", "subrip") == codec
        found = [packet for packet in container.demux(track) if packet.size > 2]
    text = "Hé, you" if codec == "mov_text" else "<i>Hé</i>, you"
    header = len(text.encode()).to_bytes(2, "big") if codec == "mov_text" else b""
    times = [float(x * found[0].time_base) for x in (found[0].pts, found[0].duration)]
    assert [bytes(packet) for packet in found] == [header + text.encode()]
    assert times == pytest.approx([0.1, 0.8], abs=0.002)
    assert f"are written as {codec}, without their styles" in capsys.readouterr().err


def test_text_of_subtitles() -> None:
    line = "0,0,Default,,0,0,0,,Hello, {\\an8}you\\Nthere"
    assert plain_text(line.encode(), "ass") == "Hello, you\nthere"
    assert plain_text(b"1 < 2 <b>{x}</b>", "subrip") == "1 < 2 {x}"


def test_subtitles_of_mp4_end_with_the_last_of_them(picture: Path, tmp_path: Path) -> None:
    source = copy_video(picture, tmp_path / "in.mp4", sounds=[{}], subtitles="Hello", seconds=1)
    interpolate(configured(input=source, output=tmp_path / "out.mp4", factor=2))
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert abs(container.duration / 1e6 - 1) < 0.05
        found = [p for p in container.demux(container.streams.subtitles[0]) if p.size > 2]
        assert [(float(p.pts * p.time_base), bytes(p)[2:]) for p in found] == [(0.1, b"Hello")]


def test_adts_sound_is_written_to_mp4_and_matroska(picture: Path, tmp_path: Path) -> None:
    source = copy_video(picture, tmp_path / "in.ts", sounds=[{}], seconds=0.5, offset=3)
    for name in ("out.mp4", "out.mkv"):
        interpolate(configured(input=source, output=tmp_path / name, factor=2))
        assert np.array_equal(sound_samples(tmp_path / name), sound_samples(source))
        frames, times, _ = read_video(tmp_path / name)
        assert len(frames) == 24
        assert times[0] < 0.1


def test_the_sources_clock_does_not_reach_the_output(picture: Path, tmp_path: Path) -> None:
    source = copy_video(picture, tmp_path / "in.mkv", sounds=[{}], chapters=[0, 0.25], seconds=0.5, offset=600)
    assert VideoFile(source).clip.start > 599
    interpolate(configured(input=source, output=tmp_path / "out.mp4", factor=2))
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.start_time < 50_000
        assert 0.45 < container.duration / 1e6 < 0.6
    assert [float(start) for start, _, _ in chapters(tmp_path / "out.mp4")] == pytest.approx([0, 0.25], abs=0.03)


def test_slow_motion_scales_chapters_and_leaves_sound_out(
    picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    source = copy_video(picture, tmp_path / "in.mkv", sounds=[{}], subtitles="Hello", chapters=[0, 0.25], seconds=0.5)
    interpolate(configured(input=source, output=tmp_path / "out.mkv", factor=2, output_rate=12))
    frames, times, facts = read_video(tmp_path / "out.mkv")
    assert (len(frames), facts["rate"]) == (24, 12)
    assert max(abs(time - Fraction(k, 12)) for k, time in enumerate(times)) < 0.003
    assert [float(start) for start, _, _ in chapters(tmp_path / "out.mkv")] == [0, 1]
    assert [kind for kind, _, _ in streams(tmp_path / "out.mkv")] == ["video"]
    said = capsys.readouterr().err
    assert "speed=1/4 leaves the sound out" in said
    assert "subtitles (srt)" in said


@pytest.mark.parametrize(
    ("code", "source", "rate", "expected"),
    [
        ("01:00:00:12", 24, 48, "01:00:00:24"),
        ("01:02:03;29", Fraction(30000, 1001), Fraction(60000, 1001), "01:02:03;58"),
        ("01:00:00:12", 24, 60, None),
        ("01:00:00:12", 24, 192, None),
    ],
)
def test_time_codes_count_at_the_new_rate(code: str, source: Any, rate: Any, expected: str | None) -> None:
    assert timecode_at(code, Fraction(source), Fraction(rate)) == expected


def test_the_time_code_is_copied_or_named(picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    source = copy_video(picture, tmp_path / "in.mov", video_metadata={"timecode": "01:00:00:12"})
    interpolate(configured(input=source, output=tmp_path / "out.mov", factor=2))
    assert ("video", "01:00:00:24") in [(kind, tags.get("timecode")) for kind, tags, _ in streams(tmp_path / "out.mov")]
    interpolate(configured(input=source, output=tmp_path / "out.mkv", rate=60))
    assert "the time code 01:00:00:12" in capsys.readouterr().err


def test_avi_has_the_outputs_rate(picture: Path, tmp_path: Path) -> None:
    source = copy_video(picture, tmp_path / "in.mp4", sounds=[{}], seconds=0.5)
    interpolate(configured(input=source, output=tmp_path / "out.avi", factor=2))
    with av.open(str(tmp_path / "out.avi")) as container:
        stream = container.streams.video[0]
        assert (stream.average_rate, stream.frames) == (48, 24)
        assert len(list(container.decode(video=0))) == 24


@pytest.mark.parametrize("ending", ["avi", "y4m"])
def test_uneven_times_that_an_output_has_not_are_said(
    tmp_path: Path, ending: str, capsys: pytest.CaptureFixture
) -> None:
    ticks = [0, 100, 200, 300, 400, 2400, 2500, 2600]
    source = write_video(tmp_path / "in.mp4", pan(8), ticks=ticks)
    interpolate(configured(input=source, output=tmp_path / f"out.{ending}", factor=2))
    assert f"{ending} has no time stamps: frames are shown up to 0." in capsys.readouterr().err
    interpolate(configured(input=source, output=tmp_path / f"even.{ending}", rate=24))
    assert "time stamps" not in capsys.readouterr().err


@pytest.mark.parametrize("codec", ["h264", "h265", "av1"])
def test_hdr10_metadata_is_written(tmp_path: Path, codec: str, capsys: pytest.CaptureFixture) -> None:
    light = (
        "log-level=none:hdr10=1:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)"
        "L(10000000,1):max-cll=1000,400"
    )
    source = write_video(
        tmp_path / "in.mp4", pan(3), codec="libx265", pixel_format="yuv420p10le", matrix=9, primaries=9, transfer=16,
        options={"x265-params": light},
    )  # fmt: skip
    interpolate(configured(input=source, output=tmp_path / "out.mp4", codec=codec, factor=2))
    given, found = (VideoFile(path).clip for path in (source, tmp_path / "out.mp4"))
    assert found.colour == given.colour
    assert found.side_data["CONTENT_LIGHT_LEVEL"] == given.side_data["CONTENT_LIGHT_LEVEL"]
    values = [_ratios(clip.side_data["MASTERING_DISPLAY_METADATA"]) for clip in (given, found)]
    np.testing.assert_allclose(values[1], values[0], rtol=3e-4, atol=3e-5)
    assert values[0][:2].tolist() == [0.68, 0.32]
    capsys.readouterr()
    interpolate(configured(input=source, output=tmp_path / "out.mkv", codec="ffv1", factor=1))
    assert "ffv1 does not write the mastering display of HDR10: codec=h265 does" in capsys.readouterr().err


def _ratios(data: bytes) -> np.ndarray:
    numbers = np.frombuffer(data, np.int32, 20)
    return numbers[::2] / numbers[1::2]
