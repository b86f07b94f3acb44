"""Loss sets of conf/loss."""

from __future__ import annotations

from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from omegaconf import DictConfig

from losses import LossSet


def loss_config(name: str, *overrides: str) -> DictConfig:
    with initialize_config_module("conf", version_base="1.3"):
        config: DictConfig = compose("train", overrides=[f"loss={name}", *overrides]).loss
        return config


def loss_set(name: str, *overrides: str) -> LossSet:
    """The loss set of `loss=NAME` and overrides."""
    losses: LossSet = instantiate(loss_config(name, *overrides), _convert_="all")
    return losses
