"""Flow, the error of motion, and VMAF: closed forms, and the tool itself."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.helpers.layouts import frame
from vfi_train.errors import UserError
from vfi_train.evaluate.scorer import Scorer
from vfi_train.metrics.motion import dis_flow, temporal_difference
from vfi_train.metrics.vmaf import find_ffmpeg, vmaf

SIZE = (96, 128)


def has_vmaf() -> bool:
    try:
        return bool(find_ffmpeg())
    except UserError:
        return False


def moved(*pixels: int) -> list[np.ndarray]:
    """A texture moved to the right by so many pixels."""
    return [frame(3, shift, (96, 160))[:, 16:-16] for shift in pixels]


def test_flow_is_in_pixels_of_the_images_given() -> None:
    first, second = moved(0, 4)
    for max_side in (None, 64):
        flow = dis_flow(first, second, max_side)
        assert flow.shape[:2] == (SIZE if max_side is None else (48, 64))
        assert np.median(flow[..., 0]) == pytest.approx(4, abs=0.05)
        assert np.median(flow[..., 1]) == pytest.approx(0, abs=0.05)
    assert dis_flow(first[:8, :20], second[:8, :20]).shape == (32, 32, 2)  # smaller ones crash OpenCV


def test_the_error_of_motion_is_the_distance_of_the_motions() -> None:
    """Moves by 2 and 6 pixels instead of 4 and 4; the same moves of another texture are right."""
    error = temporal_difference(moved(0, 2, 8), moved(0, 4, 8))
    assert error == pytest.approx([2, 2], abs=0.1)
    assert temporal_difference(moved(0, 4, 8), moved(0, 4, 8)) == [0, 0]
    darker = [(image * 0.8).astype(np.uint8) for image in moved(0, 4, 8)]
    assert max(temporal_difference(darker, moved(0, 4, 8))) < 0.05


def test_the_error_of_motion_is_that_of_the_stated_estimator() -> None:
    rng = np.random.default_rng(0)
    predicted, true = (
        [np.clip(image + rng.normal(0, 8, image.shape), 0, 255).astype(np.uint8) for image in moved(0, 3, 5)]
        for _ in range(2)
    )
    expected = []
    for k in (1, 2):
        flows = [
            cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(
                cv2.cvtColor(frames[k - 1], cv2.COLOR_RGB2GRAY), cv2.cvtColor(frames[k], cv2.COLOR_RGB2GRAY), None
            )
            for frames in (predicted, true)
        ]
        expected.append(np.hypot(*np.moveaxis(flows[0] - flows[1], -1, 0)).mean())
    assert temporal_difference(predicted, true) == pytest.approx(expected, abs=1e-5)
    got = Scorer({"tof": {}}).sequence(true[0], true[-1], predicted[1:-1], true[1:-1])
    assert got == {"tof": pytest.approx(temporal_difference([true[0], predicted[1]], true[:2]), abs=1e-9)}


def test_an_ffmpeg_without_vmaf_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"^the metric vmaf \(leave .* libvmaf, and there is no ffmpeg: put one on the"):
        Scorer({"vmaf": {}})
    fake = tmp_path / "ffmpeg"
    fake.write_text("#!/bin/sh\necho ' ... scale V->V'\n")
    fake.chmod(0o755)
    with pytest.raises(UserError, match=r"libvmaf, and .*/ffmpeg has none: put one"):
        find_ffmpeg()


@pytest.mark.skipif(not has_vmaf(), reason="no ffmpeg with libvmaf")
def test_vmaf_is_that_of_the_tool_on_lossless_videos(tmp_path: Path) -> None:
    size = (144, 192)
    true = [frame(3, shift, size) for shift in range(0, 10, 2)]
    blurred = [cv2.GaussianBlur(image, (5, 5), 0) for image in true]
    got = vmaf(blurred, true, find_ffmpeg())
    for name, frames in (("blurred", blurred), ("true", true)):
        for k, image in enumerate(frames):
            cv2.imwrite(str(tmp_path / f"{name}{k}.png"), image[..., ::-1])
        convert = "scale=out_color_matrix=bt709:out_range=tv,format=yuv444p"
        images = ["-i", str(tmp_path / f"{name}%d.png"), "-vf", convert, str(tmp_path / f"{name}.y4m")]
        subprocess.run([shutil.which("ffmpeg"), "-v", "error", *images], check=True)
    videos = [word for name in ("blurred", "true") for word in ("-i", str(tmp_path / f"{name}.y4m"))]
    graph = "[0:v][1:v]libvmaf=log_fmt=csv:log_path=log"
    subprocess.run(
        [shutil.which("ffmpeg"), "-v", "error", *videos, "-lavfi", graph, "-f", "null", "-"], check=True, cwd=tmp_path
    )
    rows = [line.split(",") for line in (tmp_path / "log").read_text().splitlines()]
    expected = [float(row[rows[0].index("vmaf")]) for row in rows[1:]]
    assert len(got) == 5
    assert got == pytest.approx(expected, abs=1e-4)
    assert max(got) < 99 < min(vmaf(true, true, find_ffmpeg())[1:])
