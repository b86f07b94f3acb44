"""The options of a training that no class of the configuration gets: their kinds and ranges."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from vfi_train.config.overrides import group_choices
from vfi_train.config.targets import check_arguments, check_value, shown
from vfi_train.errors import UserError, nearest
from vfi_train.optim.parameters import ParameterGroup
from vfi_train.ranges import Label, Limit, Natural, Positive, Seed, Text

Devices = Annotated[int, Limit("of 1 or more, -1 for all", lambda n: n == -1 or n >= 1)]
Precision = Literal["32-true", "32", 32, "bf16-mixed", "bf16", "16-mixed", "16", 16]  # of these the weights are float32
Steps = Annotated[int, Limit("from 1 to 1000000000", lambda n: 1 <= n <= 10**9)]
Duration = Annotated[
    str, Limit("DD:HH:MM:SS above 0", lambda t: bool(re.fullmatch(r"\d+(:\d\d){3}", t) and t.strip("0:")))
]

OPTIONS: dict[str, Any] = {
    "name": Label | int | float | None,
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
    "trainer.max_time": Duration | dict[str, Any] | None,
}
# Options of Lightning's Trainer that the program sets, and what to give instead.
REPLACED = {
    "max_epochs": "trainer.max_steps=${epochs:N}", "min_epochs": "trainer.max_steps=${epochs:N}",
    "min_steps": "trainer.max_steps=N", "accumulate_grad_batches": "data.micro_batch_size=N",
    "val_check_interval": "validate_every=N", "check_val_every_n_epoch": "validate_every=${epochs:N}",
    "log_every_n_steps": "log_every=N", "deterministic": "deterministic=true", "default_root_dir": "runs=FOLDER",
    "fast_dev_run": "debug=smoke", "overfit_batches": "debug=overfit", "logger": "logger=NAME",
    "callbacks": "+callbacks.NAME={_target_: CLASS}", "plugins": "nothing", "use_distributed_sampler": "nothing",
}  # fmt: skip
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
        value = value_at(config, key)
        if value is None and "${" in str(value_at(written, key)):
            continue  # a length in epochs, before the data is counted
        check_value(key, value, hint)
    for option, instead in REPLACED.items():
        if config["trainer"].get(option) is not None:
            raise UserError(f"trainer.{option} is set by the program: give {instead} in its place")
    for path in ("data.transforms", "data.val_transforms"):
        blocks = value_at(config, path) if path.rpartition(".")[2] in config["data"] else []
        if not isinstance(blocks, list) or not all(isinstance(b, Mapping) and "_target_" in b for b in blocks):
            raise UserError(f"{path}={shown(blocks)} is not a list of blocks with a _target_: give one, or [] for none")
    if config["optimizer"].get("_partial_") is not True:
        raise UserError("optimizer._partial_ is not true: the optimizer is made when the network is there")
    for path in ("callbacks", "logger", "loss.terms", "data.datasets"):
        blocks = value_at(config, path)
        for name, block in blocks.items() if isinstance(blocks, Mapping) else [("*", blocks)]:
            if block is not None and not (isinstance(block, Mapping) and "_target_" in block):
                raise UserError(f"{path}.{name}={block} is not a block with a _target_: give one, or null for none")
    best, last = (config["callbacks"].get(name) or {} for name in ("best", "last"))
    elsewhere = best.get("dirpath") or last.get("dirpath")
    if elsewhere is not None:
        raise UserError(f"dirpath={elsewhere}: checkpoints are looked for in the run's own folder: leave it at null")
    if best.get("save_top_k", 1) != 1:
        raise UserError(
            f"callbacks.best.save_top_k={best['save_top_k']}: one checkpoint is kept, best.ckpt; give 1, or "
            "callbacks.best=null for none"
        )
    if best.get("filename", "best") != "best":
        raise UserError(
            f"callbacks.best.filename={best['filename']}: weights=RUN looks for best.ckpt, and last.ckpt is the one to "
            "resume from: leave it at best"
        )
    for number, group in enumerate(config["parameter_groups"]):
        check_arguments(f"parameter_groups[{number}]", ParameterGroup, group)


def value_at(config: Any, key: str) -> Any:
    """The value of a key with dots in nested mappings; None where there is none."""
    for part in key.split("."):
        config = config.get(part) if isinstance(config, Mapping) else None
    return config
