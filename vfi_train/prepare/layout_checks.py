"""Lists, counts and folders of a dataset, checked without reading images."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from datamodules.file_dataset import StoredData
from datamodules.storage.file_endings import VIDEOS
from vfi_train.errors import DataError
from vfi_train.prepare.dataset_issue import DatasetIssue, name_of

MAX_CHECKED = 1000  # videos, and clips
# Datasets that are mistaken for each other: their training list, their folder, and the frames of a clip.
TWINS = {
    "vimeo90k": ("tri_trainlist.txt", "vimeo_triplet", 3),
    "vimeo_septuplet": ("sep_trainlist.txt", "vimeo_septuplet", 7),
}
CLIP_LENGTHS = {"x4k1000fps": {"train": 65, "test": 33}}  # frames of the clips two levels below these folders


def find_layout_issues(data: StoredData, subset: bool) -> Iterator[DatasetIssue]:
    """Issues of lists, counts and folders.

    Args:
        data: the dataset.
        subset: fewer clips than published are no issue.
    """
    yield from _mixed_up(data)
    yield from _lines(data)
    counts, broken = _counted(data)
    yield from broken
    for name, expected in data.published.items():
        if name in counts and counts[name] != expected and not (subset and counts[name] < expected):
            yield DatasetIssue(
                "count",
                f"{name}: {counts[name]:,} of {expected:,} published",
                f"extract or fetch what is missing (from {data.origin}); verify.subset=true if a part is intended",
            )
    short = list(_wrong_lengths(data))
    yield from short
    if broken or short:
        yield from _videos(data)


def _counted(data: StoredData) -> tuple[dict[str, int], list[DatasetIssue]]:
    """What the dataset counts, and the errors that it raises when it looks for its samples."""
    counts: dict[str, int] = {}
    broken = []
    try:
        counts = data.counts()
    except DataError as error:
        broken.append(layout_issue(data, error))
    for items in (data.train_items, data.val_items) if data.trains else (data.val_items,):
        try:
            items()
        except NotImplementedError:
            pass  # of datasets that draw samples out of clips
        except DataError as error:
            broken.append(layout_issue(data, error))
    return counts, broken


def layout_issue(data: StoredData, error: DataError) -> DatasetIssue:
    """The issue of a dataset that does not find its files."""
    return DatasetIssue(
        "layout", str(error), f"compare with the folder {data.folder} as published (from {data.origin})"
    )


def _mixed_up(data: StoredData) -> Iterator[DatasetIssue]:
    """Triplets mistaken for septuplets, and the other way round."""
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
    clips = [clip for group in data.store.folders("sequences") for clip in data.store.folders(group)]
    for clip in clips[:: len(clips) // MAX_CHECKED + 1]:
        if len(data.store.listed(clip)) == their_length:
            what = f"{data.root}/{clip} holds {their_length} images as in {folder}, not {length}"
            yield DatasetIssue("mix-up", what, fix)


def _lines(data: StoredData) -> Iterator[DatasetIssue]:
    """Lists that cannot be read; blank lines inside of one (published lists have one at their end); repeated lines;
    clips of both the training and the test list.
    """
    lists: dict[str, set[str]] = {}
    for list_ in (name for name in data.published if name.endswith(".txt")):
        for name in (list_, f"eval_modes/{list_}"):
            if not (data.store.root / name).is_file():
                continue
            try:
                lines = [line.strip() for line in data.store.read_text(name).rstrip().splitlines()]
            except DataError as error:
                yield layout_issue(data, error)
                continue
            seen: dict[str, int] = {}
            for number, line in enumerate(lines, start=1):
                first = seen.setdefault(line, number)
                if not line:
                    yield DatasetIssue(
                        "blank line",
                        f"line {number} of {data.root}/{name} is blank",
                        "delete the line: it is skipped here, but published code reads it as a clip without a name",
                    )
                elif first != number:
                    what = f"line {number} of {data.root}/{name} repeats line {first}: {line}"
                    yield DatasetIssue("repeated line", what, "delete the line: its sample counts twice")
            lists[name] = seen.keys() - {""}
    for train, test in itertools.product(lists, repeat=2):
        if "train" in train and "test" in test:
            for clip in sorted(lists[train] & lists[test]):
                yield DatasetIssue(
                    "trained test clip",
                    f"{clip} is in both {data.root}/{train} and {test}",
                    "take it out of one of the lists: scores on clips that were trained on say nothing",
                )


def _wrong_lengths(data: StoredData) -> Iterator[DatasetIssue]:
    """Clips with a wrong number of frames."""
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
    for path in itertools.islice(found, MAX_CHECKED):
        folder = path.with_suffix("")
        yield DatasetIssue(
            "video",
            f"{path} is a video where images are expected",
            f"decode each video to a folder: mkdir {folder} && ffmpeg -i {path} -start_number 0 {folder}/%04d.png",
        )
