"""The network that a configuration describes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from vfi_train.architectures import Architecture
from vfi_train.config.targets import check_targets
from vfi_train.errors import UserError


def build_network(config: DictConfig | Mapping[str, Any]) -> Architecture:
    """The network of the block `model` of a configuration.

    Raises:
        UserError: the block has a key or value that its target does not take, or makes something else.
    """
    block = (config if isinstance(config, DictConfig) else OmegaConf.create(dict(config))).model
    check_targets(block, "model")
    network = instantiate(block, _convert_="all")
    if not isinstance(network, Architecture):
        raise UserError(
            f"model._target_={block.get('_target_')} makes a {type(network).__name__}: "
            "give a subclass of vfi_train.architectures.Architecture, or a function that returns one"
        )
    return network
