"""Decoded frames on disk, one memory-mapped array per clip: a crop reads only its rows, decoding happens once."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.storage import scene_cuts
from datamodules.storage.atomic_write import atomic_folder, remove_abandoned
from datamodules.storage.clips import ClipPath, FrameSource, scaled_size
from datamodules.storage.disk import free_bytes
from vfi_train.errors import DataError, is_disk_full, make_folder

FORMAT = 4  # of the files; part of the key
GIB = 2**30


class FrameCache:
    """The decoded clips in a folder.

    Args:
        folder: where they are kept; null: the user's cache folder.
        max_side: frames are scaled down to this many pixels in the longer side.
    """

    def __init__(self, folder: str | Path | None = None, max_side: int | None = None) -> None:
        self.folder = default_folder() if folder is None else Path(folder).expanduser()
        self.max_side = max_side
        self._left_out: set[str] = set()  # what was said

    def check(self, clips: list[ClipPath], skip: bool = False) -> None:
        """Raise a DataError where the disk cannot hold all new clips, or, without `skip`, one cannot be opened."""
        needed = 0
        for clip in clips:
            if not self.place(clip).is_dir():
                source = self._opened(clip, skip)
                if source is None:
                    continue
                source.close()
                height, width = scaled_size(source.clip.height, source.clip.width, self.max_side)
                needed += source.clip.count * height * width * 3
        free = free_bytes(self.folder)
        if needed > free:
            raise DataError(
                f"the decoded frames of data.root take {needed / GIB:.1f} GiB, but data.cache_dir={self.folder} has "
                f"{free / GIB:.1f} GiB free: scale frames down (data.max_side), or choose another data.cache_dir"
            )

    def place(self, clip: ClipPath) -> Path:
        """The folder of a clip, decoded or not."""
        key = hashlib.sha256(f"{clip.identity()} {self.max_side} {FORMAT}".encode()).hexdigest()[:16]
        return self.folder / f"{re.sub(r'[^A-Za-z0-9]+', '-', clip.name)[-40:]}-{key}"

    def fill(self, clips: list[ClipPath], skip: bool = False) -> None:
        """Decode the clips that are new, and say what is left out: interlaced ones, and with `skip` broken ones.

        Raises:
            DataError: without `skip`: a clip cannot be opened, or holds fewer than two frames.
        """
        make_folder(self.folder, "data.cache_dir")
        remove_abandoned(self.folder)
        for clip in clips:
            place = self.place(clip)
            if not place.is_dir():
                try:
                    self._decode(clip, place, self._opened(clip, skip))
                except DataError as error:
                    if not skip:
                        raise
                    self._leave_out(str(error))

    def decoded(self, clips: list[ClipPath]) -> list[Frames]:
        """The clips that `fill` has not left out."""
        return [self.open(clip) for clip in clips if self.place(clip).is_dir()]

    def open(self, clip: ClipPath) -> Frames:
        """The frames of a clip that `fill` has decoded."""
        return Frames(self.place(clip), clip.name)

    def _decode(self, clip: ClipPath, place: Path, source: FrameSource | None) -> None:
        if source is None:
            return
        if source.clip.interlaced:
            source.close()
            self._leave_out(
                f"{source.clip.name} is interlaced: data.deinterlace=bwdif makes a frame of each field, "
                "data.deinterlace=copy takes its frames as they are"
            )
            return
        try:
            with atomic_folder(place, shared=True) as partial:
                shape = _write(clip, source, self.max_side, partial)
        except OSError as error:
            if not is_disk_full(error):
                raise
            raise DataError(
                f"the disk of data.cache_dir={self.folder} filled up while {clip.name} was decoded: scale frames "
                "down (data.max_side), or choose another data.cache_dir"
            ) from error
        for line in source.problems:
            print(line, flush=True)
        print(f"decoded {clip.name}: {shape[0]:,} frames of {shape[1]}x{shape[2]} in {place}", flush=True)

    def _opened(self, clip: ClipPath, skip: bool) -> FrameSource | None:
        """The frames of a clip; None: it cannot be opened."""
        try:
            return clip.open()
        except DataError as error:
            if not skip:
                raise DataError(f"{error}, or data.on_error=skip leaves it out") from error
            self._leave_out(str(error))
            return None

    def _leave_out(self, reason: str) -> None:
        if reason not in self._left_out:
            self._left_out.add(reason)
            print(f"left out: {reason}", flush=True)


class Frames:
    """The frames of a clip: `frames[i]` is H W 3, uint8, RGB, and reads from disk only what is used of it.

    Attributes:
        times: N, seconds; `tick`, seconds: they may be rounded to multiples of it.
        small: N 36 64, uint8: the frames, small and grey.
        unexplained: N, the change since the frame before that motion does not explain (see `scene_cuts`); infinite
            where frames of another size between them were left out.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        index = json.loads((folder / "index.json").read_text())
        self.shape: tuple[int, int, int, int] = tuple(index["shape"])
        self.tick: float = index["tick"]
        self.times: NDArray[np.float64] = np.load(folder / "times.npy")
        self.small, self.unexplained = np.load(folder / "small.npy"), np.load(folder / "unexplained.npy")
        if (folder / "frames.u8").stat().st_size != np.prod(self.shape):
            raise DataError(f"{folder} is broken: delete it, and it will be decoded again")
        self._map: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        if self._map is None:
            self._map = np.memmap(self.folder / "frames.u8", np.uint8, "r", shape=self.shape)
        return self._map[index]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_map": None}  # each process maps the file itself


def default_folder() -> Path:
    """The user's cache folder for decoded videos."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vfi_train" / "video"


def _write(clip: ClipPath, source: FrameSource, max_side: int | None, folder: Path) -> tuple[int, ...]:
    """Write the files of a clip; returns the shape N H W 3 of all its frames."""
    smalls: list[scene_cuts.Small] = []
    unexplained, times = [0.0], []
    with (folder / "frames.u8").open("wb") as file:
        for frame in clip.frames(max_side, source):
            image = frame.image
            times.append(float(frame.time))
            file.write(image.tobytes())
            smalls.append(scene_cuts.small(image))
            if len(smalls) > 1:
                unexplained.append(scene_cuts.unexplained(smalls[-2], smalls[-1]) if frame.follows else np.inf)
    shape = (len(smalls), *image.shape)
    np.save(folder / "small.npy", np.stack(smalls))
    np.save(folder / "unexplained.npy", np.array(unexplained, np.float32))
    np.save(folder / "times.npy", np.array(times, np.float64))
    index = {"source": str(clip.path), "shape": shape, "tick": float(source.clip.tick)}
    (folder / "index.json").write_text(json.dumps(index))
    return shape
