"""Every `_target_` block of a configuration against the signature of what it calls."""

from __future__ import annotations

import importlib.util
import inspect
import types
import typing
from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from vfi_train.errors import UserError, nearest


def check_targets(config: DictConfig, key: str = "") -> None:
    """Find keys that a target does not take, and values of a kind that its type hints rule out.

    Args:
        config: a configuration, or a block of one.
        key: the block's own, for messages.

    Raises:
        UserError: naming the key, what was given and what was expected.
    """
    for path, block in _blocks(config, key):
        _check_call(path, find_target(path, str(block["_target_"])), block)


def find_target(path: str, name: str) -> Any:
    """The object that a `_target_` names.

    Raises:
        UserError: there is no such object. An error inside of its module is raised as it is: a bug.
    """
    names = name.split(".")
    for count in range(len(names) - 1 if all(names) else 0, 0, -1):
        module = ".".join(names[:count])
        try:
            found: Any = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if not f"{module}.".startswith(f"{error.name}."):
                raise
            continue
        for attribute in names[count:]:
            found = getattr(found, attribute, None)
        if found is not None:
            return found
        break
    if importlib.util.find_spec(names[0] or "?") is None:
        raise UserError(
            f"{path}._target_={name} needs the package {names[0]}, which is not installed: pip install {names[0]}, or "
            "put its folder in PYTHONPATH"
        )
    raise UserError(
        f"{path}._target_={name} cannot be imported: there is no such class or function; check its spelling, and that "
        "its folder is in PYTHONPATH"
    )


def fits(value: Any, hint: Any) -> bool:
    """Whether a plain config value suits a type hint; other values and hints pass."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, argument) for argument in arguments)
    if origin is typing.Literal:
        return value in arguments
    if hint is type(None):
        return value is None
    if hint in (bool, str):
        return isinstance(value, hint)
    if hint is int:
        is_integer = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return is_integer and not isinstance(value, bool)
    if hint is float:
        return not isinstance(value, bool) and isinstance(value, (int, float))
    kind = origin or hint
    if isinstance(kind, type) and isinstance(value, (bool, int, float, str)):
        # A single value instead of a list or a dict; whether it suits another class only that class knows.
        return kind not in (list, tuple, dict) and kind.__module__ != "collections.abc"
    return True


def phrase(hint: Any) -> str:
    """A type hint in words."""
    names = {int: "an integer", float: "a number", bool: "true or false", str: "text", type(None): "null"}
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(phrase(argument) for argument in arguments))
    if origin is typing.Literal:
        return "one of " + ", ".join(map(str, arguments))
    if (origin or hint) in (list, tuple) or getattr(origin or hint, "__module__", "") == "collections.abc":
        return "a list"
    return names.get(hint, str(getattr(hint, "__name__", hint)))


def _check_call(path: str, target: Any, block: DictConfig) -> None:
    try:
        parameters = inspect.signature(target).parameters
        hints = typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    except (TypeError, ValueError, NameError):
        return  # compiled callables have no signature
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for key in map(str, block):
        if key.startswith("_"):
            continue
        if key not in parameters and not open_ended:
            raise UserError(f"there is no key {key!r} in {path}: {nearest(key, set(parameters) - {'self'})}")
        value: Any = block[key]
        is_plain = not isinstance(value, (DictConfig, ListConfig))
        if is_plain and value is not None and key in hints and not fits(value, hints[key]):
            raise UserError(f"{path}.{key}={value!s} is not {phrase(hints[key])}")


def _blocks(node: Any, path: str) -> Iterator[tuple[str, DictConfig]]:
    if isinstance(node, DictConfig):
        if "_target_" in node:
            yield path, node
        for key in node:
            if not OmegaConf.is_missing(node, key):
                yield from _blocks(node[key], f"{path}.{key!s}".lstrip("."))
    elif isinstance(node, ListConfig):
        for i, item in enumerate(node):
            yield from _blocks(item, f"{path}[{i}]")
