"""Decoded frames on disk, as one memory-mapped array per clip: a crop reads its own rows, and nothing is decoded
twice.

A clip's folder appears under its name when it is whole: it is written beside, and renamed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import socket
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.storage import scene_cuts as cuts
from datamodules.storage.videos import Clip, scaled
from vfi_train.errors import DataError, make_folder

FORMAT = 1  # of the files; part of the key
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

    def check(self, clips: list[Clip]) -> None:
        """Raise a DataError where a clip cannot be opened, or the disk would not hold all that are new."""
        needed = 0
        for clip in clips:
            if not self.place(clip).is_dir():
                frames, height, width = clip.size()
                height, width = scaled(height, width, self.max_side)
                needed += frames * height * width * 3
        free = shutil.disk_usage(_existing(self.folder)).free
        if needed > free:
            raise DataError(
                f"the decoded frames of data.root take {needed / GIB:.1f} GiB, but data.cache_dir={self.folder} has "
                f"{free / GIB:.1f} GiB free: scale frames down (data.max_side), or choose another data.cache_dir"
            )

    def place(self, clip: Clip) -> Path:
        """The folder that a clip has, or will have."""
        key = hashlib.sha256(f"{clip.identity()} {self.max_side} {FORMAT}".encode()).hexdigest()[:16]
        return self.folder / f"{re.sub(r'[^A-Za-z0-9]+', '-', clip.name)[-40:]}-{key}"

    def fill(self, clips: list[Clip]) -> None:
        """Decode the clips that are new, and clear away what killed runs have left."""
        make_folder(self.folder, "data.cache_dir")
        for partial in self.folder.glob(f"*.{socket.gethostname()}-*.partial"):
            if not _alive(int(partial.name.rsplit(".", 2)[1].rsplit("-", 1)[1])):
                shutil.rmtree(partial, ignore_errors=True)
        for clip in clips:
            place = self.place(clip)
            if not place.is_dir():
                self._decode(clip, place)

    def open(self, clip: Clip) -> Frames:
        """The frames of a clip that `fill` has decoded."""
        return Frames(self.place(clip), clip.name)

    def _decode(self, clip: Clip, place: Path) -> None:
        partial = place.with_name(f"{place.name}.{socket.gethostname()}-{os.getpid()}.partial")
        partial.mkdir()
        try:
            shape = _write(clip, self.max_side, partial)
            print(f"decoded {clip.name}: {shape[0]:,} frames of {shape[1]}x{shape[2]} in {place}", flush=True)
            partial.rename(place)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise DataError(
                    f"the disk of data.cache_dir={self.folder} filled up while {clip.name} was decoded: scale "
                    "frames down (data.max_side), or choose another data.cache_dir"
                ) from error
            if not place.is_dir():  # else another process was faster
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)


class Frames:
    """The frames of a clip: `frames[i]` is H W 3, uint8, RGB, and reads from disk what is taken of it.

    Attributes:
        small: N 36 64, uint8: the frames, small and grey.
        unexplained: N, the change since the frame before that motion does not explain (see `cuts`).
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.shape: tuple[int, int, int, int] = tuple(json.loads((folder / "index.json").read_text())["shape"])
        self.small, self.unexplained = np.load(folder / "small.npy"), np.load(folder / "unexplained.npy")
        if (folder / "frames.u8").stat().st_size != np.prod(self.shape):
            raise DataError(f"{folder} is broken: delete it, and it will be decoded anew")
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


def _write(clip: Clip, max_side: int | None, folder: Path) -> tuple[int, ...]:
    """Write the files of a clip; the shape of all its frames."""
    smalls: list[cuts.Small] = []
    unexplained, shape = [0.0], None
    with (folder / "frames.u8").open("wb") as file:
        for frame in clip.frames(max_side):
            shape = shape or frame.shape
            if frame.shape != shape:
                raise DataError(f"{clip.path} changes its size after {len(smalls)} frames: split it there")
            file.write(frame.tobytes())
            smalls.append(cuts.small(frame))
            if len(smalls) > 1:
                unexplained.append(cuts.unexplained(smalls[-2], smalls[-1]))
    if shape is None or len(smalls) < 2:
        count = "only one frame" if smalls else "no frame"
        raise DataError(f"{clip.path} holds {count}, which is no video: take it out of data.root")
    np.save(folder / "small.npy", np.stack(smalls))
    np.save(folder / "unexplained.npy", np.array(unexplained, np.float32))
    (folder / "index.json").write_text(json.dumps({"source": str(clip.path), "shape": (len(smalls), *shape)}))
    return (len(smalls), *shape)


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
