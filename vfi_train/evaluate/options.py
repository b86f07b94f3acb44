"""The configuration of an evaluation, read once into plain objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Annotated, Any

from omegaconf import DictConfig, OmegaConf

from vfi_train.config.read_settings import read_settings
from vfi_train.config.selection import chosen, configured, dataset
from vfi_train.errors import UserError
from vfi_train.evaluate.benchmarks import Benchmark, find_root
from vfi_train.evaluate.networks import ModelChoice, model_of_run, with_unique_labels
from vfi_train.evaluate.protocol import Protocol, choose_protocol
from vfi_train.inference.backend import check_names
from vfi_train.ranges import Label, Limit, Names, Natural, Positive, Text

Threads = Annotated[int, Limit("from 1 to 512", lambda n: 1 <= n <= 512)]


@dataclass(frozen=True)
class PlainOptions:
    """Keys of conf/evaluate.yaml, which explains them."""

    override: dict[str, Any] | None
    metrics: Names | None
    runs: Text
    trust: bool
    samples: Positive | None
    compare: list[str]
    backbones: str | None
    niqe_parameters: str | None
    device: str
    devices: int | str
    backend: str
    precision: str
    batch: int
    workers: Threads | None
    output: Text
    name: Label | None
    resume: bool
    num_examples: Natural
    wandb: bool
    wandb_project: str | None


@dataclass(frozen=True)
class Options(PlainOptions):
    """What an evaluation measures, and how.

    Args:
        models: of `model=` and `run=`.
        benchmarks: whose data is present.
        absent: of a set of benchmarks those whose data is missing, a sentence each.
        protocols: of `protocol=`; none: of the network's family.
        is_set: `protocols` are a set (`all`), of which those are used that measure a benchmark.
    """

    models: tuple[ModelChoice, ...]
    benchmarks: tuple[Benchmark, ...]
    absent: tuple[str, ...]
    protocols: tuple[Protocol, ...]
    is_set: bool

    def protocols_for(self, model: str, benchmark: str) -> list[Protocol]:
        """The protocols that a network is measured by."""
        if not self.protocols:
            return [choose_protocol(list(map(read_protocol, protocol_names())), model, benchmark)]
        return [p for p in self.protocols if not self.is_set or p.measures(benchmark)]


def read_options(config: DictConfig) -> Options:
    """Read and check a configuration.

    Raises:
        UserError: an unknown or missing value, or a list of a wrong length.
    """
    plain = read_settings(PlainOptions, config)
    plain = replace(plain, precision=check_names(plain.backend, plain.precision))
    if not isinstance(plain.batch, int) or plain.batch < 1:
        raise UserError(f"batch={plain.batch} is not a number of pairs: give 1 or more")
    models = _models(config, plain.trust)
    benchmarks, absent = _benchmarks(config) if models else ((), ())
    names, is_set = _expanded("protocol", chosen("protocol"))
    return Options(
        **vars(plain), models=models, benchmarks=benchmarks, absent=absent,
        protocols=tuple(map(read_protocol, names)), is_set=is_set,
    )  # fmt: skip


def read_benchmark(name: str, root: str | None = None, has_many: bool = False) -> Benchmark:
    """A benchmark of conf/benchmark; for `root` and `has_many` see `find_root`."""
    block = _plain(configured("benchmark", name))
    data, count = dataset(block["data"]), block["count"]
    return Benchmark(
        name=block["name"],
        title=block["title"],
        dataset=data,
        options=block["options"],
        splits={str(split): options for split, options in block["splits"].items()},
        counts={str(split): count[split] if isinstance(count, dict) else count for split in block["splits"]},
        sequence_depth=block["sequence"],
        root=find_root(data, block["options"], root, has_many),
    )


def read_protocol(name: str) -> Protocol:
    """A protocol of conf/protocol."""
    block = _plain(configured("protocol", name))
    return Protocol(block["name"], tuple(block["own"]), block["always"], block["benchmarks"], block["models"])


def protocol_names() -> list[str]:
    """The protocols of conf/protocol."""
    entries = files("conf").joinpath("protocol").iterdir()
    names = {entry.name.removesuffix(".yaml") for entry in entries if entry.name.endswith(".yaml")}
    return sorted(names - {"all"})


def _models(config: DictConfig, trust: bool) -> tuple[ModelChoice, ...]:
    names = chosen("model")
    if len(names) == 1 and OmegaConf.is_list(config.weights):
        names *= len(config.weights)  # one network with several weights
    weights = _one_for_each("weights", config.weights, len(names), "models") if names else []
    blocks = [configured("model", name) if len(set(names)) > 1 else config.model for name in names]
    models = [ModelChoice(*given) for given in zip(names, map(_plain, blocks), weights, strict=True)]
    runs = [] if config.run is None else config.run if OmegaConf.is_list(config.run) else [config.run]
    return with_unique_labels([*models, *(model_of_run(str(run), config.runs, trust) for run in runs)])


def _benchmarks(config: DictConfig) -> tuple[tuple[Benchmark, ...], tuple[str, ...]]:
    """The benchmarks whose data is present; of a set (`all`) those whose data is missing, a sentence each."""
    names, is_set = _expanded("benchmark", chosen("benchmark"))
    if not names:
        raise UserError("benchmark=... is needed and was not given: give a name of conf/benchmark, or all")
    roots = _one_for_each("root", config.root, len(names), "benchmarks")
    has_many = len(names) > 1 and not OmegaConf.is_list(config.root)
    found = [read_benchmark(n, None if r is None else str(r), has_many) for n, r in zip(names, roots, strict=True)]
    present = tuple(b for b in found if not is_set or (b.root is not None and b.root.is_dir()))
    absent = tuple(f"{b.name}: there is no {b.root or 'root'}" for b in found if b not in present)
    if not present:
        raise UserError(f"root={config.root} has no folder of a benchmark ({'; '.join(absent)})")
    return present, absent


def _expanded(group: str, names: Sequence[str]) -> tuple[list[str], bool]:
    """Names of a group, those of sets included; and whether there was a set (of which some may not apply)."""
    found: list[str] = []
    is_set = False
    for name in names:
        config = configured(group, name)
        is_set |= "names" in config
        found += list(config.names) if "names" in config else [name]
    return list(dict.fromkeys(found)), is_set


def _one_for_each(key: str, value: Any, count: int, of: str) -> list[Any]:
    """A value for all, or a list of a value for each, as a list.

    Raises:
        UserError: a list of another length.
    """
    values = list(value) if OmegaConf.is_list(value) or isinstance(value, (list, tuple)) else [value] * count
    if len(values) != count:
        raise UserError(f"{key} lists {len(values)} for {count} {of}: give one for each")
    return values


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
