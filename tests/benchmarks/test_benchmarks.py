"""The measuring programs from their command line to their numbers, at a size that tells nothing of speed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.steps import PARTS
from benchmarks.worker import CHECKPOINTED, KEPT, OURS, PLAIN
from tests.helpers.videos import pan, write_video

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow  # a process for each way, each of which imports torch


def run(program: str, *options: str) -> str:
    command = [sys.executable, "-m", f"benchmarks.{program}", *options]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def test_training_steps_ours_and_plain(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    size = ("--size", "64", "--batch", "1", "--rounds", "2", "--threads", "1")
    table = run("train_step", "--models", "ifrnet_s", *size, "--json", str(found), "--plot", str(tmp_path / "plot.png"))
    numbers = json.loads(found.read_text())["ifrnet_s"]
    assert set(numbers["rounds"]) == {OURS, PLAIN, KEPT}
    for rounds in numbers["rounds"].values():
        assert len(rounds) == 2
        for parts in rounds:
            assert parts["whole"] == pytest.approx(sum(parts[part] for part in PARTS))
    ours, plain = (numbers["memory"][way]["whole"] for way in (OURS, PLAIN))
    assert max(ours, numbers["checkpointing"]["memory"]["whole"]) < plain
    assert set(numbers["resident"]) == {OURS, PLAIN, CHECKPOINTED}
    assert all(size > ours for size in numbers["resident"].values())
    assert table.count("`ifrnet_s_vimeo`") == 1
    assert (tmp_path / "plot.png").stat().st_size > 0


def test_eight_times_from_one_encoding() -> None:
    """The program itself compares the images."""
    table = run("times", "--models", "ifrnet_s", "--size", "64", "64", "--rounds", "1", "--threads", "1")
    assert table.splitlines()[-1].startswith("| `ifrnet_s` | 1.0")


def test_frames_by_runtimes(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", pan(6))
    options = ("--models", "ifrnet_tiny", "--threads", "1", "--rounds", "2", "--triplets", "2", "--frames", "4")
    table = run("frames", "--clip", str(tmp_path / "clip.mp4"), *options, "--runs", "1").splitlines()
    rows = [line.split(" | ") for line in table if line.startswith("| `ifrnet_tiny`")]
    first, second = ([row for row in rows if len(row) == count] for count in (8, 5))
    assert {row[1] for row in first} == {"torch", "openvino", "onnxruntime", "openvino by hand"}
    assert all(float(row[5]) > 50 for row in first if row[5])  # dB to PyTorch
    ways = {row[1].partition(",")[0] for row in second}
    assert ways == {"torch", "openvino", "onnxruntime", "openvino by hand"}
    assert second[0][1] == "torch, fp32"
    assert all(row[4].endswith("% |") for row in second)
