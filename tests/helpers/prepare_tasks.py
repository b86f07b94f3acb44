"""The configuration of a task, without Hydra's composition, which takes longer than the tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from tests.helpers.layouts import LAYOUTS

CONF = Path(__file__).parents[2] / "conf"


def task(name: str, dataset: str | None = None, root: Path | None = None, **keys: Any) -> DictConfig:
    """conf/prepare.yaml with the dataset conf/data/DATASET.yaml at `root`; `keys` go on top."""
    config = OmegaConf.load(CONF / "prepare.yaml")
    config.pop("defaults")
    mine: dict[str, Any] = {"task": name, "processes": 1}
    if dataset is not None:
        base, own = (OmegaConf.load(CONF / "data" / f"{file}.yaml") for file in ("base", dataset))
        own.pop("defaults", None)
        options = LAYOUTS[dataset].options if dataset in LAYOUTS else {}
        place = {"root": str(root)} if root is not None else {}
        mine["data"] = OmegaConf.merge(base, own, {"seed": 0, "num_workers": 0}, options, place)
    return OmegaConf.merge(config, mine, keys)  # type: ignore[return-value]
