"""The augmentation of every published recipe: the lists of conf/data, and each step against goldens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hydra import compose, initialize_config_module
from hydra.utils import instantiate

import conf
from datamodules.core.datamodule import VFIDataModule
from datamodules.transforms import RandomTurn, Resize, turn
from tests.helpers.golden_cases import load
from tests.helpers.scenes import scene, warp_errors

# What the papers' code does, in its order: (step, probability, its number).
IFRNET = [
    *(("RandomResize", 0.1, 2), ("RandomCrop", 1, 224), ("ReverseChannels", 0.5, None), ("VerticalFlip", 0.3, None)),
    *(("HorizontalFlip", 0.5, None), ("Transpose", 0.05, None), ("ReverseTime", 0.5, None)),
]
RIFE = [
    *(("RandomCrop", 1, 224), ("ReverseChannels", 0.5, None), ("VerticalFlip", 0.5, None)),
    *(("HorizontalFlip", 0.5, None), ("ReverseTime", 0.5, None), ("RandomTurn", 1, None)),
]
EMA_VFI = [
    *(("RandomCrop", 1, 256), ("ReverseChannels", 0.5, None), ("ReverseTime", 0.5, None)),
    *(("VerticalFlip", 0.5, None), ("HorizontalFlip", 0.5, None), ("RandomTurn", 1, None)),
]
ATM_VFI = [
    *(("RandomCrop", 1, 256), ("ReverseTime", 0.5, None), ("VerticalFlip", 0.5, None)),
    *(("HorizontalFlip", 0.5, None), ("RandomTurn", 1, None)),
]
EBME = [
    *(("RandomCrop", 1, 256), ("ReverseChannels", 0.5, None), ("VerticalFlip", 0.5, None)),
    *(("HorizontalFlip", 0.5, None), ("RandomTurn", 0.5, None), ("ReverseTime", 0.5, None)),
]


def without_time(steps: list[tuple]) -> list[tuple]:
    """Septuplets are reversed when they are drawn, because another distance map is read."""
    return [step for step in steps if step[0] != "ReverseTime"]


RECIPES: dict[str, tuple[list[tuple], int]] = {  # steps, global batch
    "vimeo90k": (IFRNET, 24),
    "vimeo90k_amt": (IFRNET, 24),
    "vimeo90k_rife": (RIFE, 64),
    "vimeo90k_ema_vfi": (EMA_VFI, 32),
    "vimeo90k_atm_vfi": (ATM_VFI, 24),
    "vimeo90k_ebme": (EBME, 32),
    "vimeo_septuplet": (without_time(RIFE), 64),
    "vimeo_septuplet_amt": (without_time(IFRNET), 24),
    "vimeo_septuplet_ema_vfi": (without_time(EMA_VFI), 32),
    "x4k1000fps_atm_vfi": (
        [("ReverseTime", 0.5, None), ("RandomCrop", 1, 448), ("HorizontalFlip", 0.5, None), ("RandomTurn", 1, None)],
        8,
    ),
    "gopro": (IFRNET, 24),
    "gopro_ifrnet": (IFRNET, 8),
    "co3d": ([("Resize", 1, 384), *[step for step in EMA_VFI if step[0] != "RandomCrop"]], 18),
}


def instance(name: str, *overrides: str) -> Any:
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("train", overrides=[f"data={name}", *overrides]).data
    return instantiate(config, _convert_="all")


@pytest.mark.parametrize("name", RECIPES)
def test_the_configured_augmentation_is_the_published_one(name: str) -> None:
    steps, batch_size = RECIPES[name]
    module = instance(name)
    assert isinstance(module, VFIDataModule)
    assert module.batch_size == batch_size
    got = [
        (type(t).__name__, t.probability, getattr(t, "factor", getattr(t, "height", None)))
        for t in module.transforms.transforms
    ]
    assert got == steps


def test_every_data_config_makes_a_datamodule() -> None:
    names = sorted(path.stem for path in (Path(conf.__file__).parent / "data").glob("*.yaml") if path.stem != "base")
    assert len(names) >= 24
    for name in names:
        assert isinstance(instance(name), VFIDataModule), name


def test_published_faults_are_off_unless_asked_for() -> None:
    assert instance("gopro").transforms.transforms[-1].always_turn_time is False
    assert instance("x4k1000fps").gaps == list(range(2, 33, 2))
    assert instance("x4k1000fps_atm_vfi").gaps == list(range(2, 33))
    assert instance("co3d").drop_last_exact is False


def test_quarter_turns_equal_the_published_ones() -> None:
    golden = load("functions_ATM-VFI", "augmentation").arrays
    image = np.arange(18, dtype=np.float32).reshape(2, 3, 3)
    for quarters, name in ((1, "counterclockwise"), (2, "r180"), (3, "clockwise")):
        sample = {"frame0": image, "time": 0.5, "key": "golden"}
        np.testing.assert_array_equal(turn(sample, quarters)["frame0"], golden[name])
    for quarters in range(4):
        frames = {"frame0": image, "target": image + 20, "frame1": image + 40}
        got = turn({**frames, "time": 0.5, "key": "golden"}, quarters)
        stack = np.stack([got[name] for name in ("frame0", "target", "frame1")])
        np.testing.assert_array_equal(stack, golden[f"x4k_rot{quarters}"])


def test_a_random_turn_takes_each_as_often() -> None:
    rng = np.random.default_rng(0)
    corners = np.arange(4, dtype=np.uint8).reshape(2, 2, 1)
    first = [int(RandomTurn()({"frame0": corners, "key": "k"}, rng)["frame0"][0, 0, 0]) for _ in range(2000)]
    assert all(abs(first.count(corner) - 500) < 4 * (2000 * 0.25 * 0.75) ** 0.5 for corner in range(4))


@pytest.mark.parametrize("quarters", range(4))
def test_flow_turns_with_the_images(quarters: int) -> None:
    sample = scene()
    got, expected = warp_errors(turn(sample, quarters)), np.rot90(warp_errors(sample), quarters, axes=(1, 2))
    np.testing.assert_allclose(got, expected, atol=1e-9)


def test_a_turn_and_its_opposite_are_the_identity() -> None:
    sample = {**scene(), "time": np.random.default_rng(0).random((24, 32)).astype(np.float32)}
    for quarters in range(4):
        back = turn(turn(sample, quarters), -quarters)
        for name in ("frame0", "target", "frame1", "flow", "time"):
            np.testing.assert_array_equal(back[name], sample[name])


def test_resizing_is_opencvs_and_scales_the_flow_by_each_side() -> None:
    sample = scene()
    got = Resize((12, 96))(sample, np.random.default_rng(0))
    np.testing.assert_array_equal(got["frame0"], cv2.resize(sample["frame0"], (96, 12)))
    constant = {**sample, "flow": np.full((24, 32, 4), (1, 2, 3, 4), np.float32)}
    flow = Resize((12, 96))(constant, np.random.default_rng(0))["flow"]
    np.testing.assert_allclose(flow[5, 50], (3, 1, 9, 2))
    with pytest.raises(ValueError, match=r"Resize takes the method bilinear or area; got cubic"):
        Resize(8, "cubic")
