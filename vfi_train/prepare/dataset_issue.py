"""What is wrong with a dataset on disk."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DatasetIssue:
    """One thing that is wrong.

    Args:
        kind: a word or two; issues are counted by it.
        what: which file or list, and what is wrong with it.
        fix: what to do.
    """

    kind: str
    what: str
    fix: str


def name_of(data: object) -> str:
    """The name of a dataset's file in `datamodules`, and in conf/data."""
    return type(data).__module__.rpartition(".")[2]
