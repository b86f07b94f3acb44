"""Lists, counts and folders of a dataset: right at first sight?"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

from datamodules.file_dataset import StoredData
from datamodules.storage.file_endings import VIDEOS
from vfi_train.errors import DataError
from vfi_train.prepare.dataset import name_of
from vfi_train.prepare.faults import DatasetIssue

MOST_LOOKED_AT = 1000  # videos, and clips
# Of datasets that are taken for one another: their training list, their folder, and the frames of a clip.
TWINS = {
    "vimeo90k": ("tri_trainlist.txt", "vimeo_triplet", 3),
    "vimeo_septuplet": ("sep_trainlist.txt", "vimeo_septuplet", 7),
}
CLIP_LENGTHS = {"x4k1000fps": {"train": 65, "test": 33}}  # frames of the clips two levels below these folders


def layout_faults(data: StoredData, subset: bool) -> Iterator[DatasetIssue]:
    """NonFiniteGuard that need no look into images.

    Args:
        data: the dataset.
        subset: fewer clips than published are no fault.
    """
    yield from _mixed_up(data)
    yield from _blank_lines(data)
    counts, broken = _counted(data)
    yield from broken
    for name, expected in data.published.items():
        if name in counts and counts[name] != expected and not (subset and counts[name] < expected):
            yield DatasetIssue(
                "count",
                f"{name}: {counts[name]:,} of {expected:,} published",
                f"extract or fetch what is missing (from {data.origin}); verify.subset=true where a part is meant",
            )
    short = list(_wrong_lengths(data))
    yield from short
    if broken or short:
        yield from _videos(data)


def _counted(data: StoredData) -> tuple[dict[str, int], list[DatasetIssue]]:
    """What the dataset counts, and what it says when it looks for its samples."""
    counts: dict[str, int] = {}
    broken = []
    try:
        counts = data.counts()
    except DataError as error:
        broken.append(misplaced(data, error))
    for items in (data.train_items, data.val_items) if data.trains else (data.val_items,):
        try:
            items()
        except NotImplementedError:
            pass  # of datasets that draw samples out of clips
        except DataError as error:
            broken.append(misplaced(data, error))
    return counts, broken


def misplaced(data: StoredData, error: DataError) -> DatasetIssue:
    """What a dataset says when it does not find its way."""
    return DatasetIssue(
        "layout", str(error), f"compare with the folder {data.folder} as published (from {data.origin})"
    )


def _mixed_up(data: StoredData) -> Iterator[DatasetIssue]:
    """Triplets taken for septuplets and the other way round."""
    assert data.root is not None
    name = name_of(data)
    if name not in TWINS:
        return
    own, _, length = TWINS[name]
    ((twin, (theirs, folder, their_length)),) = ((n, t) for n, t in TWINS.items() if n != name)
    fix = f"give data={twin}, or for data={name} the folder {data.folder}"
    if data.store.exists(theirs) and not data.store.exists(own):
        yield DatasetIssue("mix-up", f"{data.root} has {theirs} and no {own}: it is {folder}", fix)
        return
    clips_ = [clip for group in data.store.folders("sequences") for clip in data.store.folders(group)]
    for clip in clips_[:: len(clips_) // MOST_LOOKED_AT + 1]:
        if len(data.store.listed(clip)) == their_length:
            what = f"{data.root}/{clip} holds {their_length} images as in {folder}, not {length}"
            yield DatasetIssue("mix-up", what, fix)


def _blank_lines(data: StoredData) -> Iterator[DatasetIssue]:
    """Blank lines in the middle of a list; at its end, the published ones have one, too."""
    for list_ in (name for name in data.published if name.endswith(".txt")):
        for name in (list_, f"eval_modes/{list_}"):
            if not (data.store.root / name).is_file():
                continue
            lines = data.store.read_text(name).rstrip().splitlines()
            for number in (number for number, line in enumerate(lines, start=1) if not line.strip()):
                yield DatasetIssue(
                    "blank line",
                    f"line {number} of {data.root}/{name} is blank",
                    "delete the line: it is passed over here, but published code takes it for a clip without a name",
                )


def _wrong_lengths(data: StoredData) -> Iterator[DatasetIssue]:
    """Clips with another number of frames than all have."""
    for folder, length in CLIP_LENGTHS.get(name_of(data), {}).items():
        for clip in (clip for scene in data.store.folders(folder) for clip in data.store.folders(scene)):
            count = len(data.store.listed(clip))
            if count != length:
                what = f"{data.root}/{clip} has {count} images, not {length}"
                yield DatasetIssue("clip length", what, f"extract or fetch it again (from {data.origin})")


def _videos(data: StoredData) -> Iterator[DatasetIssue]:
    """Videos where images were expected."""
    assert data.root is not None
    found = (path for path in data.root.rglob("*") if path.suffix.lower() in VIDEOS and path.is_file())
    for path in itertools.islice(found, MOST_LOOKED_AT):
        folder = path.with_suffix("")
        yield DatasetIssue(
            "video",
            f"{path} is a video where images are expected",
            f"decode each video to a folder: {_command(path, folder)}",
        )


def _command(path: Path, folder: Path) -> str:
    return f"mkdir {folder} && ffmpeg -i {path} -start_number 0 {folder}/%04d.png"
