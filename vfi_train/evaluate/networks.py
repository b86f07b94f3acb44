"""The networks that are measured, with their weights."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from vfi_train.architectures import Architecture
from vfi_train.config.build_network import build_network
from vfi_train.config.trust import check_trusted
from vfi_train.errors import UserError, nearest
from vfi_train.weights import load_weights, weight_files


@dataclass(frozen=True)
class ModelChoice:
    """A network to measure.

    Args:
        label: its name in tables.
        config: its block `model`.
        weights: see `load_weights`; None: it has no parameters.
    """

    label: str
    config: dict[str, Any]
    weights: str | None


@dataclass(frozen=True)
class EvaluatedModel:
    """A network with its weights, on the CPU.

    Args:
        label, config, weights: see `ModelChoice`.
        name: of the function that builds it; protocols and published numbers refer to it.
        network: the network.
        weights_file, weights_sha256: the file that was read, or the folder, and all files of it one after another.
    """

    label: str
    name: str
    config: dict[str, Any]
    weights: str | None
    network: Architecture
    weights_file: Path | None = None
    weights_sha256: str | None = None

    def identity(self) -> dict[str, Any]:
        """What its predictions depend on."""
        given, colon, average = (self.weights or "").rpartition(":")
        is_average = bool(given and colon) and average.isidentifier() and not Path(str(self.weights)).exists()
        return {"model": self.config, "weights": self.weights_sha256, "average": average if is_average else None}


def model_of_run(name: str, runs: str, trust: bool = False) -> ModelChoice:
    """The network of a training, RUN, or RUN:ema for an average of its weights.

    Raises:
        UserError: there is no such run in the folder `runs`, it has no model, or one from elsewhere without `trust`.
    """
    run, _, average = name.partition(":")
    folder = Path(run) if (Path(run) / "config.yaml").is_file() else Path(runs) / run
    path = folder / "config.yaml"
    if not path.is_file():
        known = [found.parent.name for found in Path(runs).glob("*/config.yaml")]
        raise UserError(f"run={name} is no training in {runs}/: {nearest(run, known)}")
    try:
        config = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no YAML"
        raise UserError(f"{path} cannot be read ({reason}): restore it, or give another run") from error
    if not isinstance(config, dict) or "model" not in config:
        raise UserError(f"{path} has no block model: give another run")
    check_trusted(config["model"], "model", path, trust)
    suffix = f":{average}" if average else ""
    return ModelChoice(f"{folder.name}{suffix}", config["model"], f"{folder}{suffix}")


def with_unique_labels(choices: Sequence[ModelChoice]) -> tuple[ModelChoice, ...]:
    """The choices, equal labels followed by the name of the weights or by a number."""
    found = list(choices)
    count = Counter(choice.label for choice in found)
    for i, choice in enumerate(found):
        if count[choice.label] > 1:
            stem = Path(choice.weights).stem if choice.weights else i + 1
            found[i] = replace(choice, label=f"{choice.label} ({stem})")
    count = Counter(choice.label for choice in found)
    return tuple(
        replace(choice, label=f"{choice.label} {i}") if count[choice.label] > 1 else choice
        for i, choice in enumerate(found, 1)
    )


def load_model(choice: ModelChoice, runs: str) -> EvaluatedModel:
    """Build a network and load its weights.

    Raises:
        UserError: the block does not suit its target, or the weights are missing or do not fit.
    """
    network = build_network({"model": choice.config})
    name = str(choice.config["_target_"]).rpartition(".")[2]
    if choice.weights is not None:
        file = load_weights(network, choice.weights, runs)
        digest = hashlib.sha256()
        for part in weight_files(network.family, file):
            digest.update(part.read_bytes())
        return EvaluatedModel(choice.label, name, choice.config, choice.weights, network, file, digest.hexdigest())
    if any(True for _ in network.parameters()):
        raise UserError(f"{choice.label} needs weights: give weights=FILE, a run, or the name of shipped weights")
    return EvaluatedModel(choice.label, name, choice.config, None, network)
