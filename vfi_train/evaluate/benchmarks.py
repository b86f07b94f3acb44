"""Benchmarks: their splits, the folders of their data, and their samples."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import OmegaConf

from datamodules.core.samples import SampleSource
from vfi_train.config.key_roles import Role, has_role
from vfi_train.config.mistakes import find_cause
from vfi_train.config.targets import check_targets
from vfi_train.errors import UserError, nearest
from vfi_train.evaluate.frame_cache import cache_frames


@dataclass(frozen=True)
class Benchmark:
    """A benchmark of conf/benchmark.

    Args:
        name, title: in results and tables.
        dataset: its block of conf/data.
        options: of the dataset, other than there.
        splits: what is reported separately, each with options of the dataset.
        counts: published number of samples of each split; None: not stated.
        sequence_depth: see `Result`.
        root: the folder of its data; None: it needs none, or none was given.
    """

    name: str
    title: str
    dataset: Mapping[str, Any]
    options: Mapping[str, Any]
    splits: Mapping[str, Mapping[str, Any] | None]
    counts: Mapping[str, int | None]
    sequence_depth: int | None
    root: Path | None

    def dataset_options(self, split: str, protocol: Mapping[str, Any], samples: int | None) -> dict[str, Any]:
        """The options of the dataset for a split, with those of a protocol.

        Raises:
            UserError: an option that the dataset does not have.
        """
        given = {**self.options, **protocol, **(self.splits[split] or {})}
        for key in given:
            if key not in self.dataset:
                raise UserError(f"there is no key {key!r} in benchmark.options: {nearest(key, self.dataset)}")
        options: dict[str, Any] = {**self.dataset, **given}
        if self.root is not None:
            options["root"] = str(self.root)
        if samples is not None:
            options["val_samples"] = samples
        return options


def open_split(options: Mapping[str, Any], takes_context: bool = False) -> tuple[SampleSource, list[str]]:
    """The samples of a dataset with these options, for a network that `takes_context` or not, and notes for the result.

    Raises:
        UserError: an option of a wrong type, or no context.
        DataError: the data is missing.
    """
    config = OmegaConf.create(dict(options))
    check_targets(config, "benchmark.options")
    try:
        data = instantiate(config, _convert_="all")
        if takes_context:
            data.give_context()
        data.occlusion = data.has_occlusion
        return cache_frames(data.val_source()), list(getattr(data, "notes", ()))
    except (UserError, InstantiationException) as error:
        _, cause = find_cause(error)
        if not isinstance(cause, UserError):
            raise
        raise type(cause)(_in_our_keys(str(cause))) from error


def scored_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that scores depend on; a list file with its content's hash."""
    scored = {key: value for key, value in options.items() if not has_role(f"data.{key}", Role.UNSCORED)}
    path = scored.get("val_list")
    if path is not None and Path(path).expanduser().is_file():
        scored["val_list"] = f"{path} (sha256 {sha256(Path(path).expanduser().read_bytes()).hexdigest()[:16]})"
    return scored


def find_root(dataset: Mapping[str, Any], options: Mapping[str, Any], given: str | None, has_many: bool) -> Path | None:
    """The folder of a dataset: that of its options, else the given one or the dataset's published folder in it.

    Args:
        dataset, options: see `Benchmark`.
        given: `root` of the configuration.
        has_many: `given` holds the folders of several datasets.
    """
    if "root" not in dataset:
        return None
    if options.get("root") is not None:
        return Path(options["root"]).expanduser()
    if given is None:
        return None
    root = Path(given).expanduser()
    folder = getattr(get_object(dataset["_target_"]), "folder", None)
    return root / folder if folder is not None and (has_many or (root / folder).is_dir()) else root


def _in_our_keys(sentence: str) -> str:
    """A dataset's message, which names the keys of trainings, with those that this program has for them."""
    sentence = re.sub(r"(?<![\w/.])data\.root\b", "root", sentence)
    return re.sub(r"(?<![\w/.])data\.(?=[a-z_]+\b)", "++benchmark.options.", sentence)
