"""What is wrong with a dataset on disk."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DatasetIssue:
    """One fault.

    Args:
        kind: a word or two; faults are counted by it.
        what: which file or list, and what is wrong with it.
        fix: what to do.
    """

    kind: str
    what: str
    fix: str
