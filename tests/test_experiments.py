"""Every experiment composes and instantiates: network, losses, optimizer, schedule, data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_module
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig

import conf
from datamodules.base import VFIDataModule
from vfi_train.architectures import list_models
from vfi_train.config_targets import check_targets
from vfi_train.epochs import count_epoch
from vfi_train.modules.base import InterpolationModule
from vfi_train.train import build_module, check_pairing

CONF = Path(conf.__file__).parent
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))


def composed(*overrides: str) -> DictConfig:
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("train", overrides=list(overrides), return_hydra_config=True)
        HydraConfig.instance().set_config(config)
        return config


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_instantiates(name: str) -> None:
    config = composed(f"experiment={name}")
    check_targets(config)
    module = build_module(config)
    data: Any = instantiate(config.data, _convert_="all")
    assert isinstance(module, InterpolationModule)
    assert isinstance(data, VFIDataModule)
    check_pairing(module.architecture, data)
    optimizer = module.configure_optimizers()["optimizer"]
    trainable = sum(p.numel() for p in module.architecture.parameters())
    assert sum(p.numel() for group in optimizer.param_groups for p in group["params"]) == trainable
    assert "published" in config


def test_a_length_in_epochs_counts_the_training_set() -> None:
    config = composed("data.train_samples=83", "data.batch_size=8", "trainer.max_steps=${epochs:3}")
    assert config.trainer.max_steps is None
    count_epoch(config, instantiate(config.data, _convert_="all"))
    assert (config.steps_per_epoch, config.trainer.max_steps) == (10, 30)  # 83 // 8 steps an epoch


def test_there_is_a_config_for_every_architecture() -> None:
    assert set(MODELS) >= set(list_models())


@pytest.mark.parametrize("name", MODELS)
def test_a_model_config_builds_its_architecture(name: str) -> None:
    config = composed(f"model={name}")
    assert config.model._target_.rpartition(".")[2] == name
    check_targets(config)
