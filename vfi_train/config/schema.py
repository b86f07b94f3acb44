"""`python -m vfi_train.config.schema`: a JSON schema of the configuration, for editors, made from the code.

It covers the files of conf/experiment, and a user's own: which keys a block has, of what type, with what meaning. Keys,
types and ranges come from the signatures of the classes that the files of `conf` name, descriptions from their
docstrings. Classes from elsewhere are not checked.
"""

from __future__ import annotations

import inspect
import json
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

import conf
from vfi_train.config.targets import find_target, type_hints
from vfi_train.ranges import Limit

CONF = Path(str(conf.__file__)).parent
TARGET = "_target_"
INTERPOLATION = {"type": "string", "pattern": r"\$\{"}
BLOCK = {"type": ["object", "null", "string"], "pattern": r"\$\{"}  # properties and if hold only for objects
OPEN = ("terms", "callbacks", "logger", "datasets")  # blocks whose keys are the user's names
TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}


def make_schema() -> dict[str, Any]:
    """The schema, as JSON's containers."""
    train = yaml.safe_load((CONF / "train.yaml").read_text())
    comments = _comments(CONF / "train.yaml")
    groups = {group: _files(group) for group in sorted(path.name for path in CONF.iterdir() if path.is_dir())}
    properties: dict[str, Any] = {}
    for key in [*train, *groups]:
        if key in ("hydra", "defaults", "experiment"):
            continue
        nodes = [file for file in groups.get(key, {}).values() if isinstance(file, Mapping)]
        properties[key] = _merged(nodes or [train.get(key)], key, top=not nodes)
        if key in comments:
            properties[key]["description"] = comments[key]
    choices = {
        f"{prefix}{group}": {"enum": [None, *files]} for group, files in groups.items() for prefix in ("", "override /")
    }
    item = {"type": "object", "properties": choices, "additionalProperties": {"type": ["string", "null"]}}
    properties["defaults"] = {"type": "array", "items": {"anyOf": [{"type": "string"}, item]}}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "an experiment of vfi_train",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }


def as_text(schema: Mapping[str, Any]) -> str:
    """JSON with a line for each key of the configuration."""
    rest = {key: value for key, value in schema.items() if key != "properties"}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in schema["properties"].items()]
    return f'{json.dumps(rest)[:-1]}, "properties": {{\n' + ",\n".join(lines) + "\n}}"


def _merged(nodes: Sequence[Any], key: str, top: bool = False) -> dict[str, Any]:
    """The schema of a place where the files of `conf` have these nodes."""
    blocks = [node for node in nodes if isinstance(node, Mapping)]
    lists = [node for node in nodes if isinstance(node, list)]
    if blocks:
        return _block(blocks, key)
    items = [item for node in lists for item in node]
    if any(isinstance(item, Mapping) for item in items):
        return _any_of([{"type": "array", "items": _merged(items, key)}, {"type": "null"}, INTERPOLATION])
    kinds = {type(node) for node in nodes}
    if lists or None in nodes or (top and str in kinds):
        return {}  # null stands for what the program fills in, of any type
    return _any_of([{"type": TYPES[kind]} for kind in sorted(kinds, key=str)] + [INTERPOLATION])


