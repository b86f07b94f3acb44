"""The dataset that a task is about, out of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from datamodules.file_dataset import StoredData
from vfi_train.config.targets import check_targets
from vfi_train.errors import UserError


def dataset(config: DictConfig, **changes: Any) -> Any:
    """The datamodule of `config.data`, some of its keys changed.

    Raises:
        UserError: none is given.
    """
    if OmegaConf.select(config, "data") is None:
        raise UserError(f"task={config.task} is about a dataset: give data=NAME data.root=FOLDER")
    if "root" in config.data and config.data.root is None:
        raise UserError(f"task={config.task} needs the dataset's folder: give data.root=FOLDER")
    check_targets(config)
    known = {key: value for key, value in changes.items() if key in config.data}
    return instantiate({**OmegaConf.to_container(config.data, resolve=True), **known}, _convert_="all")  # type: ignore[dict-item]


def stored_dataset(config: DictConfig, **changes: Any) -> StoredData:
    """The same, where the task needs files under published names.

    Raises:
        UserError: the dataset has none.
    """
    data = dataset(config, **changes)
    if not isinstance(data, StoredData):
        raise UserError(f"task={config.task} works on datasets of published files, and data={name_of(data)} is none")
    return data


def name_of(data: object) -> str:
    """What a dataset's file is called."""
    return type(data).__module__.rpartition(".")[2]


def output_folder(config: DictConfig, default: Path | None = None) -> Path:
    """`config.output`, or the default.

    Raises:
        UserError: it is needed and not given, or is a file.
    """
    folder = default if config.output is None else Path(config.output).expanduser()
    if folder is None:
        raise UserError(f"task={config.task} needs a folder to write to: give output=FOLDER")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"output={folder} is a file: give a folder")
    return folder
