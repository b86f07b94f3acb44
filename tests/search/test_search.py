"""Searching: the space in Hydra's words, and a study that is stopped in a trial and goes on with it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

from tests.helpers.in_process import TINY, rows
from tests.helpers.programs import ENVIRONMENT
from vfi_train.errors import UserError
from vfi_train.search.command import Settings, open_study
from vfi_train.search.space import collect_space, read_space, suggest
from vfi_train.search.trial import check_monitor, validations


def test_sweeps_are_told_from_values() -> None:
    found = collect_space(
        ["experiment=quickstart", "optimizer.lr=tag(log,interval(1e-4,1e-2))", "optimizer=choice(a,b)"]
    )
    assert found == [
        "experiment=quickstart",
        "search.space=['optimizer.lr=tag(log,interval(1e-4,1e-2))','optimizer=choice(a,b)']",
    ]
    assert collect_space(["seed=1", "data.root=a=b"]) == ["seed=1", "data.root=a=b"]


def test_each_kind_of_sweep_is_drawn_from_its_range() -> None:
    space = read_space(
        ["a=tag(log,interval(1e-4,1e-2))", "b=int(interval(2,5))", "c=choice([1,2],x)", "d=range(1,8,3)"]
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [dict(o.split("=", 1) for o in suggest(study.ask(), space)) for _ in range(200)]
    rates = sorted(float(d["a"]) for d in drawn)
    assert 1e-4 <= rates[0] < rates[-1] <= 1e-2
    assert rates[100] == pytest.approx(1e-3, rel=0.5)  # the median on a logarithmic scale
    assert {d["b"] for d in drawn} == {"2", "3", "4", "5"}
    assert {d["c"] for d in drawn} == {"[1,2]", "x"}
    assert {d["d"] for d in drawn} == {"1", "4", "7"}


@pytest.mark.parametrize(
    ("sweeps", "sentence"),
    [([], "nothing to search for"), (["a=interval(2,1)"], "empty interval"), (["a=tag(log,interval(0,1))"], "0 < LOW")],
)
def test_mistakes(sweeps: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        read_space(sweeps)


def test_a_log_that_is_being_written(tmp_path: Path) -> None:
    log = tmp_path / "metrics.csv"
    assert validations(log, "val/psnr") == []
    log.write_text("step,train/loss,val/psnr\n1,0.5,\n2,0.4,31.5\n3,0.3,nan\n4,0.2,32.")
    assert validations(log, "val/psnr") == [(2, 31.5), (4, 32.0)]


def test_a_value_that_no_validation_logs_ends_the_search(tmp_path: Path) -> None:
    log = tmp_path / "metrics.csv"
    check_monitor(log, "val/psnrr")
    log.write_text("step,train/loss\n1,0.5\n")
    check_monitor(log, "val/psnrr")
    log.write_text("step,train/loss,val/psnr\n1,0.5,\n2,0.4,31.5\n")
    check_monitor(log, "val/psnr")
    with pytest.raises(UserError, match=r"search.monitor=val/psnrr is no column of .*: did you mean 'val/psnr'"):
        check_monitor(log, "val/psnrr")


@pytest.mark.parametrize("changes", [{"storage": "foo"}, {"study": "a/b"}])
def test_a_storage_that_cannot_be_opened_is_one_sentence(changes: dict[str, str], tmp_path: Path) -> None:
    given = {"study": "x", "storage": None, "sampler": "TPESampler", "monitor": "val/psnr", "direction": "maximize"}
    settings = Settings(**{**given, **changes}, trials=1, prune=True, startup=5, space=[])  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"search.storage=.* cannot be opened .*: give sqlite:///FILE"):
        open_study(settings, tmp_path)


@pytest.mark.slow
def test_a_study_that_is_stopped_goes_on_with_its_trial(tmp_path: Path) -> None:
    tiny = [o for o in TINY if not o.startswith("schedule.")]
    command = [
        sys.executable, "-m", "vfi_train.search", "search.study=s", "search.trials=3", "search.startup=1", *tiny,
        "optimizer.lr=tag(log,interval(1e-4,1e-2))", "trainer.max_steps=40", "validate_every=10", "checkpoint_every=5",
        "callbacks.images=null", "search.sampler=RandomSampler",
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    log = tmp_path / "runs" / "quickstart-s-000" / "metrics.csv"
    while not validations(log, "val/psnr"):
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=100)
    assert process.returncode == 128 + signal.SIGTERM
    assert int(rows(log.parent)[-1]["step"]) < 40
    done = subprocess.run(
        command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=300
    )
    assert "resuming" in (log.parent / "trial.log").read_text()
    study = optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path / 'runs' / 's.sqlite3'}")
    assert [trial.state.name in ("COMPLETE", "PRUNED") for trial in study.trials] == [True] * 3
    for trial in study.trials:
        run = tmp_path / "runs" / f"quickstart-s-{trial.number:03d}"
        assert f"lr: {trial.params['optimizer.lr']}" in (run / "config.yaml").read_text()
        if trial.state.name == "COMPLETE":
            assert trial.value == max(value for _, value in validations(run / "metrics.csv", "val/psnr"))
    assert re.search(rf"best: {study.best_value:.4f}", done.stdout)
