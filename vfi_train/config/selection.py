"""The networks, benchmarks and protocols that a command line names: each has a configuration of its own."""

from __future__ import annotations

from functools import cache
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from vfi_train.config.compose import compose_config
from vfi_train.config.overrides import parse, search_path


def chosen(group: str) -> list[str]:
    """The names that the command line gives for a config group: `model=a` or `model=[a,b]`; may be none."""
    values = [o.value() for o in parse(HydraConfig.get().overrides.task) if o.key_or_group == group]
    if not values or values[-1] in (None, "null"):
        return []
    return list(map(str, values[-1])) if isinstance(values[-1], list) else [str(values[-1])]


def configured(group: str, name: str) -> DictConfig:
    """The block of a config group for one of its names, with the values that the command line gives for the block."""
    given = HydraConfig.get().overrides
    values = [o.input_line for o in parse(given.task) if o.key_or_group.startswith(f"{group}.")]
    return _compose(group, name, (*given_search_path(), *map(str, values)))


def dataset(name: str) -> dict[str, Any]:
    """The block of conf/data/NAME.yaml."""
    block = OmegaConf.to_container(_compose("data", name, given_search_path()), resolve=True)
    assert isinstance(block, dict)
    return block  # type: ignore[return-value]


def given_search_path() -> tuple[str, ...]:
    """What the command line gives as `hydra.searchpath`."""
    return search_path(HydraConfig.get().overrides.hydra)


@cache
def _compose(group: str, name: str, overrides: tuple[str, ...]) -> DictConfig:
    """A choice of a group, composed without a primary configuration, which Hydra would look for only in `conf`."""
    return compose_config(None, (f"+{group}={name}", *overrides))[group]
