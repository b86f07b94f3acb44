"""From a configuration to a dataclass of settings."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf

T = TypeVar("T")


def read_settings(kind: type[T], config: DictConfig) -> T:
    """An instance of a dataclass, from the keys that are called as its fields; other keys are left out.

    Blocks and lists become dicts and lists, and values of fields of type str become text (a folder may be called 2024).

    Raises:
        omegaconf.errors.MissingMandatoryValue: a key has no value.
    """
    values: dict[str, Any] = {}
    for field in fields(kind):  # type: ignore[arg-type]
        value = config[field.name]
        if OmegaConf.is_config(value):
            value = OmegaConf.to_container(value, resolve=True)
        values[field.name] = str(value) if field.type in (str, "str") else value
    return kind(**values)
