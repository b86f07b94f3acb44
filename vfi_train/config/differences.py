"""Which keys of two configurations differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vfi_train.config.key_roles import Role, has_role

_ABSENT = object()
ORDERED = ("data.datasets",)  # blocks whose order decides, too


def differing_keys(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """`key: before -> now` of every leaf that differs and decides what a run computes."""
    old, new = _leaves(before), _leaves(now)
    return [
        f"{key}: {old.get(key, 'absent')} -> {new.get(key, 'absent')}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key, _ABSENT) != new.get(key, _ABSENT) and not has_role(key, Role.RESUMABLE)
    ]


def _leaves(node: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(node, Mapping) and node:
        found = {k: v for key, value in node.items() for k, v in _leaves(value, f"{prefix}.{key}".lstrip(".")).items()}
        return {**found, prefix: ", ".join(map(str, node))} if prefix in ORDERED else found
    return {prefix: node}
