"""The catalogue of architectures: a decorated function or class per name, as in timm."""

from __future__ import annotations

import difflib
import fnmatch
import importlib
import pkgutil
from collections.abc import Callable
from typing import Any, TypeVar

from vfi_train.architectures.base import Architecture
from vfi_train.errors import UserError

_builders: dict[str, Callable[..., Architecture]] = {}
Builder = TypeVar("Builder", bound=Callable[..., Architecture])


def register_model(builder: Builder) -> Builder:
    """Enter a function that builds an architecture in the catalogue under the function's own name."""
    name = builder.__name__
    known = _builders.get(name)
    if known is not None and known.__module__ != builder.__module__:
        raise UserError(f"two architectures are called {name!r}: in {known.__module__} and {builder.__module__}")
    _builders[name] = builder
    return builder


def create_model(name: str, **options: Any) -> Architecture:
    """Build the architecture `name` with fresh weights; `options` go to its builder.

    Raises:
        UserError: no architecture has this name; the message gives the nearest ones.
    """
    _discover(name)
    if name not in _builders:
        _discover()
    if name not in _builders:
        near = difflib.get_close_matches(name, _builders, n=3, cutoff=0.4) or list_models()
        raise UserError(f"no architecture is called {name!r}; the nearest: {', '.join(near)}")
    return _builders[name](**options)


def is_registered(builder: Any) -> bool:
    """Whether a function or class is in the catalogue."""
    return any(known is builder for known in _builders.values())


def list_models(pattern: str = "*") -> list[str]:
    """Names of all architectures that match the shell pattern, sorted."""
    _discover()
    return sorted(fnmatch.filter(_builders, pattern))


def _discover(name: str | None = None) -> None:
    """Import the modules beside this one, so that a new file is enough to add an architecture.

    With a name, only those that it begins with: "ifrnet_s" needs nothing of the other families.
    """
    package = importlib.import_module("vfi_train.architectures")
    for module in pkgutil.iter_modules(package.__path__):
        if name is None or name.startswith(module.name):
            importlib.import_module(f"{package.__name__}.{module.name}")
