"""`task=triplets`: clips out of one's own videos, in the layout of Vimeo90K."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.console import Console
from rich.table import Table

from datamodules.file_dataset import evenly_spaced
from datamodules.storage.atomic_write import atomic_folder, write_bytes, write_text
from datamodules.storage.frame_cache import Frames
from datamodules.storage.image_io import encode_image
from datamodules.video import Video, val_clips
from vfi_train.errors import UserError, make_folder
from vfi_train.prepare import disk
from vfi_train.prepare.contact_sheet import MAX_CLIPS, contact_sheet
from vfi_train.prepare.dataset_issue import name_of
from vfi_train.prepare.mining import Excerpt, MiningResult, MiningRules, mine
from vfi_train.prepare.workers import parallel_map
from vfi_train.ranges import AboveZero, NonNegative, Positive

LISTS = {3: ("tri_trainlist.txt", "tri_testlist.txt"), 7: ("sep_trainlist.txt", "sep_testlist.txt")}
DATASETS = {3: "vimeo90k", 7: "vimeo_septuplet"}
NOTE = "triplets.json"


@dataclass(frozen=True)
class ChosenClip:
    """A clip to write: its name in the lists, its frames, and whether it is for validation."""

    clip: str
    excerpt: Excerpt
    val_split: bool


def make_triplets(
    data: Any,
    output: Path,
    frames: Literal[3, 7],
    least_motion: NonNegative,
    most_motion: AboveZero,
    per_video: Positive | None,
    processes: int | None,
) -> None:
    """Write clips of videos as a dataset.

    Args:
        data: a `Video` datamodule.
        output: the dataset's folder.
        frames: of a clip, 3 or 7.
        least_motion, most_motion: see `MiningRules`.
        per_video: clips of one video, evenly spaced; None: all.
        processes: see `parallel_map`.

    Raises:
        UserError: the dataset is not of videos, an option does not suit, or no clip is left.
        DataError: a video cannot be read.
    """
    if most_motion <= least_motion:
        raise UserError(
            f"triplets.most_motion={most_motion} is not above triplets.least_motion={least_motion}: give a larger one"
        )
    if not isinstance(data, Video):
        raise UserError(f"task=triplets works on videos: give data=video data.root=FOLDER, not data={name_of(data)}")
    data.check()
    clips = data.decoded()
    motion = (float(least_motion), float(most_motion))
    rules = MiningRules(frames, data.gap, data.cut_threshold, data.static_threshold, motion, per_video)
    found = dict(parallel_map(partial(mine, rules=rules), clips, processes, "videos"))
    results = [found[clip] for clip in clips]
    print_results(results)
    chosen = choose(results, data.val_split)
    write(output, chosen, clips, rules, processes)
    name = DATASETS[frames]
    print(f"{len(chosen):,} clips and contact_sheet.png are in {output}: data={name} data.root={output} trains on them")


def choose(results: Sequence[MiningResult], fraction: float) -> list[ChosenClip]:
    """Name the excerpts, and take some for validation: those of complete videos, or the last ones of a single video.

    Raises:
        UserError: nothing is left for training, or for validation.
    """
    used = [number for number, result in enumerate(results) if result.excerpts]
    if len(used) > 1:
        val_videos = {used[i] for i in val_clips(len(used), fraction)}
        first_val = {number: 0 if number in val_videos else len(results[number].excerpts) for number in used}
    else:
        first_val = {n: len(results[n].excerpts) - max(1, round(fraction * len(results[n].excerpts))) for n in used}
    chosen = [
        ChosenClip(f"{number + 1:05d}/{i + 1:04d}", excerpt, i >= first_val[number])
        for number in used
        for i, excerpt in enumerate(results[number].excerpts)
    ]
    val_count = sum(clip.val_split for clip in chosen)
    if not 0 < val_count < len(chosen):
        raise UserError(
            f"{len(chosen) - val_count} clips are left for training and {val_count} for validation: give more footage, "
            "or other data.gap, data.cut_threshold, data.static_threshold, triplets.least_motion, triplets.most_motion"
        )
    return chosen


def write(
    output: Path, chosen: Sequence[ChosenClip], clips: Sequence[Frames], rules: MiningRules, processes: int | None
) -> None:
    """Write clips, lists, motion statistics and the contact sheet; existing clips stay.

    Raises:
        UserError: clips of other videos or settings exist, or the disk has no room.
    """
    by_name = {clip.name: clip for clip in clips}
    note = {
        "rules": asdict(rules),
        "clips": [{"clip": c.clip, "val_split": c.val_split, **asdict(c.excerpt)} for c in chosen],
    }
    text = json.dumps(note, indent=1) + "\n"
    place = output / NOTE
    if place.is_file() and place.read_text() != text and any(output.glob("sequences/*/[!.]*")):
        raise UserError(f"{output} holds clips of other videos or settings: choose another output=..., or delete it")
    size = sum(int(np.prod(by_name[c.excerpt.video].shape[1:])) * len(c.excerpt.numbers) for c in chosen)
    disk.require(output, size, "what is to be written, uncompressed,")
    make_folder(output, "output")
    write_text(place, text)
    for _ in parallel_map(partial(_write_clip, output, by_name), list(chosen), processes, "clips"):
        pass
    for name, val_split in zip(LISTS[len(chosen[0].excerpt.numbers)], (False, True), strict=True):
        write_text(output / name, "".join(f"{c.clip}\n" for c in chosen if c.val_split == val_split))
    sheet = contact_sheet([_for_sheet(c, by_name[c.excerpt.video]) for c in evenly_spaced(chosen, MAX_CLIPS)])
    write_bytes(output / "contact_sheet.png", encode_image(sheet, ".png"))


def print_results(results: Sequence[MiningResult]) -> None:
    """Tables of what was found, and of how much the excerpts move."""
    console = Console()
    total = Table(title="what the videos give")
    for name in ("videos", "frames", "uneven triplets", "excerpts", "too slow", "too fast", "taken"):
        total.add_column(name, justify="right")
    taken = [excerpt for result in results for excerpt in result.excerpts]
    sums = [
        sum(getattr(result, key) for result in results) for key in ("frames", "uneven", "candidates", "slow", "fast")
    ]
    total.add_row(*(f"{number:,}" for number in (len(results), *sums, len(taken))))
    console.print(total)
    if taken:
        motion = Table(title="motion from end to end, pixels, over the clips")
        for name in ("of", "5 %", "median", "95 %", "most"):
            motion.add_column(name, justify="right" if name != "of" else "left")
        for label, key in (("the fastest 5 %", "motion"), ("the image", "mean_motion")):
            values = np.percentile([getattr(excerpt, key) for excerpt in taken], (5, 50, 95, 100))
            motion.add_row(label, *(f"{value:.1f}" for value in values))
        console.print(motion)


def _write_clip(output: Path, videos_by_name: dict[str, Frames], chosen: ChosenClip) -> None:
    folder = output / "sequences" / chosen.clip
    if folder.is_dir():
        return
    with atomic_folder(folder) as partial_folder:
        for i, number in enumerate(chosen.excerpt.numbers):
            image = videos_by_name[chosen.excerpt.video][number]
            (partial_folder / f"im{i + 1}.png").write_bytes(encode_image(image, ".png"))


def _for_sheet(chosen: ChosenClip, frames: Frames) -> tuple[str, Any, Any, Any]:
    numbers = chosen.excerpt.numbers
    caption = f"{chosen.clip} {chosen.excerpt.motion:.1f} px"
    return caption, frames[numbers[0]], frames[numbers[len(numbers) // 2]], frames[numbers[-1]]
