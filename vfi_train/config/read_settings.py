"""From a configuration to a dataclass of settings."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf

from vfi_train.config.targets import check_value, fits, type_hints

T = TypeVar("T")


def read_settings(kind: type[T], config: DictConfig, prefix: str = "") -> T:
    """An instance of a dataclass, from the keys that are called as its fields; other keys are left out.

    Blocks and lists become dicts and lists, numbers become text where that is wanted (a folder may be called 2024), 4.0
    becomes 4, and a single value instead of a list becomes a list. `prefix` comes before the keys in messages.

    Raises:
        UserError: a value that its field's type hint rules out.
        omegaconf.errors.MissingMandatoryValue: a key has no value.
    """
    values: dict[str, Any] = {}
    hints = type_hints(kind)
    for field in fields(kind):  # type: ignore[arg-type]
        value = config[field.name]
        if OmegaConf.is_config(value):
            value = OmegaConf.to_container(value, resolve=True)
        value = _converted(value, hints[field.name])
        check_value(f"{prefix}{field.name}", value, hints[field.name])
        values[field.name] = value
    return kind(**values)


def _converted(value: Any, hint: Any) -> Any:
    """A value as its type hint wants it, where that is clear."""
    if isinstance(value, float) and value.is_integer() and not fits(0.5, hint) and fits(int(value), hint):
        return int(value)
    if fits(value, hint, strict=True) or not isinstance(value, (int, float, str, Path)) or isinstance(value, bool):
        return value
    return next((other for other in (str(value), [value]) if fits(other, hint, strict=True)), value)
