"""`task=triplets`: clips out of one's own videos, in the layout of Vimeo90K."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from datamodules.storage.frame_cache import Frames
from datamodules.video import Video
from vfi_train.errors import UserError
from vfi_train.prepare import disk
from vfi_train.prepare.contact_sheet import MOST, contact_sheet
from vfi_train.prepare.dataset import dataset, name_of, output_folder
from vfi_train.prepare.mining import Excerpt, Found, mine
from vfi_train.prepare.workers import parallel_map

LISTS = {3: ("tri_trainlist.txt", "tri_testlist.txt"), 7: ("sep_trainlist.txt", "sep_testlist.txt")}
DATASETS = {3: "vimeo90k", 7: "vimeo_septuplet"}
NOTE = "triplets.json"


@dataclass(frozen=True)
class Chosen:
    """A clip to be written: its name in the lists, its frames, and whether it is held out."""

    clip: str
    excerpt: Excerpt
    val_split: bool


def triplets(config: DictConfig) -> None:
    """Mine `config.data`, videos, for clips and write them to `config.output`; see conf/prepare.yaml.

    Raises:
        UserError: the dataset is not of videos, a setting does not suit, or no clip is left.
        DataError: a video cannot be read.
    """
    settings = config.triplets
    if settings.frames not in LISTS:
        raise UserError(f"triplets.frames={settings.frames} is neither 3 nor 7")
    data = dataset(config)
    if not isinstance(data, Video):
        raise UserError(f"task=triplets works on videos: give data=video data.root=FOLDER, not data={name_of(data)}")
    output = output_folder(config)
    data.check()
    videos = data.decoded()
    motion = (float(settings.least_motion), float(settings.most_motion))
    rules = {
        "count": settings.frames,
        "gap": data.gap,
        "cut": data.cut_threshold,
        "still": data.static_threshold,
        "motion": motion,
    }
    found = dict(parallel_map(partial(mine, **rules, most=settings.per_video), videos, config.processes, "videos"))
    results = [found[video] for video in videos]
    show(results)
    chosen = choose(results, data.val_split)
    write(output, chosen, videos, {**rules, "per_video": settings.per_video}, config.processes)
    name = DATASETS[settings.frames]
    print(f"{len(chosen):,} clips and contact_sheet.png are in {output}: data={name} data.root={output} trains on them")


def choose(results: Sequence[Found], share: float) -> list[Chosen]:
    """Name the excerpts, and hold some out: those of whole videos, or the last ones of a single video.

    Raises:
        UserError: nothing is left to train on, or to hold out.
    """
    used = [number for number, result in enumerate(results) if result.excerpts]
    if len(used) > 1:
        count = max(1, round(share * len(used)))
        apart = {used[i] for i in np.linspace(0, len(used) - 1, count + 2).round().astype(int)[1:-1]}
        first_held_out = {number: 0 if number in apart else len(results[number].excerpts) for number in used}
    else:
        first_held_out = {n: len(results[n].excerpts) - max(1, round(share * len(results[n].excerpts))) for n in used}
    chosen = [
        Chosen(f"{number + 1:05d}/{i + 1:04d}", excerpt, i >= first_held_out[number])
        for number in used
        for i, excerpt in enumerate(results[number].excerpts)
    ]
    val_split = sum(one.val_split for one in chosen)
    if not 0 < val_split < len(chosen):
        raise UserError(
            f"{len(chosen) - val_split} clips are left to train on and {val_split} to hold out: give more footage, or "
            "other data.gap, data.cut_threshold, data.static_threshold, triplets.least_motion, triplets.most_motion"
        )
    return chosen


def write(
    output: Path, chosen: Sequence[Chosen], videos: Sequence[Frames], rules: dict[str, Any], processes: int | None
) -> None:
    """Write clips, lists, motion statistics and the contact sheet; clips that are there stay.

    Raises:
        UserError: clips of other videos or settings are there, or the disk has no room.
    """
    by_name = {video.name: video for video in videos}
    note = {"rules": rules, "clips": [{"clip": c.clip, "val_split": c.val_split, **asdict(c.excerpt)} for c in chosen]}
    text = json.dumps(note, indent=1) + "\n"
    place = output / NOTE
    if place.is_file() and place.read_text() != text:
        raise UserError(f"{output} holds clips of other videos or settings: choose another output=..., or delete it")
    size = sum(int(np.prod(by_name[c.excerpt.video].shape[1:])) * len(c.excerpt.numbers) for c in chosen)
    disk.require(output, size, "what is to be written, uncompressed,")
    with disk.told_when_full(output):
        output.mkdir(parents=True, exist_ok=True)
        _write_text(place, text)
        for _ in parallel_map(partial(_write_clip, output, by_name), list(chosen), processes, "clips"):
            pass
        for name, val_split in zip(LISTS[len(chosen[0].excerpt.numbers)], (False, True), strict=True):
            _write_text(output / name, "".join(f"{c.clip}\n" for c in chosen if c.val_split == val_split))
        shown = [chosen[i] for i in np.unique(np.linspace(0, len(chosen) - 1, MOST).round().astype(int))]
        sheet = contact_sheet([_on_sheet(c, by_name[c.excerpt.video]) for c in shown])
        _write_image(output / "contact_sheet.png", sheet)


def show(results: Sequence[Found]) -> None:
    """Tables of what was found, and of how much the excerpts move."""
    console = Console()
    total = Table(title="what the videos give")
    names = ("videos", "frames", "excerpts", "too slow", "too fast", "taken")
    for name in names:
        total.add_column(name, justify="right")
    taken = [excerpt for result in results for excerpt in result.excerpts]
    sums = [sum(getattr(result, key) for result in results) for key in ("frames", "candidates", "slow", "fast")]
    total.add_row(*(f"{number:,}" for number in (len(results), *sums, len(taken))))
    console.print(total)
    if taken:
        motion = Table(title="motion from end to end, pixels, over the clips")
        for name in ("of", "5 %", "median", "95 %", "most"):
            motion.add_column(name, justify="right" if name != "of" else "left")
        for label, key in (("the fastest 5 %", "motion"), ("the whole image", "mean_motion")):
            values = np.percentile([getattr(excerpt, key) for excerpt in taken], (5, 50, 95, 100))
            motion.add_row(label, *(f"{value:.1f}" for value in values))
        console.print(motion)


def _write_clip(output: Path, videos: dict[str, Frames], chosen: Chosen) -> None:
    """A clip's folder appears when it is whole."""
    folder = output / "sequences" / chosen.clip
    if folder.is_dir():
        return
    partial_folder = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(partial_folder, ignore_errors=True)
    partial_folder.mkdir(parents=True)
    for i, number in enumerate(chosen.excerpt.numbers):
        _write_image(partial_folder / f"im{i + 1}.png", videos[chosen.excerpt.video][number])
    partial_folder.rename(folder)


def _on_sheet(chosen: Chosen, frames: Frames) -> tuple[str, Any, Any, Any]:
    numbers = chosen.excerpt.numbers
    caption = f"{chosen.clip} {chosen.excerpt.motion:.1f} px"
    return caption, frames[numbers[0]], frames[numbers[len(numbers) // 2]], frames[numbers[-1]]


def _write_image(path: Path, image: NDArray[np.uint8]) -> None:
    whole, content = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    assert whole
    path.write_bytes(content.tobytes())


def _write_text(path: Path, text: str) -> None:
    partial_file = path.with_name(f".{path.name}.part")
    partial_file.write_text(text)
    partial_file.replace(path)
