"""The parts of the benchmarks: where their data lies, and their samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from datamodules.core.samples import SampleSource
from vfi_train.config.key_roles import Role, has_role
from vfi_train.config.selection import benchmark_names, chosen, configured, dataset, one_for_each
from vfi_train.config.targets import check_targets
from vfi_train.errors import UserError, nearest
from vfi_train.evaluate.samples import share_frames


@dataclass
class Benchmark:
    """A benchmark of conf/benchmark, with the folder of its data.

    Args:
        config: its block.
        data: the block of its dataset in conf/data.
        root: where its data lies; None where it needs none.
    """

    config: DictConfig
    data: dict[str, Any]
    root: Path | None

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.config.name)

    @property
    def splits(self) -> list[str]:
        """The parts that are reported apart."""
        return [str(split) for split in self.config.splits]

    def options(self, split: str, protocol: Mapping[str, Any], samples: int | None) -> dict[str, Any]:
        """What the dataset is built with for a part, under what a protocol says of it.

        Raises:
            UserError: an option that the dataset does not have.
        """
        blocks = OmegaConf.to_container(self.config, resolve=True)
        assert isinstance(blocks, dict)
        given = {**blocks["options"], **protocol, **(blocks["splits"][split] or {})}
        unknown = next((key for key in given if key not in self.data), None)
        if unknown is not None:
            raise UserError(f"there is no key {unknown!r} in benchmark.options: {nearest(unknown, self.data)}")
        options: dict[str, Any] = {**self.data, **given}
        if self.root is not None:
            options["root"] = str(self.root)
        if samples is not None:
            options["val_samples"] = samples
        return options

    def open(self, options: dict[str, Any]) -> tuple[SampleSource, list[str]]:
        """The samples of a part, and what must be known of them.

        Raises:
            DataError: they are not there.
        """
        check_targets(OmegaConf.create({"benchmark": {"options": options}}))
        data = instantiate(OmegaConf.create(options), _convert_="all")
        source = data.val_source()
        return share_frames(source), list(getattr(data, "notes", ()))


def benchmarks(config: DictConfig) -> tuple[list[Benchmark], list[str]]:
    """The benchmarks that are wanted and there; and of a set (`all`) those that are not, in a sentence each.

    Raises:
        UserError: none is wanted, or one that was named is not there.
    """
    names, is_set = benchmark_names(chosen("benchmark"))
    if not names:
        return [], []
    roots = one_for_each("root", config.root, len(names), "benchmarks")
    holds_many = len(names) > 1 and not OmegaConf.is_list(config.root)
    found, absent = [], []
    for name, given in zip(names, roots, strict=True):
        block = configured("benchmark", name)
        data = dataset(block.data)
        root = _root(block, data, given, holds_many)
        if is_set and (root is None or not root.is_dir()):
            absent.append(f"{name}: there is no {root or 'root'}")
        else:
            found.append(Benchmark(block, data, root))
    if not found:
        raise UserError(f"no benchmark's folder lies in root={config.root} ({'; '.join(absent)})")
    return found, absent


def scored_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that scores depend on."""
    return {key: value for key, value in options.items() if not has_role(f"data.{key}", Role.UNSCORED)}


def _root(block: DictConfig, data: Mapping[str, Any], given: Any, holds_many: bool) -> Path | None:
    """The folder of a dataset: its options' own, else `root`, or below it the folder as it is published."""
    if "root" not in data:
        return None
    if block.options.get("root") is not None:
        return Path(block.options.root).expanduser()
    if given is None:
        return None
    root = Path(str(given)).expanduser()
    folder = getattr(get_object(data["_target_"]), "folder", None)
    if folder is not None and (holds_many or (root / folder).is_dir()):
        return root / folder
    return root
