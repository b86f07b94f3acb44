"""The networks that are measured, each with its weights."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from vfi_train.architectures import Architecture
from vfi_train.config.selection import chosen, configured, one_for_each
from vfi_train.config.targets import check_targets
from vfi_train.errors import UserError, nearest
from vfi_train.weights import load_weights


@dataclass
class Subject:
    """A network with its weights.

    Args:
        label: what it is called in tables.
        name: of the function that builds it, by which protocols and published numbers know it.
        config: its block `model`.
        weights: as `load_weights` takes them; None where it has no parameters.
        runs: the folder of trainings.
    """

    label: str
    name: str
    config: dict[str, Any]
    weights: str | None
    runs: str = "runs"
    file: Path | None = None
    sha256: str | None = None

    def build(self) -> Architecture:
        """The network with its weights, on the CPU; fills `file` and `sha256`.

        Raises:
            UserError, ValueError: the weights are not there, or do not fit.
        """
        model: Architecture = instantiate(OmegaConf.create(self.config), _convert_="all")
        if self.weights is not None:
            self.file = load_weights(model, self.weights, self.runs)
            self.sha256 = hashlib.sha256(self.file.read_bytes()).hexdigest()
        elif any(True for _ in model.parameters()):
            raise UserError(
                f"the weights of {self.label} are not given: weights=FILE, a run, or weights that are shipped"
            )
        return model

    def identity(self) -> dict[str, Any]:
        """What its predictions depend on."""
        average = "" if self.weights is None or self.file is None else self.weights.rpartition(":")[2]
        is_average = average.isidentifier() and not Path(str(self.weights)).exists() and ":" in str(self.weights)
        return {"model": self.config, "weights": self.sha256, "average": average if is_average else None}


def subjects(config: DictConfig) -> list[Subject]:
    """The networks of `model=` and `run=`, with labels that tell them apart.

    Raises:
        UserError: none, more than one value for some of them, or a run that is not there.
    """
    found = [*_models(config), *_runs(config)]
    for subject in found:
        check_targets(OmegaConf.create({"model": subject.config}))
    same = Counter(subject.label for subject in found)
    for number, subject in enumerate(found, start=1):
        if same[subject.label] > 1:
            stem = Path(str(subject.weights)).stem if subject.weights else str(number)
            subject.label = f"{subject.label} ({stem})"
    again = Counter(subject.label for subject in found)
    for number, subject in enumerate(found, start=1):
        if again[subject.label] > 1:
            subject.label = f"{subject.label} {number}"
    return found


def _models(config: DictConfig) -> list[Subject]:
    names = chosen("model")
    if len(names) == 1 and OmegaConf.is_list(config.weights):
        names *= len(config.weights)  # one network with several weights
    weights = one_for_each("weights", config.weights, len(names), "models") if names else []
    several = len(set(names)) > 1
    blocks = [configured("model", name) if several else config.model for name in names]
    found = []
    for name, block, given in zip(names, blocks, weights, strict=True):
        container = _plain(block)
        found.append(Subject(name, builder(container), container, given, config.runs))
    return found


def _runs(config: DictConfig) -> list[Subject]:
    if config.run is None:
        return []
    names = list(config.run) if OmegaConf.is_list(config.run) else [str(config.run)]
    return [_trained(name, config.runs) for name in names]


def _trained(name: str, runs: str) -> Subject:
    """A run's network; "RUN:ema" is its average of weights."""
    folder, _, average = name.partition(":")
    place = Path(folder) if (Path(folder) / "config.yaml").is_file() else Path(runs) / folder
    try:
        block = yaml.safe_load((place / "config.yaml").read_text())["model"]
    except OSError as error:
        known = [path.parent.name for path in Path(runs).glob("*/config.yaml")]
        raise UserError(f"run={name} is no training in {runs}/: {nearest(folder, known)}") from error
    except (KeyError, TypeError, yaml.YAMLError) as error:
        raise UserError(f"{place}/config.yaml says no model: give another run") from error
    label = place.name + (f":{average}" if average else "")
    return Subject(label, builder(block), block, f"{place}:{average}" if average else str(place), runs)


def builder(block: dict[str, Any]) -> str:
    """The name of the function that builds a network."""
    return str(block["_target_"]).rpartition(".")[2]


def _plain(block: Any) -> dict[str, Any]:
    container = OmegaConf.to_container(block, resolve=True)
    assert isinstance(container, dict)
    return container  # type: ignore[return-value]
