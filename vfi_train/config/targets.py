"""Every `_target_` block of a configuration against the signature of what it calls."""

from __future__ import annotations

import importlib.util
import inspect
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from vfi_train.errors import UserError, nearest
from vfi_train.ranges import Limit

OUR_MODULES = ("vfi_train.", "datamodules.", "losses.")


def check_targets(config: DictConfig, key: str = "") -> None:
    """Find keys that a target does not take, and values of a kind that its type hints rule out.

    Args:
        config: a configuration, or a block of one.
        key: the block's own, for messages.

    Raises:
        UserError: naming the key, what was given and what was expected.
    """
    for path, block in _blocks(config, key):
        check_arguments(path, find_target(path, str(block["_target_"])), block)


def check_arguments(path: str, function: Any, block: Mapping[Any, Any]) -> None:
    """Check the values of a block against the signature of what gets them, or against the fields of a dataclass.

    Args:
        path: the block's key, for messages.
        function: a function or a class.
        block: keys and values; those that begin with "_" are left out.

    Raises:
        UserError: naming the key, what was given and what was expected.
    """
    parameters, hints = _signature(function)
    for key in map(str, block):
        if key.startswith("_"):
            continue
        if parameters is not None and key not in parameters:
            raise UserError(f"there is no key {key!r} in {path}: {nearest(key, parameters)}")
        if key not in hints or (block[key] is None and not _is_ranged(hints[key])) or is_uncounted(block, key):
            continue  # options that the program fills in are null in the files
        check_value(f"{path}.{key}".lstrip("."), block[key], hints[key])


def is_uncounted(block: Mapping[Any, Any], key: str) -> bool:
    """Whether a value is a length in epochs (`${epochs:5}`) that is null until the data is counted."""
    return isinstance(block, DictConfig) and OmegaConf.is_interpolation(block, key) and block[key] is None


def check_value(key: str, value: Any, hint: Any) -> None:
    """Check one value against a type hint.

    Raises:
        UserError: naming the key, the value and what was expected.
    """
    if not isinstance(value, DictConfig) and not fits(value, hint):
        raise UserError(f"{key}={shown(value)} is not {phrase(hint)}")


def fits(value: Any, hint: Any, strict: bool = False) -> bool:
    """Whether a plain config value or list suits a type hint.

    Args:
        value: of a configuration.
        hint: of whatever gets it.
        strict: whether a hint of a class that is no plain value's suits none; otherwise only that class knows.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return fits(value, arguments[0], strict) and all(
            limit.holds(value) for limit in arguments[1:] if isinstance(limit, Limit)
        )
    if origin in (typing.Union, types.UnionType):
        numeric = isinstance(value, (int, float)) and any(fits(1, argument, strict=True) for argument in arguments)
        return any(fits(value, argument, strict or numeric) for argument in arguments)
    if origin is typing.Literal:
        return any(value == argument and type(value) is type(argument) for argument in arguments)
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
    is_sequence = kind in (list, tuple) or getattr(kind, "__module__", "") == "collections.abc"
    if value is None:
        return not strict and not is_sequence and kind is not dict
    if isinstance(value, (list, tuple, ListConfig)):
        return (_items_fit(value, kind, arguments, strict) if is_sequence else not strict) and kind is not dict
    if isinstance(kind, type) and isinstance(value, (bool, int, float, str)):
        return not strict and not is_sequence and kind is not dict
    return True


def phrase(hint: Any) -> str:
    """A type hint in words."""
    names = {int: "an integer", float: "a number", bool: "true or false", str: "text", type(None): "null"}
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        words = [limit.words for limit in arguments[1:] if isinstance(limit, Limit)]
        return " ".join([phrase(arguments[0]), *words])
    if origin in (typing.Union, types.UnionType):
        kinds = list(dict.fromkeys(phrase(argument) for argument in arguments))
        return (", or " if any(" or " in kind for kind in kinds) else " or ").join(kinds)
    if origin is typing.Literal:
        return f"{'one of ' if len(arguments) > 1 else ''}{', '.join(dict.fromkeys(map(str, arguments)))}"
    kind = origin or hint
    if kind is tuple and arguments and ... not in arguments:
        return f"a list of {len(arguments)}"
    if kind in (list, tuple) or getattr(kind, "__module__", "") == "collections.abc":
        return "a list"
    return "a block of keys" if kind is dict else names.get(hint, str(getattr(hint, "__name__", hint)))


def shown(value: Any) -> str:
    """A value as it is written on the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"[{','.join(map(shown, value))}]" if isinstance(value, (list, ListConfig)) else str(value)


def find_target(path: str, name: str) -> Any:
    """The object that a `_target_` names.

    Raises:
        UserError: there is no such object. An error inside of its module is raised as it is: a bug.
    """
    names = name.split(".")
    if not all(names):
        raise UserError(f"{path}._target_={name} names no class: give MODULE.CLASS")
    for count in range(len(names) - 1, 0, -1):
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
    if importlib.util.find_spec(names[0]) is None:
        raise UserError(
            f"{path}._target_={name} needs the package {names[0]}, which is not installed: pip install {names[0]}, or "
            "put its folder in PYTHONPATH"
        )
    raise UserError(
        f"{path}._target_={name} cannot be imported: there is no such class or function; check its spelling, and that "
        "its folder is in PYTHONPATH"
    )


def parameters_of(target: Any) -> set[str] | None:
    """The names of the parameters of a function or class; None: it takes any."""
    return _signature(target)[0]


def type_hints(target: Any) -> dict[str, Any]:
    """The type hints of the parameters of a function or class."""
    return _signature(target)[1]


def _items_fit(values: Any, kind: Any, arguments: tuple[Any, ...], strict: bool) -> bool:
    """Whether the plain items of a list suit the hints of a list's items."""
    if kind is tuple and arguments and ... not in arguments:
        return len(values) == len(arguments) and all(map(fits, values, arguments, [strict] * len(values)))
    item = arguments[0] if arguments else typing.Any
    return item is typing.Any or all(isinstance(value, DictConfig) or fits(value, item, strict) for value in values)


def _is_ranged(hint: Any) -> bool:
    """Whether a hint gives a range that null is not in."""
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return type(None) not in arguments and any(map(_is_ranged, arguments))
    return any(isinstance(argument, Limit) for argument in arguments)


def _signature(target: Any) -> tuple[set[str] | None, dict[str, Any]]:
    """The parameters of a function or class (None: it takes any), and the type hints of those that have one.

    Where a class passes options on, the hints of the classes that it extends are among them; its parameters are known
    where that ends in a class of ours, which takes no others.
    """
    hints: dict[str, Any] = {}
    names: set[str] = set()
    is_open = True
    try:
        signature = inspect.signature(target).parameters
        for function in _constructors(target) if inspect.isclass(target) else [target]:
            parameters = inspect.signature(function).parameters
            own = typing.get_type_hints(function, include_extras=True)
            hints = {name: hint for name, hint in own.items() if name in parameters} | hints
            names |= {name for name, parameter in parameters.items() if parameter.kind is not parameter.VAR_KEYWORD}
            if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
                is_open = not function.__module__.startswith(OUR_MODULES)
                break
    except (TypeError, ValueError, NameError):
        return None, hints  # compiled callables have no signature
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.values()):
        return set(signature), hints
    return None if is_open else names - {"self"}, hints


def _constructors(target: type) -> list[Any]:
    return [vars(kind)["__init__"] for kind in target.__mro__[:-1] if "__init__" in vars(kind)]


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
