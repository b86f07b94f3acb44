"""From a configuration to a dataclass of settings, and from texts in it to values."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf

from vfi_train.config.targets import check_value, fits, type_hints
from vfi_train.errors import UserError

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


def parse_size(text: object, given: str) -> tuple[int, int]:
    """Height and width of a text like 720x1280; `given`: what the user gave, for the message."""
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", str(text))
    if match is None:
        raise UserError(f"{given} is not HEIGHTxWIDTH: give for example 720x1280")
    return int(match[1]), int(match[2])


def _converted(value: Any, hint: Any) -> Any:
    """A value as its type hint wants it, where that is clear."""
    if isinstance(value, float) and value.is_integer() and not fits(0.5, hint) and fits(int(value), hint):
        return int(value)
    if fits(value, hint, strict=True) or not isinstance(value, (int, float, str, Path)) or isinstance(value, bool):
        return value
    return next((other for other in (str(value), [value]) if fits(other, hint, strict=True)), value)
