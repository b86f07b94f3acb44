"""Subsets of a benchmark by a list file, such as the "-L" lists of large motion for SNU-FILM and X-TEST."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from datamodules.file_dataset import Item
from vfi_train.errors import DataError

DEPTH = 3  # elements of a path that count: lists have the root of whoever made them before


def listed(items: Sequence[Item], path: str | Path) -> list[Item]:
    """The items that the lines of a list file name, in their own order.

    A line has the paths of the two inputs, or of all three frames, of which the last three elements count; or one word:
    a key, or neighbouring elements of it (a scene, a pair, a frame).

    Raises:
        DataError: the file cannot be read, or a line names no sample.
    """
    try:
        lines = Path(path).expanduser().read_text().replace("\\", "/").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no text"
        raise DataError(f"data.val_list={path} cannot be read ({reason}): give a text file, a line for each") from error
    by_inputs: dict[tuple[str, str], list[int]] = {}
    for index, item in enumerate(items):
        by_inputs.setdefault((_end(item.frame0), _end(item.frame1)), []).append(index)
    keys = [f"/{item.key}/" for item in items]
    chosen: set[int] = set()
    for number, words in enumerate(map(str.split, lines), start=1):
        if not words:
            continue
        if len(words) > 1:
            found = by_inputs.get((_end(words[0]), _end(words[-1])), [])
        else:
            name = f"/{PurePosixPath(words[0]).with_suffix('')}/"
            found = [index for index, key in enumerate(keys) if name in key]
        if not found:
            raise DataError(
                f"line {number} of data.val_list={path} names no sample of the {len(items)} here: {' '.join(words)}"
            )
        chosen.update(found)
    if not chosen:
        raise DataError(f"data.val_list={path} is empty: give a line for each sample")
    return [items[index] for index in sorted(chosen)]


def _end(path: str) -> str:
    return "/".join(path.split("/")[-DEPTH:])
