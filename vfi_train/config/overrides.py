"""The command line's KEY=VALUE arguments: written as Hydra reads them, and checked against the files of `conf`."""

from __future__ import annotations

import fnmatch
import importlib.resources
import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError

from vfi_train.config.compose import compose_config
from vfi_train.config.targets import find_target, fits, phrase, type_hints
from vfi_train.errors import UserError, nearest

MULTIRUN = {"-m", "--multirun"}
EXACT = 2**53  # below it, floats hold every integer


def hydra_arguments(arguments: Sequence[str], patterns_of: str | None = None) -> list[str]:
    """The command line as Hydra takes it: options first, paths quoted, and what a multirun varies in `sweep`.

    Args:
        arguments: without the program's name.
        patterns_of: a config group whose choices may be given by patterns (`model=amt*`).

    Raises:
        UserError: an unknown option, or a value that the shell has split.
    """
    is_multirun = bool(MULTIRUN & set(arguments))
    _check_split(arguments)
    overrides = [a for a in arguments if is_override(a)]
    options = [a for a in arguments if a not in overrides]
    _check_options(options)
    if patterns_of is not None:
        names = group_choices(patterns_of, search_path(overrides))
        overrides = [_expand(a, patterns_of, names) for a in overrides]
    overrides = [_as_choice(quote(a, is_multirun)) for a in overrides]
    if is_multirun:
        overrides = note_sweep(overrides)
    return [*options, *overrides]


def is_override(argument: str) -> bool:
    """Whether an argument is KEY=VALUE or ~KEY, and no option."""
    return argument.startswith("~") or ("=" in argument and argument[0] not in "-=")


def quote(override: str, is_multirun: bool = False) -> str:
    """KEY=VALUE with the value in quotes where Hydra's grammar does not take it: `=`, letters beyond ASCII, ....

    A file that exists is quoted although its name has a meaning in that grammar (`a,b.mp4`, `[1].png`), and so is the
    name of an output. In a multirun the values between commas are quoted one by one.
    """
    key, equals, value = override.partition("=")
    if not equals or value[:1] in ("'", '"'):
        return override
    if value.startswith("~/"):  # which shells leave as it is behind KEY=
        value = os.path.expanduser(value)
    is_file = re.search(r"[^\w./*?:@%+$|\\-]", value) and os.path.exists(value)
    if is_file or (key == "output" and re.search(r"[,()]", value) and value[:1] not in "[{"):
        return f"{key}={_quoted(value)}"
    if is_multirun and not _is_readable(value) and value[:1] not in "[{":
        return f"{key}={','.join(map(_quoted_if_needed, value.split(',')))}"
    return f"{key}={_quoted_if_needed(value)}"


def given_words() -> list[str] | None:
    """The words behind the program that is running, as Hydra has read them; of a sweep, those of this job of it."""
    if not HydraConfig.initialized():
        return None
    given = HydraConfig.get().overrides
    return [*search_path(given.hydra), *given.task]


def note_sweep(overrides: Sequence[str]) -> list[str]:
    """Overrides of a multirun with the keys that it varies in `sweep`, which names the runs."""
    varied = [o.key_or_group for o in parse(overrides) if o.is_sweep_override()]
    return [f"sweep=[{','.join(varied)}]", *overrides] if varied else list(overrides)


def check_values(config: DictConfig, overrides: Sequence[str], config_name: str) -> None:
    """Compare each overridden value with the one in the files: a number stays a number.

    What an interpolation gives as text (`seed=${oc.env:ID}`) is read as if it stood on the command line.

    Raises:
        UserError: naming the key, the value and the one in the files.
    """
    values = [o for o in parse(overrides) if not o.is_delete() and not _is_choice(o)]
    if not values:
        return
    files = compose_files(overrides, config_name)
    for override in values:
        key = override.key_or_group
        root = key.partition(".")[0]
        is_used = root in files or root == "hydra" or any(f"${{{root}" in text for text in overrides)
        if override.is_add() and not is_used:
            raise UserError(f"there is no key {root!r} in the configuration: {nearest(root, map(str, files))}")
        before = OmegaConf.select(files, key, throw_on_missing=False)
        after = _select(config, key, override)
        if isinstance(after, str) and "${" in str(override.value()) and not isinstance(before, str):
            after = parse([quote(f"key={after}")])[0].value()
            OmegaConf.update(config, key, after)
        if isinstance(after, float) and after.is_integer() and abs(after) < EXACT and not isinstance(before, float):
            OmegaConf.update(config, key, int(after))  # 1e3, where the files have an integer or null
        if not isinstance(before, (bool, int, float)) or after is None or isinstance(after, (DictConfig, ListConfig)):
            continue
        if not fits(after, type(before)) and not _takes(config, key, after):
            raise UserError(f"{key}={after} is not {phrase(type(before))}; without it the value is {before}")


def compose_files(overrides: Sequence[str], config_name: str) -> DictConfig:
    """The configuration with only the group choices of `overrides`: the values as they stand in the files."""
    choices = [o for o in parse(overrides) if o.key_or_group == "hydra.searchpath" or _is_choice(o)]
    return compose_config(config_name, [str(o.input_line) for o in choices])


