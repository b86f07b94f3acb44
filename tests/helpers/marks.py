"""Which cases of a test are slow ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest


def some_slow(rows: Sequence[tuple[Any, ...]], every: int = 3) -> list[Any]:
    """The rows; but for the first of `every` they are for the slow tests."""
    return [pytest.param(*row, marks=[pytest.mark.slow] if number % every else []) for number, row in enumerate(rows)]
