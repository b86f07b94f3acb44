"""Every experiment composes and instantiates: network, losses, optimizer, schedule, data."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
import torch

import conf
from datamodules.core.datamodule import VFIDataModule
from tests.helpers.in_process import EXPERIMENTS, composed, planned
from tests.helpers.layouts import LAYOUTS, fabricate
from tests.helpers.marks import some_slow
from vfi_train.architectures import create_model, list_models
from vfi_train.config.targets import check_targets
from vfi_train.errors import UserError
from vfi_train.modules.interpolation_module import InterpolationModule
from vfi_train.training.build import build_data, build_module, check_pairing
from vfi_train.training.command import plan_run, train
from vfi_train.training.run import count_epoch
from vfi_train.weights import published_state_dict

CONF = Path(conf.__file__).parent
MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))


@pytest.mark.parametrize("name", some_slow([(name,) for name in EXPERIMENTS], every=2))
def test_an_experiment_instantiates(name: str, backbones: Path) -> None:
    config = composed(f"experiment={name}", "steps_per_epoch=7", f"backbones={backbones}")
    for dataset in config.get("roots", {}):  # of a curriculum; its phases are composed in test_curriculum.py
        config.roots[dataset] = "data"
    plan = plan_run(config)
    module, data = build_module(plan), build_data(plan)
    assert isinstance(module, InterpolationModule)
    assert isinstance(data, VFIDataModule)
    check_pairing(module.architecture, data)
    optimizer = module.configure_optimizers()["optimizer"]
    trainable = sum(p.numel() for p in module.architecture.parameters() if p.requires_grad)
    assert sum(p.numel() for group in optimizer.param_groups for p in group["params"]) == trainable
    assert "published" in config


# One of each family and dataset trains every time, the others in `make test-slow`.
OFTEN = {"ifrnet_s_gopro", "amt_s_vimeo", "rife_dr_septuplet", "emavfi_small_vimeo"}
PUBLISHED = [
    name for name in EXPERIMENTS if "vimeo" in name or "gopro" in name or "septuplet" in name or "co3d" in name
]


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in OFTEN else pytest.mark.slow) for n in PUBLISHED])
def test_an_experiment_trains_and_validates_on_its_published_layout(name: str, backbones: Path, tmp_path: Path) -> None:
    config = composed(
        f"experiment={name}", "steps_per_epoch=7", f"backbones={backbones}", "trainer.max_steps=2", "validate_every=2",
        "log_every=1", "logger=csv", "report=false", "callbacks.best=null", "callbacks.last=null",
        "data.batch_size=2", "data.val_batch_size=1", "data.num_workers=0", "data.val_samples=1",
        f"runs={tmp_path / 'runs'}",
    )  # fmt: skip
    side = 128 if name.startswith(("atmvfi", "amt")) else 64  # the smallest crops that the losses take
    dataset = next(kind for kind in LAYOUTS if config.data._target_.startswith(f"datamodules.{kind}."))
    config.data.root = str(fabricate(dataset, tmp_path / "data", size=(side, side + 32), clips=3))
    if "packs" in config.data:
        config.data.packs = 3
    for transforms in (config.data.transforms, config.data.val_transforms):
        for transform in transforms:
            if "size" in transform:
                transform.size = side
    if config.train is not None:  # frozen parts need weights
        config.weights = str(tmp_path / "weights.pth")
        model = create_model(config.model._target_.rpartition(".")[2])
        torch.save(published_state_dict(model), config.weights)
    train(config)
    (run,) = (tmp_path / "runs").iterdir()
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2"]
    for row in rows:
        terms = [float(row[f"train/loss_{term}"]) for term in config.loss.terms]
        assert all(math.isfinite(term) for term in terms)
        assert float(row["train/loss"]) == pytest.approx(sum(terms), rel=1e-5)
    assert 5 < float(rows[-1]["val/psnr"]) < 60


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data=xiph"], "Xiph has only validation samples"),
        (["model=rife", "data.times=uniform"], "RIFE predicts only the middle frame"),
        (["model=amt_s", "data=vimeo_septuplet", "data.variant=D"], "AMT does not take a distance map"),
        (["model=rife_d", "data=vimeo_septuplet", "data.variant=DR"], "does not take a reference frame"),
        (["model=ifrnet_dr"], "starts from a reference frame, which this dataset does not give"),
    ],
)
def test_data_that_does_not_suit_the_network_is_refused(overrides: list[str], message: str) -> None:
    plan = planned(*overrides)
    with pytest.raises(UserError, match=message):
        check_pairing(build_module(plan).architecture, build_data(plan))


def test_a_length_in_epochs_counts_the_training_set() -> None:
    plan = planned("data.train_samples=83", "data.batch_size=8", "trainer.max_steps=${epochs:3}")
    assert (plan.steps, plan.length) == (None, "3 epochs")
    counted = count_epoch(plan, build_data(plan))
    assert counted.steps == build_module(counted).total_steps == 30  # 83 // 8 steps an epoch


def test_there_is_a_config_for_every_architecture() -> None:
    missing = sorted(set(list_models()) - set(MODELS))
    assert not missing, f"conf/model has no file for {missing}: NAME.yaml with `_target_:` the function of that name"


@pytest.mark.parametrize("name", MODELS)
def test_a_model_config_builds_its_architecture(name: str) -> None:
    config = composed(f"model={name}")
    assert config.model._target_.rpartition(".")[2] == name
    check_targets(config)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["model=ebme", "~loss.terms.geometry"], r"'distillation' reads prediction\.flow0 \(flow from the target time"),
        (["model=ebme", "loss=rife"], r"reads prediction\.teacher, which this architecture does not give"),
        (["data.flow=false"], r"'distillation' reads 'flow' of the batch \(labels: flow from the target"),
    ],
)
def test_losses_that_the_network_or_the_data_cannot_serve_are_refused_before_data(
    overrides: list[str], said: str, tmp_path: Path
) -> None:
    config = composed(
        "data=vimeo90k", "data.root=/nowhere", "data.flow=true",
        f"runs={tmp_path / 'runs'}", *overrides,
    )  # fmt: skip
    with pytest.raises(UserError, match=said):
        train(config)
    assert not (tmp_path / "runs").exists()
