"""The published number in the log, and milestones reported once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.in_process import rows, train_tiny
from tests.helpers.recorder import Recorder
from vfi_train.callbacks.published_reference import compare, milestones
from vfi_train.errors import UserError

BANDS = "[{step: 4, psnr: [0, 90]}, {step: 1, psnr: [60, 70]}, {step: 5, psnr: [1, 2.5]}, {step: 90, psnr: [0, 1]}]"


@pytest.mark.slow
def test_each_milestone_is_reported_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    published = f"published={{psnr: 35.8, ssim: 0.98, milestones: {BANDS}}}"
    options = ("trainer.max_steps=8", "validate_every=2", "checkpoint_every=1", published)
    with pytest.raises(RuntimeError, match="stopped by the test"):
        train_tiny(tmp_path, *options, Recorder.begin(stop_at=4))  # resumes from step 3
    run = train_tiny(tmp_path, *options, Recorder.begin())
    output = [line for line in capsys.readouterr().out.splitlines() if "band" in line]
    assert len(output) == 2
    assert "step 2: val/psnr is" in output[0]
    assert "below the band of 60.00 to 70.00 dB expected of this recipe at step 1" in output[0]
    assert "step 6: val/psnr is" in output[1]
    assert "above the band of 1.00 to 2.50 dB" in output[1]
    validated = [row for row in rows(run) if row["val/psnr"]]
    assert [row["published/psnr"] for row in validated] == ["35.7999992"] * 4
    assert [row["published/ssim"] for row in validated] == ["0.980000019"] * 4


def test_bands() -> None:
    assert [compare(score, 30, 31) for score in (29.9, 30, 31, 31.1, float("nan"))] == [
        "below", None, None, "above", "below",
    ]  # fmt: skip
    assert milestones([{"step": 2, "psnr": [1, 2]}, {"step": 1, "psnr": [3, 4]}]) == [(1, 3, 4), (2, 1, 2)]
    for entry in ({"step": 1}, {"step": 1, "psnr": 30}, {"step": 1, "psnr": [31, 30]}):
        with pytest.raises(UserError, match=r"published\.milestones has .* write \{step: 10000"):
            milestones([entry])
