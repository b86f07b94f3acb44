"""GoPro's 240 fps videos as training material for eight times the frame rate (Nah et al., CVPR 2017).

A video's frames fall into groups of nine; neighbouring groups share a frame. A group's ends are the inputs, the
seven frames between them the targets at the times 1/8 to 7/8. A training item is a whole group in IFRNet
(CVPR 2022) and one moment of a group in AMT (CVPR 2023); both use the same lists of videos.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

GROUP = 9  # frames, both ends included

TRAIN_VIDEOS = (
    *("GOPR0372_07_00", "GOPR0372_07_01", "GOPR0374_11_00", "GOPR0374_11_01", "GOPR0374_11_02", "GOPR0374_11_03"),
    *("GOPR0378_13_00", "GOPR0379_11_00", "GOPR0380_11_00", "GOPR0384_11_01", "GOPR0384_11_02", "GOPR0384_11_03"),
    *("GOPR0384_11_04", "GOPR0385_11_00", "GOPR0386_11_00", "GOPR0477_11_00", "GOPR0857_11_00", "GOPR0868_11_01"),
    *("GOPR0868_11_02", "GOPR0871_11_01", "GOPR0881_11_00", "GOPR0884_11_00"),
)
TEST_VIDEOS = (
    *("GOPR0384_11_00", "GOPR0384_11_05", "GOPR0385_11_01", "GOPR0396_11_00", "GOPR0410_11_00", "GOPR0854_11_00"),
    *("GOPR0862_11_00", "GOPR0868_11_00", "GOPR0869_11_00", "GOPR0871_11_00", "GOPR0881_11_01"),
)


@dataclass(frozen=True)
class Moment:
    """One target between two inputs: positions in the video's frames sorted by name, and the time, 0..1."""

    frame0: int
    target: int
    frame1: int
    time: float


def groups(frames: int, size: int = GROUP) -> list[range]:
    """The groups of a video of so many frames: positions 0 to 8, 8 to 16, ...; what is left over is left out.

    A video shorter than a group has none.

    Raises:
        ValueError: a group of fewer than three frames, which has no target.
    """
    if size < 3:
        raise ValueError(f"a group is two inputs and the targets between them, 3 frames or more; got size={size}")
    return [range(start, start + size) for start in range(0, frames - size + 1, size - 1)]


def moments(group: Sequence[int]) -> list[Moment]:
    """Every target of a group, in the group's order: IFRNet's training item.

    Times are measured from the first frame given, so `moments(group[::-1])` is the group played backwards: its
    k-th target has the time k/8 again.
    """
    frame0, *targets, frame1 = group
    return [Moment(frame0, target, frame1, k / (len(group) - 1)) for k, target in enumerate(targets, start=1)]


def video_moments(frames: int, size: int = GROUP) -> list[Moment]:
    """Every target of every group of a video: the items of AMT's training, 7 x group + (target - 1)."""
    return [moment for group in groups(frames, size) for moment in moments(group)]
