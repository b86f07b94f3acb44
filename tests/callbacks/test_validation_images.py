"""The images callback: which files appear when, and what W&B is given."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.helpers.validation import MeanModule, samples, trainer
from vfi_train.callbacks.validation_images import ValidationImages
from vfi_train.contract import Prediction
from vfi_train.loggers.wandb import wandb_logger
from vfi_train.visualization import grid, sample_strip


def read(path: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def fit(folder: Path, callback: ValidationImages, steps: int = 4, **options: object) -> None:
    t = trainer(folder, [callback], max_steps=steps, val_check_interval=1, **options)
    t.fit(MeanModule())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "images").iterdir())


def test_files_show_the_first_samples(tmp_path: Path) -> None:
    fit(tmp_path, ValidationImages(samples=3))  # batches of two: the third comes from the second batch
    assert names(tmp_path) == ["latest.png", *(f"step_{i:07d}.png" for i in (1, 2, 3, 4))]
    strips = []
    for sample in samples()[:3]:
        prediction = Prediction((sample["frame0"] + sample["frame1"]) / 2)
        strips.append(sample_strip(sample, prediction))
    assert (read(tmp_path / "images" / "latest.png") == grid(strips)).all()


def test_every_second_validation_and_resuming(tmp_path: Path) -> None:
    callback = ValidationImages(every_n_validations=2, samples=1)
    fit(tmp_path / "a", callback)
    assert names(tmp_path / "a") == ["latest.png", "step_0000001.png", "step_0000003.png"]
    assert callback.state_dict() == {"validations": 4}
    resumed = ValidationImages(every_n_validations=2, samples=1)
    resumed.load_state_dict({"validations": 1})
    fit(tmp_path / "b", resumed)
    assert names(tmp_path / "b") == ["latest.png", "step_0000002.png", "step_0000004.png"]


def test_sanity_checks_are_not_drawn(tmp_path: Path) -> None:
    callback = ValidationImages(samples=1)
    t = trainer(tmp_path, [callback], max_steps=1, num_sanity_val_steps=2, limit_val_batches=0.5)
    t.fit(MeanModule())
    assert not (tmp_path / "images" / "step_0000000.png").exists()


def test_only_the_first_process_draws(tmp_path: Path) -> None:
    """Two processes with different samples: the image shows those of the first."""
    t = trainer(tmp_path, [ValidationImages(samples=7)], devices=2, strategy="ddp_fork")
    t.validate(MeanModule(), verbose=False)
    strips = [sample_strip(sample, Prediction((sample["frame0"] + sample["frame1"]) / 2)) for sample in samples()[:5]]
    assert (read(tmp_path / "images" / "latest.png") == grid(strips)).all()


def test_wandb_gets_the_image_of_the_step(tmp_path: Path) -> None:
    """A real run, offline: the image lies in its media folder, named by key and step."""
    logger = wandb_logger(tmp_path, "images", mode="offline")
    t = trainer(tmp_path, [ValidationImages(samples=2)], logger=logger)
    t.validate(MeanModule(), verbose=False)
    logger.experiment.finish()
    (media,) = tmp_path.glob("wandb/offline-run-*/files/media/images/val/images_0_*.png")
    assert (read(media) == read(tmp_path / "images" / "latest.png")).all()


def test_counts_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="1 or more; got 1 and 0"):
        ValidationImages(samples=0)
