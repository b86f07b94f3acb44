"""`python -m vfi_train.prepare`: the task that `task=` names, called with what conf/prepare.yaml says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from datamodules.file_dataset import StoredData
from vfi_train.config.targets import check_arguments, check_targets, check_value
from vfi_train.errors import UserError, check_ordinary, is_disk_full, nearest, no_empty_folders
from vfi_train.prepare.dataset_issue import name_of
from vfi_train.ranges import AboveZero, Limit

Processes = Annotated[int, Limit("from 1 to 512", lambda n: 1 <= n <= 512)]
EXIT_ISSUES = 1  # status of task=verify where something is wrong with the dataset


def prepare(config: DictConfig) -> None:
    """Do `config.task`.

    Raises:
        UserError: there is no such task, it needs something that is not given, or the disk is full.
    """
    if config.task is None:
        raise UserError(f"task=NAME is needed: {', '.join(TASKS)}; conf/prepare.yaml says what each takes")
    if config.task not in TASKS:
        raise UserError(f"task={config.task} is not known: {nearest(str(config.task), TASKS)}")
    check_value("processes", config.processes, Processes | None)
    check_value("device", config.device, str)
    output = config.output or OmegaConf.select(config, "data.root")
    try:
        with no_empty_folders(*([] if output is None else [Path(str(output)).expanduser()])):
            TASKS[config.task](config)
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise UserError(
            f"the disk of {output} is full: make room and give the same command again, it resumes where it stopped"
        ) from error


def _verify(config: DictConfig) -> None:
    from vfi_train.prepare.verify import find_issues, verify

    options = _checked("verify", find_issues, config)
    output = None if config.output is None else Path(config.output).expanduser()
    if output is not None:
        check_ordinary(output, "output", "give the name of a new file")
    if verify(_dataset(config), output, processes=config.processes, **options):
        sys.exit(EXIT_ISSUES)


def _pack(config: DictConfig) -> None:
    from vfi_train.prepare.pack import pack

    options = _checked("pack", pack, config)
    pack(_stored_dataset(config), _output_folder(config), processes=config.processes, **options)


def _flow(config: DictConfig) -> None:
    from vfi_train.prepare.flow import make_flow

    _check_derivation(config)
    data = _stored_dataset(config, flow=True)
    make_flow(data, _output_folder(config, data.root), *_derivation(config))


def _distance(config: DictConfig) -> None:
    from vfi_train.prepare.distance import make_distance_maps

    options = _checked("distance", make_distance_maps, config)
    _check_derivation(config)
    data = _stored_dataset(config)
    make_distance_maps(data, _output_folder(config, data.root), options["ratio"], *_derivation(config))


def _triplets(config: DictConfig) -> None:
    from vfi_train.prepare.triplets import make_triplets

    options = _checked("triplets", make_triplets, config)
    make_triplets(_dataset(config), _output_folder(config), processes=config.processes, **options)


def _layout(config: DictConfig) -> None:
    from vfi_train.prepare.layout import make_layout

    options = _checked("layout", make_layout, config)
    data = _stored_dataset(config)
    assert data.root is not None
    make_layout(name_of(data), data.root, _output_folder(config), config.processes, **options)


def _download(config: DictConfig) -> None:
    from vfi_train.prepare.download import download, show_datasets

    names = _names(config)
    if names:
        download(names, lambda: _output_folder(config), **_checked("download", download, config))
    else:
        show_datasets()


def _weights(config: DictConfig) -> None:
    from losses.backbones import backbone_folder
    from vfi_train.prepare.weights import fetch_weights

    fetch_weights(_names(config), _output_folder(config, backbone_folder()), config.download.mirror)


TASKS = {
    "verify": _verify,
    "pack": _pack,
    "flow": _flow,
    "distance": _distance,
    "triplets": _triplets,
    "layout": _layout,
    "download": _download,
    "weights": _weights,
}


def _dataset(config: DictConfig, **changes: Any) -> Any:
    """The datamodule of `config.data`; `changes` replace keys that it has."""
    if OmegaConf.select(config, "data") is None:
        raise UserError(f"task={config.task} needs a dataset: give data=NAME data.root=FOLDER")
    if "root" in config.data and config.data.root is None:
        raise UserError(f"task={config.task} needs the dataset's folder: give data.root=FOLDER")
    check_targets(config)
    known = {key: value for key, value in changes.items() if key in config.data}
    return instantiate({**_options(config.data), **known}, _convert_="all")


def _stored_dataset(config: DictConfig, **changes: Any) -> StoredData:
    """The same, for tasks that need files under published names."""
    data = _dataset(config, **changes)
    if not isinstance(data, StoredData):
        raise UserError(f"task={config.task} works on datasets of published files, and {type(data).__name__} is none")
    return data


def _output_folder(config: DictConfig, default: Path | None = None) -> Path:
    folder = default if config.output is None else Path(config.output).expanduser()
    if folder is None:
        raise UserError(f"task={config.task} needs a folder to write to: give output=FOLDER")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"output={folder} is a file: give a folder")
    return folder


def _check_derivation(config: DictConfig) -> None:
    from vfi_train.prepare.derived_files import parse_shard
    from vfi_train.prepare.estimators import find_estimator

    flow = config.flow
    options = {key: flow[key] for key in ("function", "weights", "updates", "batch_size")}
    check_arguments("flow", find_estimator, options)
    check_value("pack.shard", config.pack.shard, AboveZero)
    parse_shard(flow.shard)
    if flow.format not in ("files", "packed"):
        raise UserError(f"flow.format={flow.format} is not known: {nearest(str(flow.format), ('files', 'packed'))}")


def _derivation(config: DictConfig) -> tuple[Any, Any]:
    """The flow estimator, and how derived files are written."""
    from vfi_train.prepare.derived_files import Writing, parse_shard
    from vfi_train.prepare.estimators import find_estimator

    flow = config.flow
    estimator = find_estimator(flow.function, flow.weights, flow.updates, flow.batch_size, config.device)
    return estimator, Writing(flow.format == "packed", parse_shard(flow.shard), config.pack.shard)


def _names(config: DictConfig) -> list[str]:
    """`config.what` as a list."""
    if config.what is None:
        return []
    return [str(name) for name in config.what] if OmegaConf.is_list(config.what) else [str(config.what)]


def _checked(block: str, function: Any, config: DictConfig) -> dict[str, Any]:
    """The options of a block, which the function's type hints allow."""
    check_arguments(block, function, config[block])
    return _options(config[block])


def _options(block: DictConfig) -> dict[str, Any]:
    return OmegaConf.to_container(block, resolve=True)  # type: ignore[return-value]
