"""What each configuration key is for, as far as a program must tell: one table for all of them.

A key that is not listed decides what a training computes, belongs to each phase of a curriculum, and to the scores of
an evaluation.
"""

from __future__ import annotations

from enum import Flag, auto
from fnmatch import fnmatchcase


class Role(Flag):
    """What a key does not decide, or whom it belongs to."""

    RESUMABLE = auto()  # where or how verbosely a run runs: may differ when it is resumed
    CURRICULUM = auto()  # on the command line of a curriculum: not handed to its phases
    UNSCORED = auto()  # an option of a dataset (`data.*`) that no score of an evaluation depends on


RESUMABLE, CURRICULUM, UNSCORED = Role.RESUMABLE, Role.CURRICULUM, Role.UNSCORED

KEY_ROLES: dict[str, Role] = {
    "experiment": CURRICULUM,
    "curriculum": CURRICULUM | RESUMABLE,
    "name": CURRICULUM,
    "weights": CURRICULUM,
    "optimizer_state": CURRICULUM,
    "dry_run": CURRICULUM | RESUMABLE,
    "check": CURRICULUM | RESUMABLE,
    "sweep": CURRICULUM | RESUMABLE,
    "resume": RESUMABLE,
    "runs": RESUMABLE,
    "report": RESUMABLE,
    "logger": RESUMABLE,
    "checkpoint_every": RESUMABLE,
    "log_every": RESUMABLE,
    "backbones": RESUMABLE,
    "published": RESUMABLE,
    "roots": RESUMABLE,
    "trainer.devices": RESUMABLE,
    "trainer.num_nodes": RESUMABLE,
    "trainer.strategy": RESUMABLE,
    "trainer.accelerator": RESUMABLE,
    "trainer.max_time": RESUMABLE,
    "loss.terms.*.folder": RESUMABLE,
    "callbacks.nan_guard": RESUMABLE,
    "callbacks.published": RESUMABLE,
    "callbacks.artifacts": RESUMABLE,
    "callbacks.progress": RESUMABLE,
    "callbacks.images": RESUMABLE,
    "callbacks.throughput": RESUMABLE,
    "callbacks.samples": RESUMABLE,
    "callbacks.datasets": RESUMABLE,
    "callbacks.last": RESUMABLE,
    "callbacks.metrics": RESUMABLE,
    "data.root": RESUMABLE,
    "data.*.root": RESUMABLE,
    "data.cache_dir": RESUMABLE | UNSCORED,
    "data.*.cache_dir": RESUMABLE,
    "data.num_workers": RESUMABLE | UNSCORED,
    "data.*.num_workers": RESUMABLE,
    "data.pin_memory": RESUMABLE | UNSCORED,
    "data.micro_batch_size": RESUMABLE | UNSCORED,
    "data.batch_size": UNSCORED,
    "data.val_batch_size": UNSCORED,
    "data.on_error": UNSCORED,
    "data.max_errors": UNSCORED,
    "data.overfit": UNSCORED,
    "data.seed": UNSCORED,
    "data.transforms": UNSCORED,
    "data.train_fraction": UNSCORED,
    "data.reverse": UNSCORED,
    "data.flow": UNSCORED,
    "data.multi": UNSCORED,
}  # `*` stands for anything; a key has the roles of the blocks above it


def has_role(key: str, role: Role) -> bool:
    """Whether a key, or a block above it, has a role.

    Args:
        key: with dots, as on the command line: "data.num_workers".
        role: one role.
    """
    return any(
        role in roles and (fnmatchcase(key, pattern) or fnmatchcase(key, f"{pattern}.*"))
        for pattern, roles in KEY_ROLES.items()
    )
