"""Files as people have them, made by ffmpeg: what `interpolate` writes of them is as docs/howto/video.md says."""

from __future__ import annotations

import json
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.videos import configured
from vfi_train.interpolate.command import interpolate

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "video.md"
SOURCE = ("-f", "lavfi", "-i", "testsrc2=size=128x96:rate=24:duration=1")
LONG = ("-f", "lavfi", "-i", "testsrc2=size=128x96:rate=24:duration=4")
FIELDS = ("-f", "lavfi", "-i", "testsrc2=size=128x96:rate=50:duration=1")
TONE = ("-f", "lavfi", "-i", "sine=frequency=440:duration=1:sample_rate=48000")
X264 = ("-c:v", "libx264", "-crf", "10", "-pix_fmt", "yuv420p")
RAW = ("-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", "128x64", "-r", "24", "-i", "ramp.yuv", *X264)
LIGHT = (
    "log-level=none:hdr10=1:repeat-headers=1:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:master-display="
    "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400"
)
# A name for the page, the file, how ffmpeg makes it, the output, and other keys.
CASES: list[tuple[str, str, tuple[str, ...], str, dict[str, Any]]] = [
    ("with sound", "plain.mp4", (*SOURCE, *TONE, *X264, "-c:a", "aac"), "out.mp4", {}),
    ("with sound", "plain.mp4", (), "out.avi", {}),
    ("transport stream, clock from 1.4 s, ADTS", "plain.ts", (*SOURCE, *TONE, *X264, "-c:a", "aac"), "out.mp4", {}),
    ("transport stream, clock from 1.4 s, ADTS", "plain.ts", (), "out.mkv", {}),
    (
        "clock from 600 s", "offset.mkv", (*SOURCE, *TONE, *X264, "-c:a", "aac", "-output_ts_offset", "600"),
        "out.mp4", {},
    ),
    (
        "3 s of sound", "longer.mp4",
        (*SOURCE, "-f", "lavfi", "-i", "sine=duration=3:sample_rate=48000", *X264, "-c:a", "aac"), "out.mp4", {},
    ),
    (
        "two sounds, subtitles, chapters", "multi.mkv",
        (
            *SOURCE, *TONE, *TONE, "-i", "sub.srt", "-i", "chapters.txt", "-map", "0", "-map", "1", "-map", "2", "-map",
            "3", "-map_metadata", "4", "-map_chapters", "4", *X264, "-c:a", "aac", "-c:s", "srt",
            "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=deu", "-metadata:s:a:1", "title=Commentary",
            "-disposition:a:1", "default", "-disposition:a:0", "0",
        ),
        "out.mkv", {},
    ),
    ("two sounds, subtitles, chapters", "multi.mkv", (), "out.mp4", {}),
    (
        "interlaced", "fields.mp4",
        (*FIELDS, "-vf", "tinterlace=interleave_top,setfield=tff", *X264, "-flags", "+ildct+ilme"),
        "out.mp4", {},
    ),
    ("interlaced", "fields.mp4", (), "out.mp4", {"deinterlace": "bwdif"}),
    (
        "HDR10", "hdr10.mp4",
        (
            *SOURCE, "-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-color_primaries", "bt2020", "-color_trc",
            "smpte2084", "-colorspace", "bt2020nc", "-x265-params", LIGHT, "-tag:v", "hvc1",
        ),
        "out.mp4", {"codec": "h265"},
    ),
    ("4 s, a damaged packet", "hole.mp4", (*LONG, *X264, "-g", "12"), "out.mp4", {}),
    ("4 s, cut off at 60 %", "cut.mp4", (*LONG, *X264, "-g", "12", "-movflags", "+faststart"), "out.mp4", {}),
    ("on its side", "turned.mp4", ("-i", "plain.mp4", "-c", "copy", "-metadata:s:v", "rotate=90"), "out.mp4", {}),
    ("chroma sited left", "left.mp4", (*RAW, "-x264opts", "chromaloc=0"), "out.mp4", {}),
    ("chroma sited in the centre", "center.mp4", (*RAW, "-x264opts", "chromaloc=1"), "out.mp4", {}),
    ("4:4:4", "chroma444.mp4", (*SOURCE, "-c:v", "libx264", "-pix_fmt", "yuv444p"), "out.mp4", {}),
    (
        "every fifth frame missing", "uneven.mkv",
        (*SOURCE, "-vf", "select='not(eq(mod(n,5),3))'", "-vsync", "vfr", *X264), "out.mp4", {"rate": 60},
    ),
    (
        "transparent", "alpha.webm",
        (
            "-f", "lavfi", "-i", "color=red@0.5:size=128x96:rate=12:duration=1,format=yuva420p", "-c:v", "libvpx-vp9",
            "-pix_fmt", "yuva420p", "-lossless", "1",
        ),
        "out.webm", {},
    ),
    ("transparent", "alpha.webm", (), "out.mp4", {"background": "white"}),
    (
        "12.5 frames/s", "gif.gif", ("-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25/2:duration=2"), "out.gif",
        {"factor": 8},
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (shutil.which("ffmpeg") and shutil.which("ffprobe")):
        pytest.skip("ffmpeg and ffprobe are not installed: they make and measure these files")
    root = tmp_path_factory.mktemp("found")
    (root / "sub.srt").write_text("1\n00:00:00,100 --> 00:00:00,900\nHello\n")
    ends = ((0, 500, "one"), (500, 1000, "two"))
    chapters = "".join(f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={a}\nEND={b}\ntitle={name}\n" for a, b, name in ends)
    (root / "chapters.txt").write_text(f";FFMETADATA1\ntitle=T\n{chapters}")
    planes = bytes([128]) * (128 * 64) + bytes(64 + 2 * x for x in range(64)) * 32 + bytes([128]) * (64 * 32)
    (root / "ramp.yuv").write_bytes(4 * planes)
    for _, name, arguments, _, _ in CASES:
        if arguments:
            subprocess.run(["ffmpeg", "-y", "-v", "error", *arguments, name], cwd=root, check=True)
    hole = bytearray((root / "hole.mp4").read_bytes())
    middle = len(hole) // 2
    hole[middle : middle + 2500] = bytes(2500)
    (root / "hole.mp4").write_bytes(hole)
    cut = (root / "cut.mp4").read_bytes()
    (root / "cut.mp4").write_bytes(cut[: len(cut) * 6 // 10])
    return root


@pytest.mark.slow
@pytest.mark.parametrize("case", range(len(CASES)), ids=lambda i: f"{CASES[i][1]}-{CASES[i][3]}-{i}")
def test_the_outputs_have_the_figures_of_the_page(case: int, folder: Path, tmp_path: Path) -> None:
    title, name, _, output, values = CASES[case]
    interpolate(configured(input=folder / name, output=tmp_path / output, **values))
    row = f"| {title} | {' '.join([output, *(f'{k}={v}' for k, v in values.items())])} | {figures(tmp_path / output)} |"
    assert row in PAGE.read_text().splitlines(), row


def figures(path: Path) -> str:
    """What ffprobe says of each track, as in the page."""
    command = [
        "ffprobe",
        "-v",
        "error",
        "-count_packets",
        "-show_streams",
        "-show_chapters",
        "-show_format",
        "-of",
        "json",
    ]
    found = json.loads(subprocess.run([*command, str(path)], capture_output=True, text=True, check=True).stdout)
    tracks = [_track(stream, found["format"]) for stream in found["streams"] if stream["codec_type"] != "data"]
    chapters = [f"{len(found['chapters'])} chapters"] if found["chapters"] else []
    light = ["mastering display, light level"] if _has_light(path) else []
    return "; ".join([*tracks, *light, *chapters])


def _track(stream: dict[str, Any], container: dict[str, Any]) -> str:
    start = float(stream.get("start_time") or 0)
    ends = stream.get("duration") or container["duration"]  # Matroska states it for the file only
    parts = [stream["codec_name"]]
    if stream["codec_type"] == "video":
        rate = float(Fraction(stream["avg_frame_rate"]))
        size = f"{stream['width']}x{stream['height']}"
        parts += [size, stream["pix_fmt"], f"{stream['nb_read_packets']} frames", f"{rate:.4g}/s"]
        parts += ["chroma centred"] if stream.get("chroma_location") == "center" else []
        parts += ["alpha"] if "ALPHA_MODE" in stream.get("tags", {}) else []
    if stream["codec_type"] != "subtitle":
        parts.append(f"{start:.2f} s + {float(ends):.2f} s")
    tags = stream.get("tags", {})
    parts += [tags[key] for key in ("language", "title") if tags.get(key, "und") != "und"]
    parts += ["default"] if stream["disposition"]["default"] else []
    return " ".join(parts)


def _has_light(path: Path) -> bool:
    command = ["ffprobe", "-v", "error", "-show_frames", "-read_intervals", "%+#1", "-select_streams", "v", str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return "Mastering display metadata" in said and "max_content=1000" in said
