"""Mistakes of the user, told in one sentence."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something that the user gave does not work; the message says what, why, and what would do."""


def nearest(name: str, known: Iterable[str], most: int = 3) -> str:
    """The known names most like `name`, or all of them where they are few, as a phrase for a message."""
    names = sorted({str(k) for k in known})
    near = difflib.get_close_matches(name, names, n=most, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(repr(n) for n in near)}?"
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"known: {shown or 'none'}"
