"""The files of a run: logs, checkpoints that are complete or absent, the configuration."""

from __future__ import annotations

import csv
import errno
import fcntl
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from vfi_train.errors import UserError
from vfi_train.evaluate.networks import model_of_run
from vfi_train.loggers.csv import CSVLog
from vfi_train.loggers.wandb import close_wandb, is_logged_in, resolved_mode, wandb_logger
from vfi_train.runtime.folder_lock import FolderLock
from vfi_train.training.run_directory import RunDirectory, differing_keys
from vfi_train.weights.checkpoint_io import AtomicCheckpointIO


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_csv_log_grows_columns_and_rewinds(tmp_path: Path) -> None:
    log = CSVLog(tmp_path)
    log.log_metrics({"a": 1.0}, 1)
    log.log_metrics({"a": 2.0, "epoch": 0}, 2)
    log.log_metrics({"b": 5.0}, 2)
    log.log_metrics({"a": 3.0, "b": float("nan")}, 3)
    assert rows(tmp_path) == [
        {"step": "1", "a": "1", "b": ""},
        {"step": "2", "a": "2", "b": "5"},
        {"step": "3", "a": "3", "b": "nan"},
    ]
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("4,")  # killed while writing
    again = CSVLog(tmp_path)
    again.rewind(2)
    again.log_metrics({"a": 9.0}, 3)
    assert [(row["step"], row["a"]) for row in rows(tmp_path)] == [("1", "1"), ("2", "2"), ("3", "9")]


def test_a_checkpoint_that_fails_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"state_dict": {"w": torch.ones(2)}}, path)

    class Unsaveable:
        def __reduce__(self) -> str:
            raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        AtomicCheckpointIO().save_checkpoint({"w": torch.zeros(2), "x": Unsaveable()}, path)
    assert torch.equal(AtomicCheckpointIO().load_checkpoint(path)["state_dict"]["w"], torch.ones(2))
    assert [p.name for p in path.parent.iterdir()] == ["last.ckpt"]


def begin(run: RunDirectory) -> None:
    """As a training does: claim the folder, and log a step."""
    with run.open("auto"):
        CSVLog(run.path).log_metrics({"a": 1.0}, 1)


def test_a_folder_keeps_its_configuration(tmp_path: Path) -> None:
    config = {"optimizer": {"lr": 1e-3}, "data": {"num_workers": 2}, "seed": 1}
    run = RunDirectory(tmp_path / "run", config)
    with run.open("never"):
        assert yaml.safe_load((run.path / "config.yaml").read_text()) == config
    begin(run)
    begin(RunDirectory(run.path, {**config, "data": {"num_workers": 0}}))
    other = RunDirectory(run.path, {"optimizer": {"lr": 2e-3}, "data": {"num_workers": 2}, "seed": 1})
    with pytest.raises(UserError, match=r"optimizer\.lr: 0\.001 -> 0\.002: give this one a folder"):
        begin(other)
    other.finish({"steps": 3})
    with other.open("force"):
        assert not other.finished
    assert differing_keys(config, {"seed": 1}) == ["optimizer.lr: 0.001 -> absent"]


def test_a_folder_without_a_checkpoint_or_a_row_belongs_to_nobody(tmp_path: Path) -> None:
    mistake = RunDirectory(tmp_path / "run", {"lr": 1})
    right = RunDirectory(tmp_path / "run", {"lr": 2})
    with mistake.open("auto"):
        CSVLog(mistake.path).rewind(-1)  # an empty log
        (mistake.path / "wandb_id").write_text("mistake")
    with right.open("auto"):
        assert yaml.safe_load((right.path / "config.yaml").read_text()) == {"lr": 2}
        assert not (right.path / "wandb_id").exists()
    right.checkpoints.mkdir()
    (right.checkpoints / "last.ckpt").touch()
    with pytest.raises(UserError, match="lr: 2 -> 1"):
        mistake.check("auto")


HOLD = """
import sys, time
from pathlib import Path
from vfi_train.runtime.folder_lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
print(lock.acquire(), flush=True)
time.sleep(60)
"""


