"""The training program inside the test's own process: no start-up, and the objects can be looked at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra import compose, initialize_config_module
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

import conf

if TYPE_CHECKING:
    from vfi_train.training.plan import TrainingPlan

TINY = (
    "experiment=quickstart", "data.size=32", "data.batch_size=4", "data.num_workers=0", "data.train_samples=40",
    "data.val_samples=4", "schedule.warmup_steps=0", "log_every=1", "logger=csv",
    "report=false",
    "optimizer=adamw", "optimizer.lr=1e-3",  # of the published recipes
)  # fmt: skip

# ATM-VFI's four phases with a small network, two steps each.
CROP = "[{_target_: datamodules.transforms.RandomCrop, size: 128}]"
SMALL_ATM = (
    "experiment=atmvfi_curriculum", "model._target_=vfi_train.architectures.atm_vfi.network.ATMVFI",
    "+model.widths=[8,8,8,8,8]", "+model.ratio=1", "+model.local_head_width=8", "+model.global_head_width=8",
    "+model.refinement_width=8", "data.num_workers=0", "data.val_batch_size=1", "data.batch_size=2", "report=false",
    "logger=csv", "log_every=1", "trainer.max_steps=2", "validate_every=2", "schedule.warmup_steps=0",
    f"+curriculum.overrides.local=['data.transforms={CROP}','data.val_samples=1']",
    f"+curriculum.overrides.global=['data.datasets.x4k1000fps.transforms={CROP}','data.val_split.val_samples=1']",
    *(
        f"+curriculum.overrides.{phase}=['data.datasets.vimeo90k.transforms={CROP}',"
        f"'data.datasets.x4k1000fps.transforms={CROP}','data.datasets.x4k1000fps.batch_size=1',"
        "'data.val_split.vimeo90k.val_samples=1','data.val_split.snu_film.val_samples=1']"
        for phase in ("joint", "pct")
    ),
)  # fmt: skip
EXPERIMENTS = sorted(path.stem for path in (Path(conf.__file__).parent / "experiment").glob("*.yaml"))


def composed(*overrides: str) -> DictConfig:
    """The configuration of `python -m vfi_train OVERRIDES`."""
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("train", overrides=list(overrides), return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    with open_dict(config):
        del config["hydra"]
    return config


def planned(*overrides: str) -> TrainingPlan:
    """The plan of `python -m vfi_train OVERRIDES`."""
    from vfi_train.training.command import plan_run

    return plan_run(composed(*overrides))


def train_tiny(folder: Path, *overrides: str) -> Path:
    """Train the quickstart's network on a few tiny scenes; the run's folder.

    Overrides of the same key follow `TINY`'s.
    """
    from vfi_train.training.command import train

    given = {override.lstrip("+~").partition("=")[0] for override in overrides}
    kept = [override for override in TINY if override.partition("=")[0] not in given]
    config = composed(*kept, *overrides, f"runs={folder / 'runs'}")
    train(config)
    name = "quickstart" if config.name is None else f"quickstart-{config.name}"
    return folder / "runs" / name


def read_checkpoint(path: Path) -> dict[str, Any]:
    import torch

    content: dict[str, Any] = torch.load(path, weights_only=True)
    return content


def rows(run: Path) -> list[dict[str, str]]:
    """The rows of a run's log."""
    import csv

    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))
