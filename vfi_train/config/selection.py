"""The networks, benchmarks and protocols that a command line names: each has a configuration of its own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from vfi_train.config.compose import compose_config
from vfi_train.config.overrides import parse, search_path
from vfi_train.errors import UserError


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


def expanded(group: str, names: Sequence[str]) -> tuple[list[str], bool]:
    """Names of a group, those of sets included; and whether there was a set (of which some may not apply)."""
    found: list[str] = []
    is_set = False
    for name in names:
        config = configured(group, name)
        is_set |= "names" in config
        found += list(config.names) if "names" in config else [name]
    return list(dict.fromkeys(found)), is_set


def one_for_each(key: str, value: Any, count: int, of: str) -> list[Any]:
    """A value for all, or a list of a value for each, as a list.

    Raises:
        UserError: a list of another length.
    """
    values = list(value) if OmegaConf.is_list(value) or isinstance(value, (list, tuple)) else [value] * count
    if len(values) != count:
        raise UserError(f"{key} lists {len(values)} for {count} {of}: give one for each")
    return values


def given_search_path() -> tuple[str, ...]:
    """What the command line gives as `hydra.searchpath`."""
    return search_path(HydraConfig.get().overrides.hydra)


@cache
def _compose(group: str, name: str, overrides: tuple[str, ...]) -> DictConfig:
    """A choice of a group, composed without a primary configuration, which Hydra would look for only in `conf`."""
    block: DictConfig = compose_config(None, (f"+{group}={name}", *overrides))[group]
    return block
