"""The folder of a run: `runs/EXPERIMENT[-NAME]`, its configuration, checkpoints and whether it is finished."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from vfi_train.errors import UserError

# Keys that say where or how loudly a run runs, not what it computes: they may change on the way.
NOT_THE_RUN = (
    "resume", "runs", "report", "logger", "sweep", "checkpoint_every", "log_every",
    "trainer.devices", "trainer.num_nodes", "trainer.strategy", "trainer.accelerator",
    "data.num_workers", "data.root", "data.cache_dir", "data.pin_memory", "data.micro_batch_size",
    "data.*.num_workers", "data.*.root", "data.*.cache_dir",
    "backbones", "loss.terms.*.folder", "published", "dry_run", "check", "roots", "curriculum",
    "callbacks.nan_guard", "callbacks.published", "callbacks.artifacts", "callbacks.progress", "callbacks.images",
    "callbacks.throughput", "callbacks.samples", "callbacks.last", "callbacks.metrics",
)  # fmt: skip


def run_name(config: DictConfig) -> str:
    """EXPERIMENT[-NAME][-what a sweep varies]; without an experiment, MODEL_DATA stands for it."""
    choices = HydraConfig.get().runtime.choices
    parts = [choices.get("experiment") or f"{choices['model']}_{choices['data']}"]
    if choices.get("debug"):
        parts.append(f"debug_{choices['debug']}")
    if config.name is not None:
        parts.append(str(config.name))
    for key in config.sweep:
        value = choices.get(key) or OmegaConf.select(config, key)
        parts.append(f"{key.rpartition('.')[2]}={value}")
    return "-".join(part.replace("/", "_") for part in parts)


@dataclass
class RunDirectory:
    """A run on disk.

    Args:
        path: its folder, which need not exist.
        config: its configuration, resolved, as plain containers.
        label: its name, where it is not the folder's: CURRICULUM/PHASE.
    """

    path: Path
    config: dict[str, Any]
    label: str | None = None

    @property
    def name(self) -> str:
        """What `weights=` and the logs call it: EXPERIMENT[-NAME]."""
        return self.label or self.path.name

    @property
    def checkpoints(self) -> Path:
        """The folder of best.ckpt, last.ckpt and the one before it."""
        return self.path / "checkpoints"

    @property
    def _saved(self) -> Path:
        return self.path / "config.yaml"

    @property
    def finished(self) -> bool:
        """Whether the training came to its end."""
        return (self.path / "finished.json").exists()

    def check(self, resume: str) -> None:
        """May this configuration train here? Writes nothing.

        Raises:
            UserError: the folder holds another run, or `resume` is "never" and there is one; naming the keys.
        """
        if resume not in ("auto", "never", "force"):
            raise UserError(f"resume={resume} is none of auto, never, force")
        if self._saved.exists():
            if resume == "never":
                raise UserError(f"{self.path} holds a run already and resume=never: give another with name=...")
            differences = differing_keys(yaml.safe_load(self._saved.read_text()) or {}, self.config)
            if differences and resume == "auto":
                shown = ", ".join(differences[:6]) + (
                    f" and {len(differences) - 6} more" if len(differences) > 6 else ""
                )
                raise UserError(
                    f"{self.path} holds a run of another configuration; what differs (there -> here): {shown}: "
                    "give this one a folder of its own with name=..., or resume=force if the difference is meant"
                )

    def open(self, resume: str, write: bool = True) -> None:
        """After `check`: make the folder and write the configuration into it.

        Args:
            resume: auto, never, force.
            write: whether this is the process that writes. The others check alone, and may find what it has written.
        """
        self.check("auto" if resume == "never" and not write else resume)
        if not write:
            return
        if resume == "force":
            (self.path / "finished.json").unlink(missing_ok=True)
        self.path.mkdir(parents=True, exist_ok=True)
        _write(self._saved, yaml.safe_dump(self.config, sort_keys=False, allow_unicode=True))

    def finish(self, summary: dict[str, Any]) -> None:
        """Mark the training as ended."""
        _write(self.path / "finished.json", json.dumps(summary, indent=1) + "\n")


def differing_keys(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """`key: before -> now` of every leaf that differs and belongs to the run."""
    old, new = _leaves(before), _leaves(now)
    return [
        f"{key}: {old.get(key, 'absent')} -> {new.get(key, 'absent')}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key, _ABSENT) != new.get(key, _ABSENT) and not _is_outside(key)
    ]


_ABSENT = object()


def _is_outside(key: str) -> bool:
    return any(fnmatchcase(key, outside) or fnmatchcase(key, f"{outside}.*") for outside in NOT_THE_RUN)


def _leaves(node: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(node, dict) and node:
        return {k: v for key, value in node.items() for k, v in _leaves(value, f"{prefix}.{key}".lstrip(".")).items()}
    return {prefix: node}


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(text)
    os.replace(partial, path)
