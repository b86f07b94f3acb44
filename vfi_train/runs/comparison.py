"""Trainings or evaluations side by side: what differs in their configurations, their curves, and which is better."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml

from vfi_train.config.differences import differing_keys
from vfi_train.config.key_roles import Role, has_role
from vfi_train.errors import UserError, nearest
from vfi_train.evaluate.bootstrap import Comparison, compare_all
from vfi_train.evaluate.results import Result, read_results
from vfi_train.runs.entries import CONFIG, Entry
from vfi_train.runs.logs import curve, read_table


@dataclass(frozen=True)
class RunComparison:
    """Entries side by side.

    Args:
        differences: by name: the keys in which a training differs from the first one, as `key: there -> here`.
        curves: by name: the metric at each validation, by optimizer step.
        comparisons: every two that share samples: trainings by those of their last validations.
    """

    differences: dict[str, list[str]]
    curves: dict[str, dict[int, float]]
    comparisons: list[Comparison]


def choose(entries: Sequence[Entry], names: Sequence[str]) -> list[Entry]:
    """The entries of these names, or in these folders.

    Raises:
        UserError: fewer than two, or a name that is none of the entries'.
    """
    found = []
    for name in names:
        chosen = [entry for entry in entries if name.rstrip("/") in (entry.name, str(entry.path))]
        if not chosen:
            raise UserError(f"compare={name} is nothing below the folders: {nearest(name, [e.name for e in entries])}")
        found += chosen
    if len(found) < 2:
        raise UserError(f"compare=[{','.join(names)}] names fewer than two: give for example compare=[one,other]")
    return found


def compare(entries: Sequence[Entry], metric: str) -> RunComparison:
    """Compare entries; see `RunComparison`."""
    trainings = [entry for entry in entries if entry.kind == "training"]
    configs = {entry.name: _config(entry) for entry in trainings}
    first = next(iter(configs.values()), {})
    differences = {name: differing_keys(first, config) for name, config in list(configs.items())[1:]}
    curves = {entry.name: curve(entry.path / "metrics.csv", metric) for entry in trainings}
    results: dict[str, list[Result]] = {}  # by what makes samples of one key the same sample
    for entry in trainings:
        results.setdefault(_samples(configs[entry.name]), []).append(_validation(entry))
    for entry in entries:
        if entry.kind == "evaluation":
            measured = (r for r in read_results(entry.path) if (r.label, r.split_name) == (entry.recipe, entry.on))
            results.setdefault("", []).extend(replace(result, label=entry.name) for result in measured)
    return RunComparison(differences, curves, [found for group in results.values() for found in compare_all(group)])


def _config(entry: Entry) -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load((entry.path / CONFIG).read_text(), loader)


def _samples(config: Mapping[str, Any]) -> str:
    """The options of the data that decide what is validated on."""
    ignored = (Role.UNSCORED, Role.RESUMABLE)
    kept = {k: v for k, v in config["data"].items() if not any(has_role(f"data.{k}", role) for role in ignored)}
    return json.dumps(kept, sort_keys=True, default=str)


def _validation(entry: Entry) -> Result:
    """The last validation of a training as a result."""
    rows = [
        {"index": i, "key": key, "pair": key, "time": 0.5, "ms": 0.0, "scores": {"psnr": float(row["psnr"])}}
        for i, row in enumerate(read_table(entry.path / "samples.csv"))
        for key in [row["key"]]
    ]
    return Result(
        label=entry.name, model=entry.model, model_config={}, weights=None, weights_file=None, weights_sha256=None,
        benchmark="last validation", title=entry.on, split=entry.on, protocol="training",
        settings={"metrics": {"psnr": {}}, "average": "image"}, data={}, expected=None, requested=len(rows),
        sequence_depth=None, precision="", device="", samples=rows,
    )  # fmt: skip
