"""Subsets of a benchmark by a list file, such as the "-L" lists of large motion for SNU-FILM and X-TEST."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from datamodules.file_dataset import Item
from vfi_train.errors import DataError

DEPTH = 3  # elements of a path that count: lists have the root of whoever made them before


class NothingListedError(DataError):
    """All lines of a list name samples of other splits."""


def listed(items: Sequence[Item], path: str | Path, others: Callable[[], Sequence[Item]] = lambda: ()) -> list[Item]:
    """The items that the lines of a list file name, in their own order.

    A line has the paths of the two inputs, or of all three frames, of which the last three elements count; or one word:
    a key, or neighbouring elements of it (a scene, a pair, a frame).

    Args:
        items: to choose from.
        path: of the file.
        others: the items of other splits, which a line may name instead; called if a line names none of `items`.

    Raises:
        NothingListedError: every line names items of other splits.
        DataError: the file cannot be read, or a line names no sample.
    """
    try:
        lines = Path(path).expanduser().read_text().replace("\\", "/").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no text"
        raise DataError(f"data.val_list={path} cannot be read ({reason}): give a text file, a line for each") from error
    numbered = [(number, words) for number, words in enumerate(map(str.split, lines), start=1) if words]
    if not numbered:
        raise DataError(f"data.val_list={path} is empty: give a line for each sample")
    find = _finder(items)
    found = [find(words) for _, words in numbered]
    if not all(found):
        find_other = _finder(others())
        for (number, words), here in zip(numbered, found, strict=True):
            if not here and not find_other(words):
                raise DataError(
                    f"line {number} of data.val_list={path} names no sample of the {len(items)} here: {' '.join(words)}"
                )
    chosen = sorted(set().union(*found))
    if not chosen:
        raise NothingListedError(f"data.val_list={path} only names samples of other splits: give a list for this one")
    return [items[index] for index in chosen]


def _finder(items: Sequence[Item]) -> Callable[[list[str]], list[int]]:
    """What gives the numbers of the items that the words of a line name."""
    by_inputs: dict[tuple[str, str], list[int]] = {}
    for index, item in enumerate(items):
        by_inputs.setdefault((_end(item.frame0), _end(item.frame1)), []).append(index)
    keys = [f"/{item.key}/" for item in items]

    def find(words: list[str]) -> list[int]:
        if len(words) > 1:
            return by_inputs.get((_end(words[0]), _end(words[-1])), [])
        name = f"/{PurePosixPath(words[0]).with_suffix('')}/"
        return [index for index, key in enumerate(keys) if name in key]

    return find


def _end(path: str) -> str:
    return "/".join(path.split("/")[-DEPTH:])
