"""Round trips on real video files: count, rate, duration, sound, colours, depth, time stamps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from datamodules.storage.image_io import read_image
from datamodules.storage.media import Colour, from_rgb, to_rgb
from tests.helpers.programs import ENVIRONMENT
from tests.helpers.videos import (
    HEIGHT,
    WIDTH,
    configured,
    pan,
    psnr,
    read_rgb,
    read_video,
    sound_packets,
    sound_samples,
    write_video,
)
from vfi_train.inference.interpolator import Interpolator
from vfi_train.interpolate import job
from vfi_train.interpolate.command import interpolate
from vfi_train.interpolate.readers import open_source

LOSSLESS = {"codec": "ffv1", "pixel_format": "yuv420p"}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second of H.264 with B-frames and AAC sound."""
    path = tmp_path_factory.mktemp("clip") / "in (1), take=2.mp4"
    return write_video(path, pan(24), sound="aac", options={"crf": "12", "bf": "3"})


@pytest.mark.parametrize("codec", ["h264", "h265", "av1"])
def test_a_video_keeps_duration_and_sound_and_multiplies_frames(clip: Path, tmp_path: Path, codec: str) -> None:
    output = tmp_path / "out.mp4"
    summary = interpolate(configured(input=clip, output=output, factor=4, codec=codec))
    source, source_times, _ = read_video(clip)
    frames, times, facts = read_video(output)
    assert (len(frames), facts["frames"], facts["rate"], facts["seconds"]) == (96, 96, 96, 1.0)
    assert facts["codec"] == {"h264": "h264", "h265": "hevc", "av1": "libdav1d"}[codec]
    assert times == [Fraction(k, 96) for k in range(96)]
    assert times[::4] == source_times
    assert (summary.frames, summary.counts["predicted"]) == (96, 69)
    for index in (0, 23):  # the codec's own loss: it encodes these very frames
        assert psnr(frames[4 * index], source[index]) > {"h264": 40, "h265": 38, "av1": 36}[codec]
    assert sound_packets(output) == sound_packets(clip)
    assert np.array_equal(sound_samples(output), sound_samples(clip))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.mp4"]


