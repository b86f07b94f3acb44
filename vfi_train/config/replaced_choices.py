"""An optimizer, a schedule or data that the command line chooses in place of the experiment's."""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import DictConfig, open_dict

from vfi_train.config.overrides import parse
from vfi_train.config.targets import find_target, parameters_of
from vfi_train.runtime.console import say

GROUPS = ("optimizer", "schedule", "data")


def drop_options_of_replaced(config: DictConfig, overrides: Sequence[str]) -> None:
    """Take the experiment's options out of a block whose class was replaced, where the new class does not have them.

    An experiment that sets `schedule.warmup_steps` is composed over `schedule=constant` too, which has no such option.
    What the command line itself gives is kept, so that its mistakes are reported.

    Args:
        config: as composed; changed.
        overrides: of the command line.
    """
    given = {override.key_or_group for override in parse(overrides)}
    for group in GROUPS:
        block = config.get(group)
        if group not in given or block is None or "_target_" not in block:
            continue
        known = parameters_of(find_target(group, block["_target_"]))
        if known is None:
            continue
        dropped = [
            key for key in map(str, block) if key[0] != "_" and key not in known and f"{group}.{key}" not in given
        ]
        if dropped:
            with open_dict(config):
                for key in dropped:
                    del block[key]
            say(f"{group}: {block['_target_'].rpartition('.')[2]} has no {', '.join(dropped)}: left out")
