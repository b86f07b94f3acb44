"""Scores of samples on disk as they are made: what a stopped evaluation goes on from.

A measurement has a folder, named after everything that its numbers depend on. In it each process appends to a file of
its own, one line per sample, each line by one write; a line that a kill has cut short is not read.
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

Row = dict[str, Any]  # "index", "key", "pair", "time", "ms" and "scores"; or "index", "key" and "broken"
FORMAT = 1  # raised when the numbers of the same measurement would come out otherwise


class Journal:
    """The rows of one measurement.

    Args:
        folder: of all measurements.
        name: a readable beginning of this one's folder.
        identity: plain values that its numbers depend on; another identity is another folder.
        process: number of this process.
    """

    def __init__(self, folder: Path, name: str, identity: dict[str, Any], process: int = 0) -> None:
        text = json.dumps({"format": FORMAT, **identity}, sort_keys=True, default=str)
        self.identity = text
        self.folder = folder / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        self._path = self.folder / f"rows-{process}.jsonl"
        self._file: int | None = None

    def forget(self) -> None:
        """Delete the rows."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def read(self) -> list[Row]:
        """The measured rows by index, each once; broken samples are not among them: they are tried again."""
        rows: dict[int, Row] = {}
        for path in sorted(self.folder.glob("rows-*.jsonl")):
            for line in path.read_bytes().split(b"\n"):
                row = _parsed(line)
                if row is not None and "broken" not in row:
                    rows.setdefault(row["index"], row)
        return [rows[index] for index in sorted(rows)]

    def append(self, rows: Iterable[Row]) -> None:
        """Add rows, whole."""
        if self._file is None:
            self._open()
        assert self._file is not None
        content = "".join(json.dumps(to_plain(row)) + "\n" for row in rows).encode()
        while content:
            content = content[os.write(self._file, content) :]

    def close(self) -> None:
        """Let the file go."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        said = self.folder / "measurement.json"
        if not said.exists():
            said.write_text(self.identity + "\n")
        cut = self._path.exists() and not self._path.read_bytes().endswith(b"\n")
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        if cut:
            os.write(self._file, b"\n")


def to_plain(value: Any) -> Any:
    """JSON has no infinity and no NaN: they are written as texts, which `float` reads."""
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
