"""`python -m vfi_train.interpolate`: frames between the frames of images, folders and videos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig

from vfi_train.config.build_network import build_network
from vfi_train.config.compose import compose_config
from vfi_train.config.read_settings import read_settings
from vfi_train.interpolate.job import Settings, Summary, run


def interpolate(config: DictConfig) -> Summary:
    """Interpolate `config.input` to `config.output`; see conf/interpolate.yaml."""
    settings = read_settings(Settings, config)
    return run(settings, build_network(config))


def interpolate_with(model: str, search_path: Sequence[str] = (), **values: Any) -> Summary:
    """The same from Python.

    Args:
        model: a name in conf/model, or in a folder of `search_path`.
        search_path: overrides of `hydra.searchpath`.
        values: other keys of conf/interpolate.yaml.
    """
    config = compose_config("interpolate", [*search_path, f"model={model}"])
    config.update(values)
    return interpolate(config)
