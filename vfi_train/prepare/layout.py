"""`task=layout`: the folders that a dataset reads, out of what is published: videos decoded, objects chosen.

X-TRAIN, Adobe240 and Xiph are published as videos; CO3D as categories of objects with hundreds of images each.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from datamodules.file_dataset import evenly_spaced
from datamodules.storage.atomic_write import atomic_folder
from datamodules.storage.clips import ClipPath
from datamodules.storage.file_endings import VIDEOS
from datamodules.storage.image_io import encode_image, list_images, natural_key
from datamodules.xiph import CLIPS
from vfi_train.errors import DataError, UserError, make_folder
from vfi_train.prepare import disk
from vfi_train.prepare.workers import parallel_map
from vfi_train.ranges import Positive


@dataclass(frozen=True)
class Decoding:
    """How the videos of a dataset become folders.

    Args:
        name: the format of an image's name, by its number.
        first: the number of the first.
        frames: how many are used of each video; None: all.
        folder_of: the folder of a video, by its path below the root; None: it is none of the dataset's.
    """

    name: str
    first: int = 0
    frames: int | None = None
    folder_of: Callable[[Path], Path | None] = lambda path: path.with_suffix("")


def _xiph_clip(path: Path) -> Path | None:
    """Netflix_Tango_4096x2160_60fps_10bit_420.y4m is Tango."""
    return next((Path(clip) for clip in CLIPS if clip in re.split(r"[_.]", path.name)), None)


DECODINGS = {
    "x4k1000fps": Decoding("{:04d}.png"),
    "adobe240": Decoding("{:05d}.png"),
    "xiph": Decoding("{:03d}.png", 1, 100, _xiph_clip),
}


def make_layout(
    name: str,
    root: Path,
    output: Path,
    processes: int | None,
    objects: Positive = 88,
    images: Positive = 202,
    test_every: Positive = 10,
) -> None:
    """Write the folders that `data=NAME` reads; existing ones stay.

    Args:
        name: of the dataset.
        root: the folder with the videos, or CO3D's with CATEGORY/OBJECT/images.
        output: the dataset's folder.
        processes: see `parallel_map`.
        objects, images: of CO3D: how many objects with how many images each (published: 88 of 202; which ones is not
            stated: here they are evenly spaced in the order of their names).
        test_every: of CO3D: every so many-th object is for validation (not stated either).

    Raises:
        UserError: the dataset is published in its layout, or the disk has no room.
        DataError: nothing fitting is in `root`, or a video is damaged.
    """
    if name not in (*DECODINGS, "co3d"):
        raise UserError(f"task=layout: data={name} is published as it is read; {', '.join(DECODINGS)} and co3d are not")
    if not root.is_dir():
        raise DataError(f"there is no folder data.root={root}: give the one that holds what is published")
    if name == "co3d":
        choose_objects(root, output, objects, images, test_every)
        return
    decoding = DECODINGS[name]
    jobs = [
        (root / path, output / folder) for path, folder in _videos(root, decoding) if not (output / folder).is_dir()
    ]
    sources = [ClipPath(path, path.name).open() for path, _ in jobs]
    for source in sources:
        source.close()
    counts = [min(s.clip.count, decoding.frames or s.clip.count) for s in sources]
    needed = sum(n * s.clip.height * s.clip.width * 3 for n, s in zip(counts, sources, strict=True))
    disk.require(output, needed, "the images, uncompressed,")
    make_folder(output, "output")
    problems = []
    for (path, _), (count, found) in parallel_map(partial(decode, decoding), jobs, processes, "videos"):
        problems += found
        if decoding.frames and count < decoding.frames:
            problems.append(f"{path} has {count} frames of {decoding.frames}")
    print(f"{len(jobs):,} videos are decoded in {output}")
    if problems:
        raise DataError(f"{len(problems)} videos are damaged, the first: {problems[0]}; fetch them again")


def decode(decoding: Decoding, job: tuple[Path, Path]) -> tuple[int, list[str]]:
    """Decode a video to a folder; the number of images, and what could not be read."""
    path, folder = job
    source = ClipPath(path, path.name).open()
    count = 0
    with atomic_folder(folder) as partial_folder:
        for frame in source.frames():
            image = encode_image(frame.image, ".png")
            (partial_folder / decoding.name.format(decoding.first + count)).write_bytes(image)
            count += 1
            if count == decoding.frames:
                break
    source.close()
    return count, source.problems


def choose_objects(root: Path, output: Path, objects: int, images: int, test_every: int) -> None:
    """Objects with that many images, evenly spaced by category and name, as `train/OBJECT/images`, `test/...`.

    Raises:
        DataError: there are fewer.
    """
    folders = sorted(root.glob("*/*/images"), key=lambda folder: natural_key(str(folder)))
    fitting = [folder for folder in folders if len(list_images(folder)) == images]
    if len(fitting) < objects:
        raise DataError(
            f"data.root={root} has {len(fitting)} objects CATEGORY/OBJECT/images with {images} images, not {objects}: "
            "fetch more categories, or give layout.objects=N, layout.images=N"
        )
    make_folder(output, "output")
    for number, folder in enumerate(evenly_spaced(fitting, objects), start=1):
        place = output / ("train" if number % test_every else "test") / folder.parent.name / "images"
        if not place.is_dir():
            with atomic_folder(place) as partial_folder:
                for path in list_images(folder):
                    _link(path, partial_folder / path.name)
    print(f"{objects} of {len(fitting)} objects with {images} images are in {output}")


def _videos(root: Path, decoding: Decoding) -> Iterator[tuple[Path, Path]]:
    """Videos below the root, and their folders, both relative."""
    found = sorted(p.relative_to(root) for p in root.rglob("*") if p.suffix.lower() in VIDEOS and p.is_file())
    known = [(path, folder) for path in found if (folder := decoding.folder_of(path)) is not None]
    if not known:
        raise DataError(f"data.root={root} holds none of the dataset's videos: give the folder that holds them")
    yield from known


def _link(source: Path, target: Path) -> None:
    """A hard link where the file system has them, else a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
