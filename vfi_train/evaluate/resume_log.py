"""Rows of measured samples on disk, from which a stopped evaluation resumes.

A measurement has a folder, named after a hash of everything that its numbers depend on, where each process appends
lines to a file of its own. A line that a kill has cut short is ignored.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from datamodules.storage.atomic_write import write_text
from vfi_train.errors import make_folder

# "index", "key", "pair", "time", "size", "ms", "scores", "motion" (pixels), "motion_from" and, where the data has it,
# "pixels" (how many are visible and occluded, and their mean squared errors); or "index", "key" and "broken".
Row = dict[str, Any]
FORMAT = 3  # increased when the same measurement would give other numbers


class ResumeLog:
    """The rows of one measurement.

    Args:
        folder: of all measurements.
        name: the beginning of this one's folder name.
        identity: plain values that its numbers depend on.
        process: number of this process.
    """

    def __init__(self, folder: Path, name: str, identity: dict[str, Any], process: int = 0) -> None:
        text = json.dumps({"format": FORMAT, **identity}, sort_keys=True, default=str)
        self.identity = text
        self.folder = folder / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        self._path = self.folder / f"rows-{process}.jsonl"
        self._file: int | None = None

    def clear(self) -> None:
        """Delete the rows."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def read(self) -> list[Row]:
        """The rows by index, each once, without broken samples, which are to be tried again."""
        rows: dict[int, Row] = {}
        for path in sorted(self.folder.glob("rows-*.jsonl")):
            for line in path.read_bytes().split(b"\n"):
                row = _parsed(line)
                if row is not None and "broken" not in row:
                    rows.setdefault(row["index"], row)
        return [rows[index] for index in sorted(rows)]

    def append(self, rows: Iterable[Row]) -> None:
        """Add rows."""
        if self._file is None:
            self._open()
        assert self._file is not None
        content = "".join(json.dumps(to_plain(row)) + "\n" for row in rows).encode()
        while content:
            content = content[os.write(self._file, content) :]

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> None:
        make_folder(self.folder, "output")
        about = self.folder / "measurement.json"
        if not about.exists():
            write_text(about, self.identity + "\n")
        cut = self._path.exists() and not self._path.read_bytes().endswith(b"\n")
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        if cut:
            os.write(self._file, b"\n")


def to_plain(value: Any) -> Any:
    """The value with infinities and NaNs, which JSON does not have, as text that `float` reads."""
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _parsed(line: bytes) -> Row | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    if not isinstance(row, dict) or "index" not in row:
        return None
    if "scores" in row:
        row["scores"] = {name: float(value) for name, value in row["scores"].items()}
    return row