def _block(blocks: Sequence[Mapping[str, Any]], key: str) -> dict[str, Any]:
    """The schema of a block: the keys of all classes that it is of in `conf`."""
    targets = sorted({block[TARGET] for block in blocks if TARGET in block})
    names = list(dict.fromkeys(name for block in blocks for name in block if name != "defaults"))
    properties: dict[str, Any] = {}
    for target in targets:
        found = find_target(key, target)
        meanings = _meanings(found)
        for name, hint in _arguments(found).items():
            known = properties.setdefault(name, {"anyOf": [INTERPOLATION, {"type": "null"}]})
            schema = _of_hint(hint)
            if schema not in known["anyOf"]:
                known["anyOf"].append(schema)
            if name in meanings:
                known.setdefault("description", meanings[name])
    for name in names:
        nodes = [block[name] for block in blocks if name in block]
        if name not in properties or any(isinstance(n, Mapping) or _holds_blocks(n) for n in nodes):
            properties[name] = _merged(nodes, name)
    for name, schema in properties.items():
        if {} in schema.get("anyOf", []):
            properties[name] = {k: v for k, v in schema.items() if k != "anyOf"}
    if key in OPEN:
        every = _merged([node for block in blocks for node in block.values() if isinstance(node, Mapping)], "*")
        return {**BLOCK, "properties": properties, "additionalProperties": every}
    if not targets:
        return {**BLOCK, "properties": properties}
    properties |= {TARGET: {"type": "string"}, "_partial_": {"type": "boolean"}}
    ours = {"properties": {TARGET: {"enum": targets}}}
    return {**BLOCK, "if": ours, "then": {"properties": properties, "additionalProperties": False}}


def _arguments(target: Any) -> dict[str, Any]:
    """The type hints of the arguments of a class, or of a function that passes its options to the class it returns."""
    if inspect.isclass(target):
        return type_hints(target)
    made = typing.get_type_hints(target).get("return")
    hints = type_hints(target)
    return {**(type_hints(made) if inspect.isclass(made) and "options" in hints else {}), **hints}


def _of_hint(hint: Any) -> dict[str, Any]:
    """The schema of a type hint; {} where anything may stand."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        words = [limit.words for limit in arguments[1:] if isinstance(limit, Limit)]
        return {**_of_hint(arguments[0]), **_range_of(words)}
    if origin in (typing.Union, types.UnionType):
        found = [_of_hint(argument) for argument in arguments]
        return {} if {} in found else _any_of(found)
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if hint in TYPES:
        return {"type": TYPES[hint]}
    kind = origin or hint
    if kind in (list, tuple) or kind in (Sequence, Iterable):
        items = _of_hint(arguments[0]) if arguments else {}
        return {"type": "array", **({"items": items} if items else {})}
    return {}


def _range_of(words: Sequence[str]) -> dict[str, Any]:
    """JSON's keywords of a range in words: `of 1 or more`, `above 0`, `from 0 to 1`, `between 0 and 1`."""
    text, number = " ".join(words), r"(-?\d+(?:\.\d+)?)"
    found: dict[str, Any] = {}
    for pattern, names in (
        (rf"of {number} or more", ["minimum"]),
        (rf"above {number}", ["exclusiveMinimum"]),
        (rf"from {number} to {number}", ["minimum", "maximum"]),
        (rf"between {number} and {number}", ["exclusiveMinimum", "exclusiveMaximum"]),
    ):
        match = re.search(pattern, text)
        if match:
            found |= {name: json.loads(value) for name, value in zip(names, match.groups(), strict=True)}
    return found


def _any_of(schemas: Sequence[dict[str, Any]]) -> dict[str, Any]:
    different = [schema for i, schema in enumerate(schemas) if schema not in schemas[:i]]
    return different[0] if len(different) == 1 else {"anyOf": different}


def _holds_blocks(node: Any) -> bool:
    return isinstance(node, list) and any(isinstance(item, Mapping) for item in node)


def _meanings(target: Any) -> dict[str, str]:
    """The arguments in a docstring of Google's style."""
    section = re.search(r"^Args:\n((?:[ ]{4}.*\n?|\n)+)", inspect.getdoc(target) or "", re.M)
    found = re.findall(r"^ {4}([\w, ]+): (.*(?:\n {8}.*)*)", section[1] if section else "", re.M)
    return {name.strip(): " ".join(text.split()) for names, text in found for name in names.split(",")}


def _comments(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^(\w+):[^#\n]* # (.*)$", path.read_text(), re.M))


def _files(group: str) -> dict[str, Any]:
    files = sorted((CONF / group).glob("*.yaml"))
    return {path.stem: yaml.safe_load(path.read_text()) for path in files}


if __name__ == "__main__":
    print(as_text(make_schema()))
