"""What a protocol says about one part of one benchmark and one network, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from fnmatch import fnmatchcase
from importlib.resources import files
from typing import Any, Literal

from omegaconf import OmegaConf

from vfi_train.config.selection import configured
from vfi_train.errors import UserError, nearest

Options = Mapping[str, Any]
CHOICES = {
    "average": ("image", "sequence"),
    "padding": ("replicate", "zeros", "reflect"),
    "padding_side": ("center", "right_bottom"),
    "tta": (False, True, "flip_hw", "flip_h"),
    "channels": (None, "rgb", "bgr"),
    "recursive": (None, False, True),
}


@dataclass(frozen=True)
class Settings:
    """How samples are asked for and scored.

    Args:
        protocol: its name, and what was changed of it.
        metrics: columns of the result and the variant of each (see `scores.METRICS`).
        average: the mean over images, or over sequences of the mean over their images.
        padding, padding_side, padding_multiple, scale, tta, iterations: see `Interpolator`.
        channels: the order in which the network is given its images; None: the one that it was trained on.
        recursive: reach times by halving intervals; None: where the network gives the middle frame alone.
        model: attributes of the network (`global_motion` of ATM-VFI).
        data: options of the dataset.
    """

    protocol: str
    metrics: dict[str, dict[str, Any]]
    average: Literal["image", "sequence"] = "image"
    padding: Literal["replicate", "zeros", "reflect"] = "replicate"
    padding_side: Literal["center", "right_bottom"] = "center"
    padding_multiple: int | tuple[int, int] | None = None
    scale: float = 1.0
    tta: bool | Literal["flip_hw", "flip_h"] = False
    channels: Literal["rgb", "bgr"] | None = None
    recursive: bool | None = None
    iterations: int = 2
    model: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As plain values, for the result."""
        return asdict(self)


def measures(protocol: Options, benchmark: str) -> bool:
    """Whether the protocol says how the benchmark is measured."""
    return benchmark in protocol["benchmarks"] or "*" in protocol["benchmarks"]


def is_own(protocol: Options, model: str) -> bool:
    """Whether the protocol is that of the network's own family."""
    return any(fnmatchcase(model, pattern) for pattern in protocol["own"])


def resolve(
    protocol: Options,
    benchmark: str,
    split: str,
    model: str,
    change: Options | None = None,
    metrics: list[str] | None = None,
) -> Settings:
    """The settings for one part of a benchmark.

    Args:
        protocol: of conf/protocol. What `always` says holds for all benchmarks; the benchmark's own block, its block
            for the split, and the blocks of `models` whose pattern fits go over it, in this order.
        benchmark: its name.
        split: which part.
        model: name of the network.
        change: what the user wants otherwise; None: as the protocol says.
        metrics: columns that the user wants; those that the protocol does not measure come in their plain variant.

    Raises:
        UserError: the protocol does not measure this benchmark, or says something that is not known.
    """
    blocks = protocol["benchmarks"]
    if not measures(protocol, benchmark):
        raise UserError(
            f"protocol={protocol['name']} does not say how {benchmark} is measured; it measures "
            f"{', '.join(blocks)}: take protocol=common"
        )
    block = blocks.get(benchmark, blocks.get("*"))
    layers = [protocol["always"], {k: v for k, v in block.items() if k != "splits"}]
    layers.append(block.get("splits", {}).get(split, {}))
    layers += [options for pattern, options in protocol["models"].items() if fnmatchcase(model, pattern)]
    changes = {k: v for k, v in (change or {}).items() if v is not None}
    merged: dict[str, Any] = {}
    for layer in (*layers, changes):
        merged = _merge(merged, layer)
    columns = {name: dict(options) for name, options in merged.pop("metrics", {}).items() if options is not None}
    if metrics is not None:
        columns = {name: columns.get(name, {}) for name in metrics}
    if isinstance(merged.get("padding_multiple"), list):
        merged["padding_multiple"] = tuple(merged["padding_multiple"])
    _check(merged, protocol["name"])
    return Settings(protocol=_name(protocol["name"], changes), metrics=columns, **merged)


def _name(protocol: str, changes: Options) -> str:
    changed = ", ".join(f"{key}={value}" for key, value in changes.items())
    return f"{protocol} ({changed})" if changed else protocol


def _merge(below: Options, above: Options) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        known = merged.get(key)
        merged[key] = _merge(known, value) if isinstance(known, Mapping) and isinstance(value, Mapping) else value
    return merged


def _check(options: Options, protocol: str) -> None:
    known = {f.name for f in fields(Settings)} - {"protocol", "metrics"}
    for key, value in options.items():
        if key not in known:
            raise UserError(f"protocol={protocol} has no setting {key!r}: {nearest(key, known)}")
        if key in CHOICES and value not in CHOICES[key]:
            raise UserError(f"protocol={protocol}: {key}={value} is none of {', '.join(map(str, CHOICES[key]))}")


class Protocols:
    """The protocols of conf/protocol.

    Args:
        wanted: by name; None: that of each network's own family.
    """

    def __init__(self, wanted: str | None) -> None:
        names = [wanted] if wanted else _protocol_names()
        self.wanted = wanted
        self.known: dict[str, dict[str, Any]] = {}
        for name in names:
            block = OmegaConf.to_container(configured("protocol", name), resolve=True)
            assert isinstance(block, dict)
            self.known[name] = block  # type: ignore[assignment]

    def of(self, model: str, benchmark: str) -> dict[str, Any]:
        """The protocol for a network on a benchmark: the one wanted, its own family's, or `common`.

        Raises:
            UserError: the one that is wanted does not measure this benchmark.
        """
        if self.wanted:
            return self.known[self.wanted]
        for protocol in self.known.values():
            if is_own(protocol, model) and measures(protocol, benchmark):
                return protocol
        return self.known["common"]


def _protocol_names() -> list[str]:
    folder = files("conf").joinpath("protocol")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))
