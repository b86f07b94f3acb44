"""What an offline W&B run wrote, read back from its file (LevelDB's log format, as W&B 0.31 writes it)."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK, HEADER = 32768, 7
SECONDS = 20  # that W&B may take to write


def records(run: Path) -> list[Any]:
    """The records of the run's only offline start; W&B's process writes the last ones after the run has ended."""
    (path,) = run.glob("wandb/offline-run-*/*.wandb")
    deadline = time.monotonic() + SECONDS
    found = list(_records(path))
    while not any(record.HasField("exit") for record in found) and time.monotonic() < deadline:
        time.sleep(0.1)
        found = list(_records(path))
    return found


def history(run: Path) -> list[dict[str, Any]]:
    """The logged rows."""
    rows = []
    for record in records(run):
        if record.HasField("history"):
            items = record.history.item
            rows.append({item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items})
    return rows


def config(run: Path) -> dict[str, Any]:
    """The configuration, later updates over earlier ones."""
    values: dict[str, Any] = {}
    for record in records(run):
        updates = [*record.run.config.update, *record.config.update]
        values.update({item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in updates})
    return values


def _records(path: Path) -> Iterator[Any]:
    from wandb.proto.wandb_internal_pb2 import Record

    data = path.read_bytes()
    position, parts = HEADER, b""
    while position + HEADER <= len(data):
        left = BLOCK - position % BLOCK
        if left < HEADER:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + HEADER])
        if position + HEADER + length > len(data):
            return  # it is being written
        parts += data[position + HEADER : position + HEADER + length]
        position += HEADER + length
        if kind in (1, 4):  # a complete record, or the end of one
            record = Record()
            record.ParseFromString(parts)
            parts = b""
            yield record
