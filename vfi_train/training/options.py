"""The options of a training that no class of the configuration gets: their kinds and ranges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from vfi_train.config.overrides import group_choices
from vfi_train.config.targets import check_arguments, check_value
from vfi_train.errors import UserError, nearest
from vfi_train.optim.parameters import ParameterGroup
from vfi_train.ranges import Limit, Natural, Positive, Seed, Text

Devices = Annotated[int, Limit("of 1 or more, -1 for all", lambda n: n == -1 or n >= 1)]
Precision = Literal["32-true", "32", 32, "bf16-mixed", "bf16", "16-mixed", "16", 16]  # of these the weights are float32
Steps = Annotated[int, Limit("from 1 to 1000000000", lambda n: 1 <= n <= 10**9)]

OPTIONS: dict[str, Any] = {
    "name": Text | int | float | None,
    "runs": Text | int,
    "seed": Seed,
    "weights": Text | None,
    "backbones": Text | None,
    "optimizer_state": Text | None,
    "resume": Literal["auto", "never", "force"],
    "deterministic": bool,
    "steps_per_epoch": Positive | None,
    "validate_every": Steps,
    "checkpoint_every": Steps,
    "log_every": Natural,
    "report": bool,
    "train": str | list[str] | None,
    "freeze": str | list[str],
    "parameter_groups": list[dict[str, Any]],
    "dry_run": bool,
    "check": bool,
    "published": dict[str, Any] | None,
    "roots": dict[str, Any],
    "sweep": list[str],
    "trainer.max_steps": Steps,
    "trainer.devices": Devices | str | list[int],
    "trainer.num_nodes": Positive,
    "trainer.precision": Precision,
}
BLOCKS = ("model", "data", "loss", "optimizer", "schedule", "trainer", "module")  # each makes one object


def check_options(config: Mapping[str, Any], written: Mapping[str, Any]) -> None:
    """Check the options of a training and that no block is missing.

    Args:
        config: resolved, as plain containers.
        written: the same with its interpolations.

    Raises:
        UserError: naming the key, what was given and what was expected.
    """
    for block in (*BLOCKS, "callbacks", "logger"):
        value = config.get(block)
        if not isinstance(value, Mapping) or (block in BLOCKS and "_target_" not in value):
            known = f": give {block}=NAME, {nearest('', group_choices(block))}" if group_choices(block) else ""
            raise UserError(f"{block} is missing, and a training needs it{known}")
    for key, hint in OPTIONS.items():
        value = _at(config, key)
        if value is None and "${" in str(_at(written, key)):
            continue  # a length in epochs, before the data is counted
        check_value(key, value, hint)
    best = config["callbacks"].get("best") or {}
    if best.get("filename", "best") != "best":
        raise UserError(
            f"callbacks.best.filename={best['filename']}: weights=RUN looks for best.ckpt, and last.ckpt is the one to "
            "resume from: leave it at best"
        )
    for number, group in enumerate(config["parameter_groups"]):
        check_arguments(f"parameter_groups[{number}]", ParameterGroup, group)


def _at(config: Any, key: str) -> Any:
    for part in key.split("."):
        config = config.get(part) if isinstance(config, Mapping) else None
    return config
