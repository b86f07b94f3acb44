"""A disk that is really full, in the middle of a training."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules.storage.atomic_write import write_text
from tests.helpers.in_process import read_checkpoint, rows, train_tiny
from vfi_train.errors import UserError
from vfi_train.visualization import save_png
from vfi_train.weights.checkpoint_io import resume_point

OPTIONS = ("trainer.max_steps=4", "checkpoint_every=1", "validate_every=100")


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="mounting a disk takes root")
def test_a_training_on_a_full_disk_ends_in_one_sentence_and_goes_on_with_more_room(
    small_disk: Path, tmp_path: Path
) -> None:
    uninterrupted = train_tiny(tmp_path / "uninterrupted", *OPTIONS)
    with pytest.raises(UserError, match=r"^the disk is full: no room for the checkpoint .*last\.ckpt of step \d \("):
        train_tiny(small_disk, *OPTIONS)
    folder = small_disk / "runs" / "quickstart" / "checkpoints"
    found = resume_point(folder)
    assert found is not None
    assert read_checkpoint(found[0])["global_step"] == found[1] >= 1
    assert not list(folder.glob(".*"))  # nothing half-written
    subprocess.run(["mount", "-o", "remount,size=90M", str(small_disk)], check=True)
    run = train_tiny(small_disk, *OPTIONS)
    assert [row["step"] for row in rows(run)] == ["1", "2", "3", "4"]
    expected = read_checkpoint(uninterrupted / "checkpoints" / "last.ckpt")["state_dict"]
    got = read_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"]
    assert all(torch.equal(got[name], tensor) for name, tensor in expected.items())


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="mounting a disk takes root")
def test_images_and_reports_on_a_full_disk_are_complete_or_absent(small_disk: Path) -> None:
    with contextlib.suppress(OSError), (small_disk / "fills").open("wb") as file:
        for _ in range(18):
            file.write(bytes(2**20))
    image = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    for write in (
        lambda: save_png(small_disk / "image.png", image),
        lambda: write_text(small_disk / "report.md", "text" * 100_000),
    ):
        with pytest.raises(OSError, match="No space left"):
            write()
    assert [path.name for path in small_disk.iterdir()] == ["fills"]