def test_two_trainings_in_one_folder_are_refused_and_a_kill_leaves_no_lock(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path, {"lr": 1})
    held = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert held.stdout is not None
    assert held.stdout.readline() == "None\n"
    for refused in (lambda: run.check("auto"), lambda: run.open("auto").__enter__()):
        with pytest.raises(UserError, match=rf"is being trained by process {held.pid} on {socket.gethostname()}: let"):
            refused()
    assert not (tmp_path / "config.yaml").exists()
    held.kill()
    held.wait()
    run.check("auto")
    with run.open("auto"):
        assert (tmp_path / ".lock").read_text().startswith(f"{os.getpid()}\n")


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK])
def test_without_locks_of_the_system_the_file_is_the_lock(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_supported(*_: object) -> None:
        raise OSError(code, "not here")

    monkeypatch.setattr(fcntl, "flock", not_supported)
    (tmp_path / ".lock").write_text("4194303\n" + socket.gethostname() + "\n")  # of a process that was killed
    os.utime(tmp_path / ".lock", (0, 0))
    lock = FolderLock(tmp_path)
    assert lock.acquire() is None
    assert (tmp_path / ".lock").exists()
    lock.release()
    (tmp_path / ".lock").write_text("12\nanother_machine\n")
    assert lock.acquire(0.1) == f"process 12 on another_machine; if it has ended, delete {tmp_path / '.lock'}"


def test_what_a_run_is_made_with_is_noted_once_for_each_change(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path, {})
    for step, commit in ((0, "a"), (5, "a"), (7, "b"), (9, "c"), (8, "c")):
        run.note_start(step, {"environment": {"git_commit": commit}, "data_manifest": None})
    found = json.loads((tmp_path / "provenance.json").read_text())
    assert [(start["from_step"], start["environment"]["git_commit"]) for start in found] == [
        (0, "a"),
        (7, "b"),
        (8, "c"),
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: [", "cannot be read (no YAML)"),
        (b"\xff\xfe\x00", "cannot be read (no YAML)"),
        (b"3", "holds no configuration"),
    ],
)
def test_an_unreadable_configuration_is_one_sentence(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes(content)
    (tmp_path / "finished.json").touch()
    with pytest.raises(UserError, match=re.escape(f"{tmp_path / 'config.yaml'} {said}")):
        RunDirectory(tmp_path, {"seed": 1}).check("auto")
    with pytest.raises(UserError, match=r"config\.yaml"):
        model_of_run(str(tmp_path), str(tmp_path))


def test_wandb_is_offline_unless_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert not is_logged_in()
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password key\n")
    (tmp_path / "netrc").chmod(0o600)
    assert is_logged_in()
    assert resolved_mode("auto") == "online"
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert resolved_mode("auto") == "offline"


def test_a_resumed_run_keeps_its_wandb_id(tmp_path: Path) -> None:
    ids = []
    for _ in range(2):
        logger = wandb_logger(tmp_path, "name", mode="offline")
        logger.log_metrics({"val/psnr": 30.0}, step=1)
        ids.append(logger.experiment.id)
        logger.experiment.finish()
    assert ids[0] == ids[1] == (tmp_path / "wandb_id").read_text()
    folders = list((tmp_path / "wandb").glob("offline-run-*"))
    assert folders
    assert all(folder.name.split("-")[3] == ids[0] for folder in folders)  # a second start in a second gets a suffix


@pytest.mark.parametrize(("name", "value"), [("WANDB_MODE", "disabled"), ("WANDB_DISABLED", "true")])
def test_wandb_can_be_turned_off(name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv(name, value)
    assert wandb_logger(tmp_path, "run") is None
    assert not list(tmp_path.iterdir())
    assert resolved_mode("offline") == "offline"  # the command line has precedence


def test_an_unknown_wandb_mode_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "onlin")
    with pytest.raises(UserError, match="WANDB_MODE=onlin is not known: give online, offline or disabled"):
        wandb_logger(tmp_path, "run")
    monkeypatch.delenv("WANDB_MODE")
    with pytest.raises(UserError, match=r"W&B does not accept an option .project=a/b.: Invalid project name"):
        wandb_logger(tmp_path, "run", project="a/b", mode="offline")


def test_wandb_takes_its_project_and_folder_from_its_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {
        "MODE": "offline",
        "PROJECT": "lab",
        "DIR": str(tmp_path / "logs"),
        "RUN_GROUP": "night",
        "TAGS": "a,b",
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    try:
        run = wandb_logger(tmp_path / "run", "name", experiment="quickstart").experiment
        assert (run.project, run.group) == ("lab", "night")
        assert Path(run.dir).is_relative_to(tmp_path / "logs")
        close_wandb()
        run = wandb_logger(tmp_path / "run", "name", project="mine", group="g", tags=["t"]).experiment
        assert (run.project, run.group, tuple(run.tags)) == ("mine", "g", ("t",))
    finally:
        close_wandb()
