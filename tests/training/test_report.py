"""The end of a training: its last line is a command that works for what was trained."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tests.helpers.in_process import planned, train_tiny
from tests.helpers.programs import run_program
from vfi_train.training.report import evaluation_command


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        pytest.param(
            ("model=rife_d", "loss=rife", "data.maps=true", "data.size=64", "name=maps"), marks=pytest.mark.slow
        ),
    ],
)
def test_the_next_command_measures_the_trained_network(
    overrides: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train_tiny(tmp_path, "trainer.max_steps=2", "validate_every=2", "report=true", *overrides)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("next: ")]
    python, switch, module, *arguments = shlex.split(line.removeprefix("next: "))
    assert (python, switch) == ("python", "-m")
    result = run_program(module, *arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert run.name in result.stdout
    assert "PSNR" in result.stdout


@pytest.mark.parametrize(
    ("overrides", "arguments"),
    [
        (
            ("experiment=ifrnet_vimeo", "data.root='/data/vimeo triplet'"),
            "run=ifrnet_vimeo benchmark=vimeo90k 'root=/data/vimeo triplet'",
        ),
        (
            ("experiment=quickstart_video", "data.root=clips", "runs=a/runs"),
            "run=quickstart_video runs=a/runs benchmark=footage root=FOLDER_WITH_VIDEOS",
        ),
        (
            ("data=joint", "data.datasets.vimeo90k.root=v", "data.datasets.x4k1000fps.root=x"),
            "run=ifrnet_tiny_joint benchmark=vimeo90k root=v",
        ),
    ],
)
def test_the_benchmark_is_that_of_the_dataset(overrides: tuple[str, ...], arguments: str) -> None:
    assert evaluation_command(planned(*overrides)) == f"python -m vfi_train.evaluate {arguments}"


def test_a_training_shorter_than_its_validations_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = train_tiny(tmp_path, "trainer.max_steps=2", "validate_every=3", "report=true")
    said = capsys.readouterr().out
    assert (
        "validate_every=3 is beyond the last of 2 steps: no validation, no best checkpoint, only the last one" in said
    )
    assert next(iter(json.loads((run / "report.json").read_text()))) == "ifrnet (last checkpoint)"
    assert not (run / "checkpoints" / "best.ckpt").exists()
    train_tiny(tmp_path / "none", "trainer.max_steps=1", "validate_every=1", "trainer.limit_val_batches=0")
    assert "trainer.limit_val_batches=0: no validation, no best checkpoint" in capsys.readouterr().out
