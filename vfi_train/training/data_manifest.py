"""Which files a training reads, as one hash: two runs with the same hash had the same lists of samples."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any


def manifest(data: Any) -> dict[str, Any] | None:
    """The number of files that the samples of `data` are made of and the SHA-256 of their sorted names.

    Names are relative to `data.root`, so neither its place nor packing matters; the content of the files is not read
    (`prepare task=verify` does that). None for synthetic scenes, which have no files.

    Args:
        data: a datamodule; in a joint one, each file counts once for each dataset.
    """
    names = sorted(_names(data))
    if not names:
        return None
    lines = "".join(f"{name}\n" for name in names)
    return {"files": len(names), "sha256": hashlib.sha256(lines.encode()).hexdigest()}


def _names(data: Any) -> Iterator[str]:
    for name, part in getattr(data, "datasets", {}).items():
        yield from (f"{name}/{file}" for file in _names(part))
    if hasattr(data, "files"):
        yield from (file for file, _ in data.files())
