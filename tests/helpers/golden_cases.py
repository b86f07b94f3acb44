"""Golden cases: results of the published models, and their weights and inputs."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.goldens import golden
from vfi_train.architectures import Architecture, create_model
from vfi_train.weights import load_published

GOLDENS = Path(__file__).parents[1] / "goldens"
_origins: dict[int, tuple[str, str]] = {}  # where an array of a golden came from, by its id
_alive: list[dict[str, np.ndarray]] = []  # so that ids stay theirs


@dataclass
class Case:
    """One golden: how the published model was called (`info`) and its results (`arrays`)."""

    folder: str
    name: str
    info: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def tensor(self, name: str) -> Tensor:
        return torch.from_numpy(self.arrays[name])

    def model(self, name: str | None = None, **options: Any) -> Architecture:
        """Our architecture with the case's weights, loaded through the published names."""
        weights = self.info.get("weights")
        weights = weights if isinstance(weights, dict) else self.info
        manifest = golden.load_manifest(GOLDENS / self.folder)
        tensors = golden.state_dict(manifest, weights["gain"], weights["salt"])
        model = create_model(name or self.folder, **options)
        load_published(model, {k: torch.from_numpy(v) for k, v in tensors.items()})
        return model


def load(folder: str, name: str) -> Case:
    path = GOLDENS / folder / name
    arrays = dict(np.load(path.with_suffix(".npz"))) if path.with_suffix(".npz").exists() else {}
    if "VFI_GOLDEN_RECORD" in os.environ:
        _origins.update({id(array): (folder, key) for key, array in arrays.items()})
        _alive.append(arrays)
    return Case(folder, name, json.loads(path.with_suffix(".json").read_text()), arrays)


def frame(height: int, width: int, phase: float, seed: int = 0, batch: int = 1) -> Tensor:
    return torch.from_numpy(golden.frame(height, width, phase, seed, batch))


def assert_near(got: Tensor, expected: np.ndarray | Tensor, tolerance: float, what: str = "") -> None:
    """Largest absolute difference at most `tolerance`, shapes equal.

    Where VFI_GOLDEN_RECORD names a file, differences to the goldens' images are written there, for the table of
    `benchmarks/models.py`.
    """
    origin = _origins.get(id(expected))
    expected = torch.as_tensor(expected)
    assert got.shape == expected.shape, f"{what}: shape {tuple(got.shape)}, expected {tuple(expected.shape)}"
    worst = (got.detach().double() - expected.double()).abs().max().item()
    if origin is not None and expected.ndim == 4 and expected.shape[1] == 3:
        row = {"model": origin[0], "array": origin[1], "difference": worst}
        with Path(os.environ["VFI_GOLDEN_RECORD"]).open("a") as file:
            file.write(json.dumps(row) + "\n")
    assert worst <= tolerance, f"{what}: differs by {worst:.3g}, allowed {tolerance:.3g}"
