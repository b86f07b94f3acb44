"""Evaluations inside the test's own process, and made-up results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from vfi_train.evaluate.command import evaluate
from vfi_train.evaluate.results import Result


def composed(*overrides: str) -> DictConfig:
    """The configuration of `python -m vfi_train.evaluate OVERRIDES`."""
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("evaluate", overrides=list(overrides), return_hydra_config=True)
        HydraConfig.instance().set_config(config)
        return config


def evaluated(folder: Path, *overrides: str) -> list[Result]:
    """Run the program in this process; results go to FOLDER."""
    config = composed(f"output={folder}", "device=cpu", *overrides)
    OmegaConf.set_struct(config, True)
    return evaluate(config)


def result(label: str, scores: Any, *, pair: int = 1, column: str = "psnr", **settings: Any) -> Result:
    """A result with these scores; each `pair` neighbours lie between the same frames."""
    rows = [
        {"index": i, "key": f"s{i // 10}/{i}", "pair": f"p{i // pair}", "time": 0.5, "ms": 1.0, "scores": {column: s}}
        for i, s in enumerate(map(float, scores))
    ]
    stated = {"metrics": {column: {}}, "average": "image", **settings}
    about = (label, label, {}, None, None, None, "b", "B", "test", "common")
    return Result(*about, stated, {}, None, len(rows), 1, "fp32", "cpu", rows)
