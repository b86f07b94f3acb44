"""One program for all that comes before training: the task's function gets the whole configuration."""

from __future__ import annotations

import importlib

from omegaconf import DictConfig

from vfi_train.errors import UserError, nearest

TASKS = ("verify", "pack", "flow", "distance", "triplets", "download", "weights")


def prepare(config: DictConfig) -> None:
    """Do `config.task`; see conf/prepare.yaml.

    Raises:
        UserError: there is no such task.
    """
    if config.task is None:
        raise UserError(f"task=NAME is needed: {', '.join(TASKS)}; conf/prepare.yaml says what each takes")
    if config.task not in TASKS:
        raise UserError(f"task={config.task} is not known: {nearest(config.task, TASKS)}")
    getattr(importlib.import_module(f"vfi_train.prepare.{config.task}"), config.task)(config)