def group_choices(group: str, search: Sequence[str] = ()) -> list[str]:
    """The names in a config group, those of a `search_path` included; empty if there is no such group."""
    if not re.fullmatch(r"\w[\w/]*", group):
        return []
    listed = [value for override in parse(search) for value in _listed(override.value())]
    places = [importlib.resources.files("conf"), *(Path(str(at).removeprefix("file://")) for at in listed)]
    folders = [place.joinpath(*group.split("/")) for place in places]
    entries = {entry.name for folder in folders if folder.is_dir() for entry in folder.iterdir()}
    return sorted(name.removesuffix(".yaml") for name in entries if name.endswith(".yaml"))


def benchmark_of(dataset: str, root: object) -> list[str]:
    """The words that choose the benchmark of a dataset in its folder, or else of the user's own videos."""
    if dataset in group_choices("benchmark"):
        return [f"benchmark={dataset}", *([] if root is None else [f"root={root}"])]
    return ["benchmark=footage", "root=FOLDER_WITH_VIDEOS"]


def search_path(overrides: Sequence[str]) -> tuple[str, ...]:
    """Those of the overrides that name folders with configurations from outside (`hydra.searchpath=`)."""
    return tuple(override for override in overrides if override.startswith("hydra.searchpath="))


def parse(overrides: Sequence[str]) -> list[Override]:
    """Overrides as Hydra reads them."""
    return OverridesParser.create().parse_overrides(list(overrides))


def _check_split(arguments: Sequence[str]) -> None:
    """Refuse KEY={A: B} without quotes, of which the shell makes several words."""
    for i, first in enumerate(arguments):
        if not is_override(first) or not _is_open(first):
            continue
        rest = itertools.takewhile(lambda word: not is_override(word), arguments[i + 1 :])
        for given in itertools.accumulate(rest, "{} {}".format, initial=first):
            if not _is_open(given):
                raise UserError(f"the shell split {given} at its spaces: put it in quotes, '{given}'")


def _is_open(text: str) -> bool:
    return any(text.count(left) > text.count(right) for left, right in ("[]", "{}", "()"))


def _check_options(words: Sequence[str]) -> None:
    """Refuse words that are neither options nor KEY=VALUE, for which Hydra would show its usage."""
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        raise UserError(f"{message}: --hydra-help lists the options")

    parser.error = refuse  # type: ignore[method-assign]
    if "--version" in words:
        return
    known, unknown = parser.parse_known_args(list(words))
    if unknown:
        raise UserError(f"{unknown[0]} is no option: keys are given as KEY=VALUE, without dashes; --help lists them")
    if known.overrides:
        raise UserError(
            f"{known.overrides[0]!r} is not KEY=VALUE: write no spaces around the =, and a value with spaces in quotes"
        )
    for option in ("config_name", "config_path", "experimental_rerun"):
        if getattr(known, option) is not None:
            name = f"--{option.replace('_', '-')}"
            raise UserError(f"{name} would replace this program's configuration: give hydra.searchpath=[file://FOLDER]")


def _select(config: DictConfig, key: str, override: Override) -> Any:
    try:
        return OmegaConf.select(config, key, throw_on_missing=False)
    except InterpolationResolutionError as error:
        variable = re.search(r"Environment variable '(.*)' not found", str(error))
        if variable is None:
            raise
        raise UserError(f"{override.input_line}: the environment variable {variable[1]} is not set") from error


def _takes(config: DictConfig, key: str, value: Any) -> bool:
    """Whether the value of another kind than in the files is left to what gets it to judge, or suits its type hint."""
    parent, _, last = key.rpartition(".")
    block = OmegaConf.select(config, parent) if parent else None
    if not isinstance(block, DictConfig) or "_target_" not in block:
        return not parent  # a program's own options have type hints
    hint = type_hints(find_target(parent, str(block["_target_"]))).get(last)
    return hint is not None and fits(value, hint, strict=True)


def _is_choice(override: Override) -> bool:
    return not isinstance(override.value(), dict) and bool(group_choices(override.key_or_group.split("@")[0]))


def _as_choice(override: str) -> str:
    """~GROUP for GROUP=null, which Hydra does not take; GROUP='3' for GROUP=3, whose number it does not either."""
    group, _, value = override.partition("=")
    if value == "null" and group_choices(group):
        return f"~{group}"
    return f"{group}='{value}'" if re.fullmatch(r"-?[\d.]+|true|false", value) and group_choices(group) else override


def _expand(override: str, group: str, choices: Sequence[str]) -> str:
    """GROUP=PATTERN with the choices that match; a pattern without a match stays, for the message that follows."""
    key, _, value = override.partition("=")
    if key != group or not re.search(r"[*?]", value):
        return override
    names: list[str] = []
    for pattern in re.split(r"[,\s]+", value.strip("[]")):
        names += fnmatch.filter(choices, pattern.strip("'\"")) or [pattern]
    return f"{group}=[{','.join(dict.fromkeys(names))}]"


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _quoted_if_needed(value: str) -> str:
    if _is_readable(value):
        return value
    if value.startswith("[") and value.endswith("]"):
        return f"[{','.join(_quoted_if_needed(item.strip()) for item in value[1:-1].split(','))}]"
    return value if value[:1] in ("[", "{", "'", '"') else _quoted(value)  # a list with an error is Hydra's to explain


def _is_readable(value: str) -> bool:
    try:
        parse([f"key={value}"])
    except HydraException:
        return False
    return True


def _quoted(value: str) -> str:
    """In Hydra's quotes, where backslashes count only before a quote."""
    return "'" + re.sub(r"(\\*)('|$)", lambda match: match[1] * 2 + ("\\'" if match[2] else ""), value) + "'"
