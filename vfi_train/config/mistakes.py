"""Mistakes in a configuration, found before any data is touched and told in one sentence."""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import (
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vfi_train.config.compose import compose_config
from vfi_train.errors import UserError, nearest


def explain(error: BaseException, overrides: Sequence[str], config_name: str) -> str | None:
    """What an exception means for the user, in one sentence; None if it is no mistake of theirs."""
    if isinstance(error, InstantiationException) and error.__cause__ is not None:
        where = re.search(r"full_key: (\S+)", str(error))
        said = explain(error.__cause__, overrides, config_name) or _first_line(error.__cause__)
        return f"{where.group(1)}: {said}" if where else said
    if isinstance(error, OverrideParseException):
        return f"{error.override!r} cannot be read as KEY=VALUE: {_first_line(error)}"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, choice = error.missing_cfg_file.rpartition("/")
        if choice.startswith("submitit"):
            return "hydra/launcher=slurm needs the package hydra-submitit-launcher: pip install -e '.[slurm]'"
        return f"there is no {group}={choice}: {nearest(choice, error.options or _options(group))}"
    if isinstance(error, HydraException) and "Ambiguous value" in str(error):
        return f"{_first_line(error)}: add --multirun to sweep over the values, or write KEY=[...] for a list"
    missing = re.search(r"You must specify '(\w+)'|Missing mandatory value: (\S+)", str(error))
    if isinstance(error, (HydraException, OmegaConfBaseException)) and missing:
        key = missing.group(1) or missing.group(2)
        options = _options(key)
        return f"{key}=... is needed and was not given" + (f": {nearest('', options)}" if options else "")
    if isinstance(error, HydraException):
        return _unknown_key(error, overrides, config_name) or _first_line(error)
    if isinstance(error, OmegaConfBaseException):
        return _first_line(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full ({error}): what was saved before is whole; make room and give the same command again"
    return _last_line(error) if isinstance(error, _mistakes()) else None


def check_values(config: DictConfig, overrides: Sequence[str], config_name: str) -> None:
    """Compare each overridden value with what stood there before: a number stays a number.

    Needs no import of what the configuration names, so a typing error is answered at once.

    Raises:
        UserError: naming the key, the value and what was there before.
    """
    values = [o for o in _parse(overrides) if not o.is_delete() and not _options(o.key_or_group.split("@")[0])]
    if not values:
        return
    plain = _compose_groups(overrides, config_name)
    for override in values:
        key = override.key_or_group
        before = OmegaConf.select(plain, key, throw_on_missing=False)
        after = OmegaConf.select(config, key, throw_on_missing=False)
        expected = _kind(before)
        if expected is None or after is None or isinstance(after, (DictConfig, ListConfig)):
            continue
        if not _is_kind(after, expected):
            raise UserError(f"{key}={after} is not {expected}; without it the value is {before}")


def note_sweep(arguments: Sequence[str]) -> list[str]:
    """The command line with the keys that a multirun varies written into `sweep`, which names the runs."""
    if not {"-m", "--multirun"} & set(arguments):
        return list(arguments)
    overrides = [a for a in arguments if not a.startswith("-")]
    varied = [o.key_or_group for o in _parse(overrides) if o.is_sweep_override()]
    return [f"sweep=[{','.join(varied)}]", *arguments] if varied else list(arguments)


def _mistakes() -> tuple[type[BaseException], ...]:
    """Exceptions whose message is the sentence; the data's own once data is in play (importing it takes seconds)."""
    loader = sys.modules.get("datamodules.core.samplers")
    return (UserError, ValueError, OSError, *([loader.DataError] if loader else []))


def _unknown_key(error: HydraException, overrides: Sequence[str], config_name: str) -> str | None:
    match = re.search(r"Could not override '([^']+)'", str(error))
    if match is None:
        return None
    parent, _, last = match.group(1).rpartition(".")
    config = _compose_groups(overrides, config_name)
    block = OmegaConf.select(config, parent, throw_on_missing=False) if parent else config
    if not isinstance(block, DictConfig):
        return f"there is no key {match.group(1)!r}: {parent!r} has no keys below it"
    known = [str(key) for key in block if not str(key).startswith("_")]
    return f"there is no key {last!r} in {parent or 'the configuration'}: {nearest(last, known)}"


def _compose_groups(overrides: Sequence[str], config_name: str) -> DictConfig:
    """Compose with the group choices of `overrides` alone: the values as they stand in the files."""
    groups = [
        str(o.input_line)
        for o in _parse(overrides)
        if o.key_or_group == "hydra.searchpath" or _options(o.key_or_group.split("@")[0])
    ]
    return compose_config(config_name, groups)


def _options(group: str) -> list[str]:
    """The choices of a config group; empty if there is no such group."""
    import importlib.resources

    folder = importlib.resources.files("conf").joinpath(*group.split("/"))
    if not re.fullmatch(r"\w[\w/]*", group) or not folder.is_dir():
        return []
    return [entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")]


def _parse(overrides: Sequence[str]) -> list[Override]:
    return OverridesParser.create().parse_overrides(list(overrides))


def _kind(value: object) -> str | None:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int):
        return "a whole number"
    return "a number" if isinstance(value, float) else None


def _is_kind(value: object, kind: str) -> bool:
    if isinstance(value, bool) or kind == "true or false":
        return isinstance(value, bool) and kind == "true or false"
    if kind == "a whole number":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return isinstance(value, (int, float))


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0].strip() if lines else type(error).__name__


def _last_line(error: BaseException) -> str:
    """The message itself, also where a data worker has put its traceback before it."""
    text = str(error)
    if "Original Traceback" in text:
        text = text.strip().splitlines()[-1].partition(": ")[2]
    return text or type(error).__name__
