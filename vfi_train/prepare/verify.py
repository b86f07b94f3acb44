"""`task=verify`: a dataset on disk compared with what is published, each fault with what mends it."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from datamodules.file_dataset import StoredData
from datamodules.joint import Joint
from datamodules.video import Video
from vfi_train.errors import DataError, UserError
from vfi_train.prepare.dataset import dataset, name_of
from vfi_train.prepare.faults import DatasetIssue
from vfi_train.prepare.file_checks import broken_arrays, broken_files
from vfi_train.prepare.layout_checks import layout_faults, misplaced
from vfi_train.prepare.video_checks import broken_videos

FAULTY = 1  # exit status


def verify(config: DictConfig) -> None:
    """Verify `config.data`; prints a table, and ends the process with status 1 where there is a fault.

    `config.output` names a JSON file for the list of all faults.

    Raises:
        UserError: there is nothing on disk to verify.
    """
    data = dataset(config)
    parts = {name: part for name, part in data.datasets.items()} if isinstance(data, Joint) else {name_of(data): data}
    faults = [fault for name, part in parts.items() for fault in verify_dataset(name, part, config)]
    if config.output is not None:
        _write(Path(config.output).expanduser(), faults)
    if faults:
        sys.exit(FAULTY)


def verify_dataset(name: str, data: Any, config: DictConfig) -> list[DatasetIssue]:
    """The faults of one dataset, printed as a table."""
    if isinstance(data, StoredData):
        faults = list(dict.fromkeys(stored_faults(data, config)))
    elif isinstance(data, Video):
        faults = list(broken_videos(data, config.processes))
    else:
        raise UserError(f"data={name} reads no files: there is nothing to verify")
    root = getattr(data, "root", None)
    print_faults(f"data={name} data.root={root}", faults)
    return faults


def stored_faults(data: StoredData, config: DictConfig) -> Iterator[DatasetIssue]:
    """NonFiniteGuard of packs, lists, counts and files."""
    try:
        store = data.store
    except DataError as error:
        yield DatasetIssue("folder", str(error), "see there")
        return
    yield from layout_faults(data, subset=config.verify.subset)
    yield from broken_arrays(store, config.processes)
    try:
        files = list(data.files())
    except DataError as error:
        yield misplaced(data, error)
        return
    print(f"{len(files):,} files belong to {name_of(data)}", flush=True)
    size = data.image_size if config.verify.size is None else tuple(config.verify.size)
    yield from broken_files(data, files, size, config.verify.decode, config.processes)


def print_faults(title: str, faults: list[DatasetIssue]) -> None:
    """A table with a row for each kind of fault: how many, the first, and what to do."""
    console = Console()
    if not faults:
        console.print(f"{title}: everything is as it should be")
        return
    table = Table(title=f"{title}: {len(faults):,} faults", show_lines=True)
    for column in ("fault", "how many", "first", "what to do"):
        table.add_column(column, justify="right" if column == "how many" else "left", overflow="fold")
    counts = Counter(fault.kind for fault in faults)
    firsts = {fault.kind: fault for fault in reversed(faults)}
    for kind, count in counts.items():
        table.add_row(kind, f"{count:,}", firsts[kind].what, firsts[kind].fix)
    console.print(table)


def _write(path: Path, faults: list[DatasetIssue]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(json.dumps([asdict(fault) for fault in faults], indent=1) + "\n")
    partial.replace(path)
    print(f"all faults: {path}")
