"""A bug, also in a user's own code, shows its traceback, file and line; a mistake in the same place is one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.helpers.marks import some_slow
from tests.helpers.programs import train

TINY = (
    "experiment=quickstart", "trainer.max_steps=2", "data.size=32", "data.batch_size=4", "data.num_workers=0",
    "data.train_samples=8", "data.val_samples=2", "schedule.warmup_steps=0", "logger=csv", "report=false",
)  # fmt: skip
TWO = ("trainer.devices=2", "trainer.accelerator=cpu")
CODE = """
import os
import threading
import time

import lightning as L

from datamodules.synthetic import Synthetic, SyntheticScenes
from losses.base import Term
from vfi_train.architectures.ifrnet import ifrnet_tiny
from vfi_train.errors import DataError, UserError


def fail(kind):
    if kind == "mistake":
        raise UserError("the moon is full: train tomorrow")
    if kind == "broken file":
        raise DataError("the moon is full: draw the sample again")
    if kind == "killed":
        os.kill(os.getpid(), 9)
    a, b = [1]  # the bug


class Loss(Term):
    def __init__(self, kind, in_constructor=False, rank=None):
        super().__init__()
        self.kind, self.rank = kind, rank
        if in_constructor:
            fail(kind)

    def forward(self, prediction, batch):
        if self.rank is None or os.environ.get("LOCAL_RANK", "0") == self.rank:
            while self.rank and not os.path.exists("threads.txt"):
                time.sleep(0.05)
            fail(self.kind)
        threads = [thread.name for thread in threading.enumerate()]
        if "rank_monitor" in threads:
            open("threads.txt", "w").write(str(threads))
        return prediction.frame.mean()


def network(kind):
    model = ifrnet_tiny()
    model.decode = lambda *inputs, **options: fail(kind)
    return model


class Scenes(SyntheticScenes):
    def sample(self, index, rng):
        fail(self.kind)


class Data(Synthetic):
    def __init__(self, kind, in_constructor=False, **options):
        super().__init__(**options)
        self.kind = kind
        if in_constructor:
            fail(kind)

    def train_source(self):
        source = super().train_source()
        source.__class__, source.kind = Scenes, self.kind
        return source


class Callback(L.Callback):
    def __init__(self, kind):
        self.kind = kind

    def on_train_batch_start(self, *context):
        fail(self.kind)
"""
LINE = next(number for number, line in enumerate(CODE.splitlines(), 1) if "the bug" in line)
PLACES = {
    "loss": ["+loss.terms.mine={_target_: mine.Loss, kind: KIND}"],
    "constructor of a loss": ["+loss.terms.mine={_target_: mine.Loss, kind: KIND, in_constructor: true}"],
    "model": ["model._target_=mine.network", "+model.kind=KIND"],
    "dataset": ["data._target_=mine.Data", "+data.kind=KIND"],
    "data worker": ["data._target_=mine.Data", "+data.kind=KIND", "data.num_workers=1"],
    "constructor of a dataset": ["data._target_=mine.Data", "+data.kind=KIND", "+data.in_constructor=true"],
    "callback": ["+callbacks.mine={_target_: mine.Callback, kind: KIND}"],
    "second process": ["+loss.terms.mine={_target_: mine.Loss, kind: KIND, rank: '1'}", *TWO],
}


def places(*fast: str) -> list[Any]:
    return [place if place in fast else pytest.param(place, marks=pytest.mark.slow) for place in PLACES]


def overrides(place: str, kind: str) -> list[str]:
    return [override.replace("KIND", kind) for override in PLACES[place]]


@pytest.mark.parametrize("place", places("loss", "data worker"))
def test_a_bug_shows_its_file_and_line(place: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(CODE)
    result = train(*TINY, *overrides(place, "bug"), cwd=tmp_path)
    assert result.returncode == 1, result.stderr
    assert f'File "{tmp_path}/mine.py", line {LINE}, in fail' in result.stderr
    assert "not enough values to unpack" in result.stderr
    assert "(a bug: its traceback is above)" in result.stderr


@pytest.mark.parametrize("place", places("loss", "constructor of a dataset"))
def test_a_mistake_there_is_one_sentence(place: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(CODE)
    result = train(*TINY, *overrides(place, "mistake"), cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    key = {"constructor of a loss": "loss.terms.mine: ", "constructor of a dataset": "data: "}.get(place, "")
    first, *others = result.stderr.splitlines()
    assert first == f"error: {key}the moon is full: train tomorrow"
    assert all("ended with status 2, see above" in line for line in others)  # which the first process says
    if place == "second process":  # Lightning's observer would kill the first process, if it looked first
        assert "observer" not in (tmp_path / "threads.txt").read_text()


def test_a_broken_sample_in_a_data_worker_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(CODE)
    result = train(*TINY, *overrides("data worker", "'broken file'"), cwd=tmp_path)
    assert (result.returncode, result.stderr) == (2, "error: the moon is full: draw the sample again\n")


def test_a_data_worker_that_was_killed_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(CODE)
    result = train(*TINY, *overrides("data worker", "killed"), cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("error: a process that reads data was killed (DataLoader worker (pid")
    assert "usually because the memory was full: give fewer data.num_workers=..." in result.stderr


@pytest.mark.parametrize("module", ["import nothing_like_it", "from losses.base import Nothing", "1 / 0"])
def test_a_bug_at_import_shows_its_file_and_line(module: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(module)
    result = train(*TINY, "+loss.terms.mine={_target_: mine.Loss}", cwd=tmp_path)
    assert result.returncode == 1, result.stderr
    assert f'File "{tmp_path}/mine.py", line 1' in result.stderr


@pytest.mark.parametrize(
    ("override", "said"),
    some_slow(
        [
            ("data.size=0", "data: data.size=0 is not 16 to 8192 pixels a side"),
            ("checkpoint_every=0", "checkpoint_every=0"),
            ("callbacks.nan_guard.limit=0", "callbacks.nan_guard: "),
            (
                "optimizer.lr=-1",
                "Invalid learning rate: -1",
            ),
            ("trainer.accelerator=abacus", "trainer: lightning does not accept an option: You selected an invalid acc"),
            ("trainer.precision=3", "trainer.precision=3"),
            ("trainer.strategy=chess", "strategy='chess'"),
            ("callbacks.best.mode=middle", "callbacks.best: lightning does not accept an option: "),
            ("runs=mine.py/runs", "runs: the folder mine.py/runs/quickstart cannot be made (Not a directory)"),
            ("weights=.", "weights=."),
        ],
        every=2,
    ),
)
def test_what_a_constructor_refuses_is_one_sentence(override: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("")
    result = train(*TINY, override, cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert said in result.stderr
