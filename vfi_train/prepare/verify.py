"""`task=verify`: a dataset on disk compared with what is published; each issue with its fix."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from datamodules.file_dataset import StoredData
from datamodules.joint import Joint
from datamodules.storage.atomic_write import write_text
from datamodules.video import ClipData
from vfi_train.errors import DataError, UserError, make_folder
from vfi_train.prepare.dataset_issue import DatasetIssue, name_of
from vfi_train.prepare.file_checks import find_array_issues, find_file_issues, find_video_issues
from vfi_train.prepare.layout_checks import find_layout_issues, layout_issue
from vfi_train.ranges import Positive


def verify(data: Any, output: Path | None, processes: int | None, **options: Any) -> list[DatasetIssue]:
    """Print a table of the issues of a dataset, or of each one of a joint dataset.

    Args:
        data: a datamodule.
        output: a JSON file for the list of all issues; None: none is written.
        processes: see `parallel_map`.
        **options: decode, subset, size: see `find_issues`.

    Raises:
        UserError: the dataset reads no files.
    """
    issues = []
    parts = {name_of(data): data}
    if isinstance(data, Joint):
        parts = dict(data.datasets)
        for name, part in data.val_sets.items():
            if part not in parts.values():
                parts[f"val_split.{name}".rstrip(".")] = part
    for name, part in parts.items():
        if isinstance(part, StoredData):
            found = list(dict.fromkeys(find_issues(part, processes, **options)))
        elif isinstance(part, ClipData):
            found = list(find_video_issues(part, processes))
        elif part is not data:
            print(f"data={name} reads no files")
            continue
        else:
            raise UserError(f"data={name} reads no files: there is nothing to verify")
        print_issues(f"data={name} data.root={part.root}", found)
        issues += found
    if output is not None:
        make_folder(output.parent, "output")
        write_text(output, json.dumps([asdict(issue) for issue in issues], indent=1) + "\n")
        print(f"all issues: {output}")
    return issues


def find_issues(
    data: StoredData,
    processes: int | None = 1,
    decode: bool = True,
    subset: bool = False,
    size: tuple[Positive, Positive] | None = None,
) -> Iterator[DatasetIssue]:
    """Issues of packs, lists, counts and files.

    Args:
        data: the dataset.
        processes: see `parallel_map`.
        decode: read the files; otherwise only check that they exist.
        subset: part of the dataset is expected: fewer clips than published are no issue.
        size: height and width of all images; None: as published.
    """
    try:
        store = data.store
    except DataError as error:
        yield DatasetIssue("folder", str(error), "see there")
        return
    yield from find_layout_issues(data, subset)
    yield from find_array_issues(store, processes)
    files: dict[str, str] = {}
    for group in data.file_groups():
        try:
            for name, key in group:
                files.setdefault(name, key)
        except DataError as error:
            yield layout_issue(data, error)
    print(f"{len(files):,} files belong to {name_of(data)}", flush=True)
    expected = data.image_size if size is None else (size[0], size[1])
    yield from find_file_issues(data, list(files.items()), expected, decode, processes)


def print_issues(title: str, issues: Sequence[DatasetIssue]) -> None:
    """A table with a row for each kind of issue: how many, the first, and what to do."""
    console = Console()
    if not issues:
        console.print(f"{title}: no issues")
        return
    table = Table(title=f"{title}: {len(issues):,} issues", show_lines=True)
    for column in ("issue", "count", "first", "fix"):
        table.add_column(column, justify="right" if column == "count" else "left", overflow="fold")
    firsts = {issue.kind: issue for issue in reversed(issues)}
    for kind, count in Counter(issue.kind for issue in issues).items():
        table.add_row(kind, f"{count:,}", firsts[kind].what, firsts[kind].fix)
    console.print(table)
