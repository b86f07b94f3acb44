"""Protocols: how networks are run and scored on benchmarks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any, Literal

from vfi_train.config.targets import check_value, type_hints
from vfi_train.errors import UserError, nearest
from vfi_train.evaluate.columns import COLUMNS, option_text, plain_options
from vfi_train.inference.padding import PaddingMode, PaddingSide, check_padding
from vfi_train.ranges import AboveZero, Positive

CHOICES = {
    "average": ("image", "sequence"),
    "padding_side": ("center", "right_bottom"),
    "tta": (False, True, "flip_hw", "flip_h"),
    "channels": (None, "rgb", "bgr"),
    "recursive": (None, False, True),
}


@dataclass(frozen=True)
class Settings:
    """How samples of one split are predicted and scored.

    Args:
        protocol: its name, and what was overridden.
        metrics: columns of the result and their options; see `Scorer`.
        average: the mean over images, or over sequences of the mean over their images.
        padding, padding_side, padding_multiple, scale, tta, iterations: see `Interpolator`.
        channels: channel order of the network's input; None: the one that it was trained with.
        recursive: reach times by halving intervals; None: if the network only predicts the middle frame.
        model: attributes of the network (`global_motion` of ATM-VFI).
        data: options of the dataset.
    """

    protocol: str
    metrics: dict[str, dict[str, Any]]
    average: Literal["image", "sequence"] = "image"
    padding: PaddingMode = "replicate"
    padding_side: PaddingSide = "center"
    padding_multiple: Positive | tuple[Positive, Positive] | None = None
    scale: AboveZero = 1.0
    tta: bool | Literal["flip_hw", "flip_h"] = False
    channels: Literal["rgb", "bgr"] | None = None
    recursive: bool | None = None
    iterations: Positive = 2
    model: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The settings as plain values."""
        return asdict(self)


SETTINGS = [f.name for f in fields(Settings) if f.name not in ("protocol", "metrics")]


@dataclass(frozen=True)
class Protocol:
    """A protocol of conf/protocol.

    Args:
        name: of the protocol.
        own: patterns of names of networks that are measured by it by default.
        always: settings on all benchmarks.
        benchmarks: settings by benchmark ("*": any other one), with settings by split under the key `splits`.
        models: settings by patterns of names of networks.
    """

    name: str
    own: tuple[str, ...]
    always: Mapping[str, Any]
    benchmarks: Mapping[str, Mapping[str, Any]]
    models: Mapping[str, Mapping[str, Any]]

    def measures(self, benchmark: str) -> bool:
        """Whether it defines how the benchmark is measured."""
        return benchmark in self.benchmarks or "*" in self.benchmarks

    def is_own(self, model: str) -> bool:
        """Whether it is the protocol of the network's family."""
        return any(fnmatchcase(model, pattern) for pattern in self.own)


def choose_protocol(protocols: Sequence[Protocol], model: str, benchmark: str) -> Protocol:
    """The first protocol of the network's family that measures the benchmark, or `common`."""
    own = (protocol for protocol in protocols if protocol.is_own(model) and protocol.measures(benchmark))
    return next(own, None) or next(protocol for protocol in protocols if protocol.name == "common")


def resolve(
    protocol: Protocol,
    benchmark: str,
    split: str,
    model: str,
    override: Mapping[str, Any] | None = None,
    metrics: Sequence[str] | None = None,
) -> Settings:
    """The settings for one split of a benchmark.

    Args:
        protocol: its block `always`, that of the benchmark, that of the split, and those of `models` whose patterns
            match are merged in this order.
        benchmark: its name.
        split: its name.
        model: name of the network.
        override: settings that replace the protocol's; None as a value: no change.
        metrics: columns in place of the protocol's; those that it does not have get no options.

    Raises:
        UserError: the protocol does not measure this benchmark, or has an unknown setting or value.
    """
    blocks = protocol.benchmarks
    if not protocol.measures(benchmark):
        raise UserError(
            f"protocol={protocol.name} does not measure {benchmark}; it measures {', '.join(blocks)}: "
            "give protocol=common"
        )
    block = blocks.get(benchmark, blocks.get("*", {}))
    changes = {k: v for k, v in (override or {}).items() if v is not None}
    layers = [
        protocol.always,
        {key: value for key, value in block.items() if key != "splits"},
        block.get("splits", {}).get(split, {}),
        *(options for pattern, options in protocol.models.items() if fnmatchcase(model, pattern)),
        changes,
    ]
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _merge(merged, layer)
    columns = {name: dict(options) for name, options in merged.pop("metrics", {}).items() if options is not None}
    if metrics is not None:
        columns = {name: columns.get(name, {}) for name in metrics}
    if isinstance(merged.get("padding_multiple"), list):
        merged["padding_multiple"] = tuple(merged["padding_multiple"])
    _check(merged, protocol.name)
    changed = ", ".join(f"{key}={value}" for key, value in changes.items())
    name = f"{protocol.name} ({changed})" if changed else protocol.name
    return Settings(protocol=name, metrics=columns, **merged)


def differences(ours: Mapping[str, Any], other: Mapping[str, Any], columns: Iterable[str] | None = None) -> list[str]:
    """What differs between two settings as plain values: "scale 1.0, not 0.5", "PSNR not rounded".

    Args:
        ours: of our result; see `Settings.as_dict`.
        other: what it is compared with.
        columns: whose options count; None: of either.
    """
    found = []
    for key in SETTINGS:
        values = [list(v) if isinstance(v := s.get(key), tuple) else v for s in (ours, other)]
        if key in ours and values[0] != values[1]:
            found.append(f"{key} {_text(values[0])}, not {_text(values[1])}")
    metrics = ours["metrics"], other["metrics"]
    for column in {**metrics[0], **metrics[1]} if columns is None else columns:
        options = [plain_options(m[column]) if column in m else None for m in metrics]
        if options[0] != options[1]:
            texts = ["not measured" if o is None else option_text(o) or "plain" for o in options]
            found.append(f"{COLUMNS[column].title} {texts[0]}, not {texts[1].removeprefix('not ')}")
    return found


def _text(value: Any) -> str:
    """A setting's value; null: what the network takes by itself."""
    if isinstance(value, dict):
        return " ".join(f"{key}={v}" for key, v in value.items()) or "as it is"
    return "as the network takes it" if value is None else str(value)


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        known = merged.get(key)
        merged[key] = _merge(known, value) if isinstance(known, Mapping) and isinstance(value, Mapping) else value
    return merged


def _check(options: Mapping[str, Any], protocol: str) -> None:
    hints = type_hints(Settings)
    known = hints.keys() - {"protocol", "metrics"}
    for key, value in options.items():
        if key not in known:
            raise UserError(f"protocol={protocol} has no setting {key!r}: {nearest(key, known)}")
        if key in CHOICES and value not in CHOICES[key]:
            raise UserError(f"protocol={protocol}: {key}={value} is none of {', '.join(map(str, CHOICES[key]))}")
        if key == "padding":
            check_padding(value, f"protocol={protocol}: padding")
        check_value(f"protocol={protocol}: {key}", value, hints[key])
