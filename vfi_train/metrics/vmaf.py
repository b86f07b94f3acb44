"""VMAF of sequences (Li et al., Netflix, 2016), by the filter libvmaf of an installed ffmpeg."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from vfi_train.errors import UserError
from vfi_train.metrics.motion import Image

MODEL = "vmaf_v0.6.1"
CONVERTED = "scale=out_color_matrix=bt709:out_range=tv,format=yuv444p"  # VMAF reads luma, of limited range


def find_ffmpeg(reader: str = "VMAF") -> str:
    """The installed ffmpeg.

    Raises:
        UserError: there is none with libvmaf.
    """
    found = shutil.which("ffmpeg")
    if found is not None:
        listed = subprocess.run([found, "-hide_banner", "-filters"], capture_output=True, text=True)
        if " libvmaf " in listed.stdout:
            return found
    state = "there is no ffmpeg" if found is None else f"{found} has none"
    raise UserError(f"{reader} needs an ffmpeg with the filter libvmaf, and {state}: put one on the PATH")


def vmaf(predicted: Sequence[Image], true: Sequence[Image], ffmpeg: str) -> list[float]:
    """VMAF of each frame of a sequence, 0 to 100.

    Args:
        predicted: its frames, H W 3.
        true: what they are compared with, as many.
        ffmpeg: see `find_ffmpeg`.

    Raises:
        UserError: ffmpeg fails.
    """
    height, width = true[0].shape[:2]
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", "25"]
    graph = f"[0:v]{CONVERTED}[a];[1:v]{CONVERTED}[b];[a][b]libvmaf=model=version={MODEL}:log_fmt=json:log_path=log"
    with tempfile.TemporaryDirectory() as folder:
        for name, frames in (("predicted", predicted), ("true", true)):
            with (Path(folder) / name).open("wb") as file:
                for frame in frames:
                    file.write(frame.tobytes())
        done = subprocess.run(
            [ffmpeg, "-v", "error", "-nostdin", *raw, "-i", "predicted", *raw, "-i", "true", "-lavfi", graph,
             "-f", "null", "-"],
            cwd=folder, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise UserError(f"ffmpeg cannot compute VMAF of frames of {height}x{width} ({reason}): leave it out")
        found = json.loads((Path(folder) / "log").read_text())["frames"]
    return [float(frame["metrics"]["vmaf"]) for frame in found]