def test_a_lossless_video_holds_the_frames_themselves_and_the_networks_answers(clip: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mkv"
    interpolate(configured(input=clip, output=output, factor=2, **LOSSLESS))
    source, _, _ = read_video(clip)
    frames, _, _ = read_video(output)
    assert len(frames) == 48
    for index, frame in enumerate(source):
        assert np.array_equal(frames[2 * index], frame)
    images = [frame.image for frame in open_source(clip).frames()]
    network = Interpolator("ifrnet_tiny", weights="ifrnet_tiny_synthetic")
    for index in (0, 11, 22):
        expected = from_rgb(network(images[index], images[index + 1]), "yuv420p", Colour())
        assert np.array_equal(frames[2 * index + 1][: HEIGHT * WIDTH], expected.to_ndarray()[:HEIGHT].ravel())
    assert np.array_equal(frames[47], source[23])  # held to the end


@pytest.mark.slow
def test_a_runtime_gives_the_frames_of_pytorch(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    given = {
        "torch": {"backend": "auto", "precision": "auto"},
        "openvino": {"backend": "openvino", "precision": "float32"},
    }  # it is short
    for name, options in given.items():
        interpolate(configured(input=clip, output=tmp_path / f"{name}.mkv", **LOSSLESS, **options))
    assert "making the graph of IFRNet for frames of " in capsys.readouterr().err
    by_torch, by_runtime = (np.stack(read_video(tmp_path / f"{name}.mkv")[0]).astype(int) for name in given)
    assert len(by_torch) == 48
    assert np.abs(by_torch - by_runtime).max() <= 1
    assert (by_torch != by_runtime).mean() < 0.001


def test_24_becomes_60_exactly(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "out.mkv"
    totals: list[int | None] = []
    reporter = job.ProgressReporter
    monkeypatch.setattr(
        job, "ProgressReporter", lambda title, total, **more: totals.append(total) or reporter(title, total, **more)
    )
    interpolate(configured(input=clip, output=output, rate=60, codec="ffv1", audio=False))
    source, _, _ = read_video(clip)
    frames, times, facts = read_video(output)
    assert (len(frames), facts["rate"], facts["seconds"]) == (60, 60, 1.0)
    assert totals == [60]
    assert max(abs(when - Fraction(k, 60)) for k, when in enumerate(times)) <= Fraction(
        1, 2000
    )  # Matroska counts milliseconds
    for k in range(0, 60, 5):  # 1/12 s: every second frame of the source
        assert np.array_equal(frames[k], source[2 * k // 5])


def test_varying_frame_rates_keep_their_time_stamps(tmp_path: Path) -> None:
    ticks = [0, 100, 200, 500, 600, 950, 1000, 1100, 1200, 2000]
    source = write_video(tmp_path / "in.mp4", pan(10), ticks=ticks, options={"bf": "2"})
    interpolate(configured(input=source, output=tmp_path / "out.mp4", factor=2))
    _, times, facts = read_video(tmp_path / "out.mp4")
    middles = [(a + b) / 2 for a, b in pairwise(ticks)]
    expected = sorted(ticks + middles)
    assert times[:-1] == [Fraction(tick) / 2400 for tick in expected]
    assert times[-1] > times[-2]
    interpolate(configured(input=source, output=tmp_path / "even.mp4", rate=48))
    _, times, facts = read_video(tmp_path / "even.mp4")
    assert times == [Fraction(k, 48) for k in range(len(times))]
    assert abs(facts["seconds"] - 20 / 24) <= 1 / 12
    assert facts["rate"] == 48


def test_ten_bits_stay_ten_bits(tmp_path: Path) -> None:
    images = [image.astype(np.uint16) * 257 for image in pan(4)]
    hdr = {"matrix": 9, "primaries": 9, "transfer": 16}
    source = write_video(tmp_path / "in.mkv", images, codec="ffv1", pixel_format="yuv420p10le", sound="flac", **hdr)
    interpolate(configured(input=source, output=tmp_path / "out.mkv", factor=2, codec="ffv1"))
    given, _, _ = read_video(source)
    frames, _, facts = read_video(tmp_path / "out.mkv")
    assert facts["pixel_format"] == "yuv420p10le"
    assert facts["colour"] == (1, 9, 9, 16)
    for index in range(4):
        assert np.array_equal(frames[2 * index], given[index])
    assert len(np.unique(frames[1][: HEIGHT * WIDTH] % 4)) == 4  # eight bits would leave multiples of 4
    assert sound_packets(tmp_path / "out.mkv") == sound_packets(source)
    for codec in ("h264", "h265", "av1"):
        interpolate(configured(input=source, output=tmp_path / f"{codec}.mp4", factor=2, codec=codec, audio=False))
        assert read_video(tmp_path / f"{codec}.mp4")[2]["pixel_format"] == "yuv420p10le"
    interpolate(configured(input=source, output=tmp_path / "frames", factor=2))
    assert read_image(tmp_path / "frames" / "000001.png").dtype == np.uint16


@pytest.mark.parametrize(
    ("matrix", "color_range", "weights"),
    [(1, 1, (0.2126, 0.0722)), (1, 2, (0.2126, 0.0722)), (6, 1, (0.299, 0.114)), (9, 2, (0.2627, 0.0593))],
)
def test_matrix_and_range_are_read_and_kept(tmp_path: Path, matrix: int, color_range: int, weights: tuple) -> None:
    """A flat colour comes in and goes out by the closed form of its matrix (ITU-R BT.601, 709, 2020)."""
    red, blue = weights
    colour = np.array([200, 60, 30])
    luma = colour @ [red, 1 - red - blue, blue]
    chroma = [(colour[2] - luma) / (2 - 2 * blue), (colour[0] - luma) / (2 - 2 * red)]
    coded = [luma, chroma[0] + 128, chroma[1] + 128]
    if color_range == 1:
        coded = [16 + luma * 219 / 255, 128 + chroma[0] * 224 / 255, 128 + chroma[1] * 224 / 255]
    images = [np.full((HEIGHT, WIDTH, 3), colour, np.uint8)] * 2
    source = write_video(
        tmp_path / "in.mkv", images, codec="ffv1", matrix=matrix, color_range=color_range, primaries=matrix
    )
    clip = open_source(source)
    read = [frame.image for frame in clip.frames()]
    assert np.abs(read[0].reshape(-1, 3) - colour).max() <= 2
    made = from_rgb(read[0], "yuv420p", clip.clip.colour)
    assert [
        abs(np.frombuffer(plane, np.uint8)[0] - value) <= 1.5 for plane, value in zip(made.planes, coded, strict=True)
    ]
    assert np.abs(to_rgb(made, 8).astype(int) - read[0]).max() <= 2
    interpolate(configured(input=source, output=tmp_path / "out.mp4", static_threshold=None, factor=2))
    facts = read_video(tmp_path / "out.mp4")[2]
    assert facts["colour"] == (color_range, matrix, matrix, 1)
    assert np.abs(read_rgb(tmp_path / "out.mp4")[1].reshape(-1, 3).astype(int) - colour).max() <= 4


def test_a_cut_in_a_video_is_not_blended(tmp_path: Path) -> None:
    first, second = pan(6, seed=3), pan(6, seed=4)
    source = write_video(tmp_path / "in.mkv", first + second, codec="ffv1", pixel_format="bgr0")
    summary = interpolate(configured(input=source, output=tmp_path / "out.mkv", factor=8, codec="ffv1"))
    frames = read_rgb(tmp_path / "out.mkv")
    assert summary.counts["cut"] == 1
    for frame in frames[40:48]:
        assert psnr(frame, first[5]) > 35
        assert psnr(frame, second[0]) < 20
    assert psnr(frames[48], second[0]) > 35


def test_images_from_a_telephone_are_turned_upright(tmp_path: Path) -> None:
    source = write_video(tmp_path / "in.mp4", pan(3), rotation=90, options={"qp": "0"}, pixel_format="yuv444p")
    clip = open_source(source)
    assert (clip.clip.height, clip.clip.width) == (WIDTH, HEIGHT)
    with av.open(str(source)) as container:
        turned = next(container.decode(video=0)).rotation
    assert abs(turned) == 90
    expected = np.rot90(read_rgb(source)[0], turned // 90)
    assert np.abs(next(clip.frames()).image.astype(int) - expected).max() <= 2


def test_odd_sizes_get_one_more_row_and_column(tmp_path: Path) -> None:
    for index, image in enumerate(pan(2, height=51, width=75)):
        Image.fromarray(image).save(tmp_path / f"{index}.png")
    interpolate(configured(input=f"{tmp_path}/*.png", output=tmp_path / "out.mp4", factor=2, quality=1))
    frames = [frame.image for frame in open_source(tmp_path / "out.mp4").frames()]
    assert frames[0].shape == (52, 76, 3)
    # Chroma has half the size: brightness is what is left to compare.
    assert psnr(frames[0][:51, :75].mean(axis=2), pan(2, height=51, width=75)[0].mean(axis=2)) > 30


def test_slow_motion_is_longer_and_silent(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    interpolate(configured(input=clip, output=tmp_path / "out.mp4", factor=4, speed="1/4"))
    frames, times, facts = read_video(tmp_path / "out.mp4")
    assert (len(frames), facts["rate"], facts["seconds"]) == (96, 24, 4.0)
    assert times == [Fraction(k, 24) for k in range(96)]
    assert "speed=1/4 leaves the sound out" in capsys.readouterr().err
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert not container.streams.audio


@pytest.mark.parametrize(("compare", "axis"), [("beside", 1), ("below", 0)])
def test_the_original_stands_beside(tmp_path: Path, compare: str, axis: int) -> None:
    images = pan(3)
    for index, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{index}.png")
    interpolate(configured(input=f"{tmp_path}/*.png", output=tmp_path / "out", factor=2, compare=compare))
    interpolate(configured(input=f"{tmp_path}/*.png", output=tmp_path / "plain", factor=2))
    for index in range(5):
        both = read_image(tmp_path / "out" / f"{index:06d}.png")
        left, right = np.split(both, 2, axis=axis)
        assert np.array_equal(left, images[index // 2])
        assert np.array_equal(right, read_image(tmp_path / "plain" / f"{index:06d}.png"))


@pytest.mark.parametrize(("ending", "unit"), [(".gif", 10), (".webp", 1), (".apng", 1)])
def test_animations_play_as_long_as_the_source(clip: Path, tmp_path: Path, ending: str, unit: int) -> None:
    interpolate(configured(input=clip, output=tmp_path / f"out{ending}", rate=30))
    with Image.open(tmp_path / f"out{ending}") as image:
        durations = []
        for index in range(image.n_frames):
            image.seek(index)
            image.load()
            durations.append(image.info["duration"])
        assert abs(sum(durations) - 1000) <= unit
        assert 23 <= image.n_frames <= 30  # frames that are the same are joined: the last is held
        assert image.info.get("loop", 0) == 0


def test_images_in_images_out(tmp_path: Path) -> None:
    images = pan(2)
    names = ["frame 9.png", "frame 10.png"]
    for name, image in zip(names, images, strict=True):
        Image.fromarray(image).save(tmp_path / name)
    pair = [str(tmp_path / name) for name in names]
    interpolate(configured(input=pair, output=tmp_path / "out", factor=8))
    found = [read_image(p) for p in sorted((tmp_path / "out").iterdir())]
    assert [p.name for p in sorted((tmp_path / "out").iterdir())] == [f"{i:06d}.png" for i in range(9)]
    assert np.array_equal(found[0], images[0])
    assert np.array_equal(found[8], images[1])
    network = Interpolator("ifrnet_tiny", weights="ifrnet_tiny_synthetic", recursive=True)
    expected = network(*images, [k / 8 for k in range(1, 8)])
    assert all(np.array_equal(a, b) for a, b in zip(found[1:8], expected, strict=True))
    interpolate(configured(input=tmp_path, output=tmp_path / "middle.png", times=[0.5]))  # the folder: 9 before 10
    assert np.array_equal(read_image(tmp_path / "middle.png"), expected[3])


def test_patterns_are_sorted_as_people_count(tmp_path: Path) -> None:
    for number, image in zip((10, 9, 100), pan(3), strict=True):
        Image.fromarray(image).save(tmp_path / f"frame{number}.png")
    (tmp_path / "notes.txt").write_text("not an image")
    interpolate(configured(input=tmp_path / "frame*.png", output=tmp_path / "out", times=[0, 1]))
    found = [read_image(p) for p in sorted((tmp_path / "out").iterdir())]
    wanted = [read_image(tmp_path / f"frame{number}.png") for number in (9, 10, 100)]
    assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize(
    "options", [{"tta": True}, {"scale": 0.5}, {"tile": 64, "tile_overlap": 16}, {"tile": [32, 64], "tile_overlap": 8}]
)
def test_options_reach_the_network(tmp_path: Path, options: dict) -> None:
    for index, image in enumerate(pan(2)):
        Image.fromarray(image).save(tmp_path / f"{index}.png")
    pair = [str(tmp_path / f"{index}.png") for index in range(2)]
    interpolate(configured(input=pair, output=tmp_path / "middle.png", times=[0.5], **options))
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    network = Interpolator("ifrnet_tiny", weights="ifrnet_tiny_synthetic", **given)
    difference = np.abs(read_image(tmp_path / "middle.png").astype(int) - network(*pan(2), 0.5))
    assert difference.max() <= 1
    assert np.count_nonzero(difference) < 10  # of 18,432: halves that are rounded the other way


# --- pipes and interruptions, in processes of their own


@pytest.mark.slow
def test_y4m_goes_through_a_pipe(tmp_path: Path) -> None:
    source = write_video(tmp_path / "in.y4m", pan(4), codec="wrapped_avframe")
    command = [sys.executable, "-m", "vfi_train.interpolate", "model=ifrnet_tiny", "weights=ifrnet_tiny_synthetic"]
    process = subprocess.run(
        [*command, "input=-", "output=-", "factor=2"],
        stdin=source.open("rb"), capture_output=True, env=ENVIRONMENT, timeout=120, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert process.returncode == 0, process.stderr.decode()
    (tmp_path / "out.y4m").write_bytes(process.stdout)
    given, _, _ = read_video(source)
    frames, _, facts = read_video(tmp_path / "out.y4m")
    assert (len(frames), facts["rate"]) == (8, 48)
    assert all(np.array_equal(frames[2 * index], given[index]) for index in range(4))
    assert b"8 frames, 3 of them predicted" in process.stderr


def test_an_interrupted_video_is_complete_up_to_there(clip: Path, tmp_path: Path) -> None:
    """SIGTERM while thousands of frames are still to come."""
    command = [sys.executable, "-m", "vfi_train.interpolate", "model=ifrnet_tiny", "weights=ifrnet_tiny_synthetic"]
    process = subprocess.Popen(
        [*command, f"input={clip}", f"output={tmp_path}/out.mp4", "factor=500", "encoder_options={g:10}"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    partial = tmp_path / ".out.mp4.part"
    deadline = time.monotonic() + 60
    while not (partial.exists() and partial.stat().st_size > 1000) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    told, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, errors
    frames, _, facts = read_video(tmp_path / "out.mp4")
    assert f"interrupted, complete up to here: {len(frames)} frames" in told
    assert 0 < len(frames) == facts["frames"] < 24 * 500
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]


KILLED = """
import os, sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
import numpy as np
from datamodules.storage.media import Clip, Frame
from vfi_train.interpolate.encoders import Encoding
from vfi_train.interpolate.video_writer import write_video
with write_video(Path(sys.argv[1]), Clip("", 64, 96), Encoding()) as writer:
    for i in range(240):
        writer.write(Frame(np.full((64, 96, 3), i, np.uint8), Fraction(i, 24), Fraction(1, 24)))
    os._exit(9)
"""


def test_what_a_killed_process_leaves_is_playable(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path / "out.mp4")]
    assert subprocess.run(command, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}).returncode == 9
    assert not (tmp_path / "out.mp4").exists()
    left = tmp_path / "left.mp4"
    (tmp_path / ".out.mp4.part").rename(left)
    assert len(read_rgb(left)) > 120  # the encoder and the last fragment keep some back


@pytest.mark.parametrize("location", ["left", "center"])
@pytest.mark.parametrize(("output", "codec"), [("out.mp4", "h264"), ("out.mp4", "h265"), ("out.y4m", None)])
def test_the_location_of_chroma_is_written_as_it_was_read(
    tmp_path: Path, location: str, output: str, codec: str | None
) -> None:
    source = write_video(tmp_path / "in.mp4", pan(3), options={"chroma_sample_location": location})
    interpolate(configured(input=source, output=tmp_path / output, factor=2, codec=codec))
    assert open_source(tmp_path / output).clip.colour.chroma == location
