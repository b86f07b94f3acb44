"""A run that is stopped and resumed sees the samples that it would have seen, whatever was saved when."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightning as L
import pytest

from tests.helpers.sources import NumbersData, Recorder, SaveEverywhere, micro_batches, saved, steps, trainer

STEPS = 12  # of 5 to an epoch


def run(folder: Path, *hooks: str, ckpt: Path | None = None, data: dict | None = None, **options: Any) -> Recorder:
    settings = {"batch_size": 4, "seed": 5, **(data or {})}
    accumulate = settings["batch_size"] // settings.get("micro_batch_size", settings["batch_size"])
    recorder = Recorder()
    options = {"max_steps": STEPS, "accumulate_grad_batches": accumulate, **options}
    fit = trainer(folder, callbacks=[SaveEverywhere(folder, *hooks)], enable_checkpointing=False, **options)
    fit.fit(recorder, datamodule=NumbersData(**settings), ckpt_path=ckpt)
    return recorder


@pytest.mark.parametrize("length", [{}, {"max_steps": -1, "max_epochs": 3}], ids=["steps", "epochs"])
@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_validation_end", "on_train_epoch_end"])
def test_resumed_from_each_checkpoint_of_a_run(tmp_path: Path, hook: str, length: dict) -> None:
    options = {"val_check_interval": 2, "check_val_every_n_epoch": None, **length}
    full = micro_batches(run(tmp_path, hook, **options))
    assert len({key for keys in full[:5] for key in keys}) == 20
    checkpoints = saved(tmp_path, hook)
    whole_epochs, begun = divmod(len(full), 5)
    expected = {"on_train_batch_end": len(full), "on_validation_end": len(full) // 2}
    assert len(checkpoints) == expected.get(hook, whole_epochs + (begun > 0))
    for done, path in checkpoints:
        rest = micro_batches(run(tmp_path, ckpt=path, **options))
        assert rest == full[done:], f"resumed after {done}"


@pytest.mark.parametrize("done", [pytest.param(2, marks=pytest.mark.slow), 5, pytest.param(8, marks=pytest.mark.slow)])
def test_resumed_with_workers_and_several_times(tmp_path: Path, done: int) -> None:
    full = micro_batches(run(tmp_path, "on_train_batch_end", data={"num_workers": 2}))
    path = dict(saved(tmp_path, "on_train_batch_end"))[done]
    first = run(tmp_path / "first", "on_train_batch_end", ckpt=path, data={"num_workers": 2}, max_steps=done + 2)
    again = dict(saved(tmp_path / "first", "on_train_batch_end"))[2]
    second = run(tmp_path, ckpt=again, data={"num_workers": 1})
    assert micro_batches(first) + micro_batches(second) == full[done:]


@pytest.mark.parametrize(("before", "after"), [(2, 2), (4, 2), (2, 4), (1, 2), (2, 1)])
def test_resumed_with_another_number_of_accumulated_micro_batches(tmp_path: Path, before: int, after: int) -> None:
    """Also from the middle of an accumulated step, which begins again."""
    full = steps(run(tmp_path, "on_train_batch_end", data={"micro_batch_size": before}))
    assert sorted(full) == list(range(STEPS))
    accumulate = 4 // before
    checkpoints = saved(tmp_path, "on_train_batch_end")
    assert len(checkpoints) == STEPS * accumulate
    for done, path in checkpoints:
        rest = run(tmp_path, ckpt=path, data={"micro_batch_size": after})
        expected = {step: keys for step, keys in full.items() if step >= done // accumulate}
        assert steps(rest) == expected, f"resumed after {done} micro-batches"
        assert all(len(keys) == after for keys in micro_batches(rest))


class StopIn(L.Callback):
    """An exception in the middle of a micro-batch."""

    def __init__(self, folder: Path, batch: int) -> None:
        self.folder, self.batch = folder, batch

    def on_train_batch_start(self, trainer: L.Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == self.batch:
            raise RuntimeError("stop")

    def on_exception(self, trainer: L.Trainer, *_: Any) -> None:
        trainer.save_checkpoint(self.folder / "exception.ckpt")


def test_resumed_after_an_exception_and_again_later(tmp_path: Path) -> None:
    full = micro_batches(run(tmp_path / "full"))
    stopped = Recorder()
    settings = {"batch_size": 4, "seed": 5}
    with pytest.raises(RuntimeError, match="stop"):
        trainer(tmp_path, max_steps=STEPS, callbacks=[StopIn(tmp_path, 3)], enable_checkpointing=False).fit(
            stopped, datamodule=NumbersData(**settings)
        )
    assert micro_batches(stopped) == full[:3]
    second = run(tmp_path, "on_train_batch_end", ckpt=tmp_path / "exception.ckpt")
    assert micro_batches(second) == full[3:]
    for done, path in saved(tmp_path, "on_train_batch_end"):
        third = micro_batches(run(tmp_path / "third", ckpt=path))
        assert third == full[3 + done :], f"resumed {done} after the exception"


def test_a_finished_run_goes_on(tmp_path: Path) -> None:
    full = micro_batches(run(tmp_path / "full", max_steps=-1, max_epochs=4))
    fit = trainer(tmp_path, max_epochs=2, enable_checkpointing=False)
    fit.fit(Recorder(), datamodule=NumbersData(batch_size=4, seed=5))
    fit.save_checkpoint(tmp_path / "end.ckpt")
    assert micro_batches(run(tmp_path, ckpt=tmp_path / "end.ckpt", max_steps=-1, max_epochs=4)) == full[10:]


def test_an_epoch_cut_short_by_a_limit_goes_on_with_the_next(tmp_path: Path) -> None:
    limit = {"limit_train_batches": 3}
    full = micro_batches(run(tmp_path, "on_train_batch_end", **limit))
    assert len(full) == STEPS
    for done, path in saved(tmp_path, "on_train_batch_end"):
        assert micro_batches(run(tmp_path / "rest", ckpt=path, **limit)) == full[done:], f"resumed after {done}"


def test_a_wrong_accumulation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"needs trainer\.accumulate_grad_batches=2, not 1"):
        run(tmp_path, data={"micro_batch_size": 2}, accumulate_grad_batches=1)


class NotesOnDisk(Recorder):
    """A process of its own cannot hand back what it saw but in a file."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def on_fit_end(self) -> None:
        seen = {"steps": [(step, keys) for _, step, keys in self.seen], "validated": self.validated}
        (self.folder / f"rank{self.global_rank}.json").write_text(json.dumps(seen))


def test_resumed_in_two_processes(tmp_path: Path) -> None:
    """One process stops after three of five steps; two go on with the samples that it would have seen."""
    full = steps(run(tmp_path, "on_train_batch_end", max_steps=7))
    checkpoint = dict(saved(tmp_path, "on_train_batch_end"))[3]
    recorder = NotesOnDisk(tmp_path)
    options = {"devices": 2, "strategy": "ddp_fork", "max_steps": 7, "val_check_interval": 5}
    data = NumbersData(batch_size=4, seed=5, num_workers=1)
    trainer(tmp_path, **options).fit(recorder, datamodule=data, ckpt_path=checkpoint)
    ranks = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2)]
    seen: dict[int, list[str]] = {}
    for rank in ranks:
        assert all(len(keys) == 2 for _, keys in rank["steps"])
        for step, keys in rank["steps"]:
            seen[step] = sorted(seen.get(step, []) + keys)
    assert seen == {step: full[step] for step in range(3, 7)}
    assert sorted(ranks[0]["validated"] + ranks[1]["validated"]) == [f"{i}:held-out" for i in range(5)]
