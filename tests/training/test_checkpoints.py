"""Checkpoints: the last two, complete or skipped, and a full disk."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch

from tests.helpers.in_process import rows, train_tiny
from tests.helpers.recorder import Recorder
from vfi_train.config.mistakes import explain
from vfi_train.errors import UserError
from vfi_train.loggers.csv import CSVLog
from vfi_train.weights.checkpoint_io import AtomicCheckpointIO, resume_point


def save(folder: Path, step: int, name: str = "last.ckpt") -> Path:
    path = folder / name
    AtomicCheckpointIO().save_checkpoint({"global_step": step, "w": torch.arange(5000.0)}, path)
    return path


def test_the_one_before_the_last_stays(tmp_path: Path) -> None:
    assert resume_point(tmp_path) is None
    for step in (1, 2, 3):
        save(tmp_path, step)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last.ckpt", "last_previous.ckpt"]
    assert resume_point(tmp_path) == (tmp_path / "last.ckpt", 3)
    (tmp_path / "last.ckpt").unlink()  # killed between two renamings
    assert resume_point(tmp_path) == (tmp_path / "last_previous.ckpt", 2)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_truncated_one_is_skipped(share: float, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path, 1)
    path = save(tmp_path, 2)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert resume_point(tmp_path) == (tmp_path / "last_previous.ckpt", 1)
    assert f"skipped, because broken: {path}" in caplog.text
    (tmp_path / "last_previous.ckpt").write_bytes(b"")
    save(tmp_path, 0, "best.ckpt")
    assert resume_point(tmp_path) == (tmp_path / "best.ckpt", 0)
    (tmp_path / "best.ckpt").unlink()
    with pytest.raises(UserError, match=r"no checkpoint can be read: .*last\.ckpt .*delete them to start again"):
        resume_point(tmp_path)


def test_a_changed_bit_is_found(tmp_path: Path) -> None:
    save(tmp_path, 1)
    path = save(tmp_path, 2)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert resume_point(tmp_path) == (tmp_path / "last_previous.ckpt", 1)


def test_a_hostile_pickle_is_not_run(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "harm"),)

    torch.save({"global_step": 7, "x": Hostile()}, tmp_path / "last.ckpt")
    (tmp_path / "last_previous.ckpt").write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(UserError, match="no checkpoint can be read"):
        resume_point(tmp_path)
    assert not (tmp_path / "harm").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is Linux's")
def test_a_full_disk_is_one_sentence_and_harms_nothing(tmp_path: Path) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / ".last.ckpt.part").symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"^the disk is full: no room for the checkpoint .*last\.ckpt of step 3 \("):
        save(tmp_path, 3)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is Linux's")
def test_a_full_disk_is_one_sentence_wherever_it_is_met(tmp_path: Path) -> None:
    log = CSVLog(tmp_path)
    log.log_metrics({"a": 1.0}, 1)
    log.path.unlink()
    log.path.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as raised:
        log.log_metrics({"a": 2.0}, 2)
    message = explain(raised.value, [], "train")
    assert message is not None
    assert message.startswith(
        "the disk is full ([Errno 28] No space left on device): what was saved before is complete;"
    )


def test_a_training_resumes_from_the_one_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    options = ("trainer.max_steps=6", "checkpoint_every=2", "validate_every=6")
    uninterrupted = train_tiny(tmp_path, *options, "name=uninterrupted", Recorder.begin())
    expected = Recorder.weights[-1]
    with pytest.raises(RuntimeError, match="stopped by the test"):
        train_tiny(tmp_path, *options, "name=cut", Recorder.begin(stop_at=5))
    last = tmp_path / "runs" / "quickstart-cut" / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    run = train_tiny(tmp_path, *options, "name=cut", Recorder.begin())
    assert "resuming from" in caplog.text
    assert len(Recorder.weights) == 4  # from step 2 on
    for name, tensor in expected.items():
        assert torch.equal(Recorder.weights[-1][name], tensor)
    assert [row["train/loss"] for row in rows(run)] == [row["train/loss"] for row in rows(uninterrupted)]
