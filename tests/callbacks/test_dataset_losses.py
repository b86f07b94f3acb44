"""The training loss of each dataset: rows against a plain loop over the samples, on two processes, and resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from datamodules.joint import Joint
from tests.helpers.sources import NumbersData, Recorder, SaveEverywhere, saved, steps, trainer
from vfi_train.callbacks.dataset_losses import DatasetLosses
from vfi_train.loggers.csv import CSVLog

STEPS = 11
SIZES = {"a": 4, "b": 2}  # samples of a step


class Brightness(Recorder):
    """The loss is the mean grey level, which is the sample's number; a NaN at some optimizer steps."""

    def __init__(self, *nan: int) -> None:
        super().__init__()
        self.nan = nan

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        zero = super().training_step(batch, batch_idx)
        return zero + 255 * batch["frame0"].mean() * (np.nan if self.trainer.global_step in self.nan else 1)

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        self.log("train/loss", float(self.trainer.global_step))

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        self.zero_grad()


def run(folder: Path, module: Recorder, every: Any = "step", accumulate: int = 1, log: int = 3, **options: Any) -> Any:
    """The rows: {step: {"loss/a": ..., "loss/b": ...}}; three steps of a and one of b in an epoch of each."""
    datasets = {
        name: NumbersData(train=n, batch_size=size) for (name, size), n in zip(SIZES.items(), (14, 3), strict=True)
    }
    devices = options.get("devices", 1)
    data = Joint(datasets=datasets, every=every, batch_size=4, micro_batch_size=4 // accumulate // devices, seed=7)
    logger, ckpt = CSVLog(folder), options.pop("ckpt", None)
    settings = {"max_steps": STEPS, "accumulate_grad_batches": accumulate, "log_every_n_steps": log}
    callbacks = [DatasetLosses(), *options.pop("callbacks", [])]
    fit = trainer(folder, callbacks=callbacks, logger=logger, limit_val_batches=0, **settings, **options)
    fit.fit(module, datamodule=data, ckpt_path=ckpt)
    rows = CSVLog(folder)._rows
    return {
        step: {name: float(value) for name, value in row.items() if name.startswith("loss/") and value}
        for step, row in rows.items()
        if any(name.startswith("loss/") and value for name, value in row.items())
    }


def plain(module: Brightness, log: int = 3) -> dict[int, dict[str, float]]:
    """The mean number of the samples of each dataset between rows, from the keys NAME/NUMBER:DRAW."""
    rows: dict[int, dict[str, list[int]]] = {}
    for step, keys in steps(module).items():
        row = rows.setdefault(-(-(step + 1) // log) * log, {})
        if step not in module.nan:
            for key in keys:
                name, _, rest = key.partition("/")
                row.setdefault(f"loss/{name}", []).append(int(rest.partition(":")[0]))
    return {
        step: {name: float(np.mean(numbers)) for name, numbers in row.items()}
        for step, row in rows.items()
        if step <= STEPS
    }


def close(rows: dict[int, dict[str, float]], wanted: dict[int, dict[str, float]]) -> bool:
    assert {step: set(row) for step, row in rows.items()} == {step: set(row) for step, row in wanted.items()}
    return all(row == pytest.approx(wanted[step], rel=1e-6) for step, row in rows.items())


@pytest.mark.parametrize(("every", "accumulate", "log"), [("step", 1, 3), ("step", 2, 2), ("epoch", 2, 3)])
def test_means_over_the_samples_of_each_dataset(tmp_path: Path, every: Any, accumulate: int, log: int) -> None:
    """Where datasets alternate by step and every second step has a row, each row has both nevertheless."""
    module = Brightness()
    rows = run(tmp_path, module, every, accumulate, log)
    assert close(rows, plain(module, log))
    names = [sorted(row) for row in rows.values()]
    if every == "step":
        assert names == [["loss/a", "loss/b"]] * (STEPS // log)
    else:  # three steps of a, one of b: no value is repeated where there is no sample
        assert names == [["loss/a"], ["loss/a", "loss/b"], ["loss/a", "loss/b"]]


def test_steps_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    module = Brightness(0, 3, 5)
    rows = run(tmp_path, module)
    assert close(rows, plain(module))
    assert sorted(rows[6]) == ["loss/a"]  # both steps of b before it


def test_two_processes_give_the_numbers_of_one(tmp_path: Path) -> None:
    one = run(tmp_path / "one", Brightness())
    two = run(tmp_path / "two", Brightness(), devices=2, strategy="ddp_fork")
    assert close(two, one)


def test_resumed_between_rows(tmp_path: Path) -> None:
    full = run(tmp_path, Brightness(), callbacks=[SaveEverywhere(tmp_path, "on_train_batch_end")])
    ((_, checkpoint),) = [found for found in saved(tmp_path, "on_train_batch_end") if found[0] == 5]
    rest = run(tmp_path / "rest", Brightness(), ckpt=checkpoint)
    assert rest == {step: row for step, row in full.items() if step > 5}


def test_one_dataset_has_no_loss_of_its_own(tmp_path: Path) -> None:
    data = Joint(datasets={"a": NumbersData(train=8, batch_size=4)}, batch_size=4)
    logger = CSVLog(tmp_path)
    fit = trainer(
        tmp_path, callbacks=[DatasetLosses()], logger=logger, max_steps=4, log_every_n_steps=1, limit_val_batches=0
    )
    fit.fit(Brightness(), datamodule=data)
    assert "loss/a" not in (tmp_path / "metrics.csv").read_text()
