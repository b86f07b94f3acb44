"""Objects with masks and curves, as files on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from benchmarks.manipulation import BLUE, MOVING, RED, STILL, WAYS, scene, travelled
from datamodules.storage.image_io import read_image
from datamodules.synthetic import to_uint8
from vfi_train.errors import UserError
from vfi_train.inference.interpolator import Interpolator
from vfi_train.inference.manipulation import compose, manipulate, timing
from vfi_train.interpolate.command import interpolate_with

TINY = {"model": "ifrnet_tiny", "weights": "ifrnet_tiny_synthetic", "device": "cpu", "backend": "torch"}
MAPS = {**TINY, "weights": "ifrnet_tiny_d_synthetic"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Two images with a red and a blue disc, and a mask for each: its half of the image."""
    for name, time in (("first.png", 0.0), ("last.png", 1.0)):
        cv2.imwrite(str(tmp_path / name), cv2.cvtColor(to_uint8(scene().render(time)), cv2.COLOR_RGB2BGR))
    height, width = read_image(tmp_path / "first.png").shape[:2]
    for name, half in (("left.png", slice(0, width // 2)), ("right.png", slice(width // 2, width))):
        mask = np.zeros((height, width), np.uint8)
        mask[:, half] = 255
        cv2.imwrite(str(tmp_path / name), mask)
    return tmp_path


def moved(place: Path, settings: dict[str, Any], output: str = "out", **values: Any) -> list[np.ndarray]:
    given = {"input": [str(place / "first.png"), str(place / "last.png")], "output": str(place / output), **values}
    interpolate_with(**settings, **given, precision="fp32", tile=None)
    return [read_image(path) for path in sorted((place / output).iterdir())]


def masks(place: Path, *names: str) -> list[str]:
    return [str(place / f"{name}.png") for name in names]


@pytest.mark.parametrize(("settings", "make"), [(TINY, compose), (MAPS, manipulate)])
def test_files_give_what_the_library_gives(place: Path, settings: dict[str, Any], make: Any) -> None:
    curves = [[0, 1, 0], [0, 0.25, 1]]
    got = moved(place, settings, masks=masks(place, "left", "right"), curves=curves, factor=4)
    first, last = (read_image(place / f"{name}.png") for name in ("first", "last"))
    regions = [read_image(Path(path))[..., 0] > 127 for path in masks(place, "left", "right")]
    recursive = settings is TINY
    network = Interpolator(settings["model"], weights=settings["weights"], recursive=recursive, recursion_depth=5)
    wanted = make(network, first, last, regions, curves, 5)
    assert len(got) == len(wanted) == 5
    for one, other in zip(got, wanted, strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1


def test_a_resting_object_rests_and_the_other_moves(place: Path) -> None:
    """Measured by colour, in pixels along each disc's path."""
    curves = [list(STILL), list(MOVING)]
    clip = moved(place, MAPS, masks=masks(place, "left", "right"), curves=curves, factor=8)
    for channel, curve in ((RED, STILL), (BLUE, MOVING)):
        length = np.hypot(*WAYS[channel])
        along = length * np.array(travelled(clip, channel))[:, 0]
        assert np.abs(along - length * timing(curve, 9, 0.1, 0.9)).max() < 0.7


def test_without_curves_motion_is_even_and_the_rest_may_move(place: Path) -> None:
    everything = moved(place, TINY, "a", masks=masks(place, "left", "right"), factor=2)
    usual = moved(place, TINY, "b", factor=2)
    assert np.abs(everything[1].astype(int) - usual[1]).max() <= 1
    half = moved(place, TINY, "c", masks=masks(place, "left"), factor=2, rest="moves")
    assert np.abs(half[1].astype(int) - usual[1]).max() <= 1
    fixed = moved(place, TINY, "d", masks=masks(place, "left"), factor=2)
    assert np.array_equal(fixed[1][:, -8:], usual[0][:, -8:])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"masks": ["left"], "curves": [[0, 1], [0, 1]]}, "masks= names 1 objects and curves= 2 curves"),
        ({"masks": ["left"], "curves": [[0, 1.5]]}, r"curves=\[0, 1.5\] is no curve: give two heights or more from"),
        ({"masks": ["left"], "curves": [0]}, r"curves=\[0\] is no curve"),
        ({"masks": ["left"], "rest": "still"}, "rest=still is not one of fixed, moves"),
        ({"masks": ["small"]}, r"masks=.*small.png is 4x4 and the images are 64x\d+: give it their size|is 4x4 and"),
        ({"masks": ["black"]}, "black.png is black: paint white where the object is"),
        ({"masks": ["nothing"]}, "nothing.png"),
        ({"masks": ["left"], "insert": [1]}, "insert= does not go with masks="),
        ({"curves": [[0, 1]]}, "curves= is the timing of masks="),
        (
            {"masks": ["left"], "input": ["first", "last", "first"]},
            "masks= says where objects are",
        ),
    ],
)
def test_mistakes(place: Path, values: dict[str, Any], message: str) -> None:
    cv2.imwrite(str(place / "small.png"), np.full((4, 4), 255, np.uint8))
    cv2.imwrite(str(place / "black.png"), np.zeros(read_image(place / "first.png").shape, np.uint8))
    given = {key: masks(place, *value) if key in ("masks", "input") else value for key, value in values.items()}
    with pytest.raises(UserError, match=message):
        moved(place, TINY, **given)
