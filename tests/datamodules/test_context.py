"""The frames before and after the two: which they are in each dataset, and that they change with the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datamodules.co3d import CO3D
from datamodules.footage import Footage
from datamodules.scenes.style import SceneStyle
from datamodules.synthetic import Synthetic, to_uint8
from datamodules.transforms import (
    CenterCrop,
    Compose,
    HorizontalFlip,
    RandomCrop,
    RandomResize,
    RandomTurn,
    Resize,
    ReverseChannels,
    ReverseTime,
    Transpose,
    VerticalFlip,
)
from datamodules.video import Video
from tests.helpers.in_process import planned, train_tiny
from tests.helpers.layouts import data, fabricate, frame, joint_data, tiny_block, write
from vfi_train.errors import UserError
from vfi_train.training.build import build_data

FRAMES = ("before", "frame0", "target", "frame1", "after")
SIZE = (16, 80)


def numbers(sample: dict[str, Any], clip: int, count: int) -> tuple[int, ...]:
    """Which frames of a clip the sample holds, by their images."""
    known = {frame(clip, k, SIZE).tobytes(): k for k in range(count)}
    return tuple(known[np.ascontiguousarray(sample[name]).tobytes()] for name in FRAMES)


def with_context(name: str, folder: Path, clips: int | None = None, **options: Any) -> Any:
    root = fabricate(name, folder, size=SIZE, clips=clips)
    made = data(name, root, **{"transforms": [], "val_transforms": [], **options})
    made.give_context()
    return made


def moving(seed: int, count: int) -> list[np.ndarray]:
    """Frames of a scene in motion."""
    style = SceneStyle(height=48, width=80, background_motion=8, object_motion=10)
    scene = style.draw(np.random.default_rng(seed))
    return [to_uint8(scene.render(i / (count - 1))) for i in range(count)]


def footage(folder: Path, frames: list[np.ndarray]) -> Path:
    """A clip as numbered images."""
    for number, image in enumerate(frames):
        write(folder / "footage" / "clip" / f"{number:04d}.png", image)
    return folder / "footage"


def test_septuplets_have_one_triple_with_both_neighbours(tmp_path: Path) -> None:
    made = with_context("vimeo_septuplet", tmp_path)
    source, held_out = made.train_source(), made.val_source()
    drawn = {numbers(source.sample(0, np.random.default_rng(i)), 0, 7) for i in range(8)}
    assert drawn == {(0, 2, 3, 4, 6), (6, 4, 3, 2, 0)}
    assert len(held_out) == 1  # of each clip of the list
    sample = held_out.sample(0, None)
    assert sample["time"] == pytest.approx(0.5, abs=1e-5)
    assert not made.arbitrary_time


@pytest.mark.parametrize("item", ["moment", "group"])
def test_gopros_groups_have_the_next_groups_ends(item: str, tmp_path: Path) -> None:
    source = with_context("gopro", tmp_path, clips=3, item=item).train_source()
    found = []
    for group in range(3):  # of the first video, of 27 frames
        sample = source.sample(group if item == "group" else 7 * group, np.random.default_rng(0))
        found.append(numbers(sample[0] if item == "group" else sample, 0, 27))
    assert found == [(0, 0, 1, 8, 16), (0, 8, 9, 16, 24), (8, 16, 17, 24, 24)]  # at the ends the nearest again


def test_x_trains_gaps_leave_room_on_both_sides(tmp_path: Path) -> None:
    made = with_context("x4k1000fps", tmp_path, clips=1)
    source = made.train_source()
    gaps = set()
    for i in range(80):
        before, first, target, last, after = numbers(source.sample(0, np.random.default_rng(i)), 0, 65)
        gaps.add(last - first)
        assert first - before == after - last == last - first == 2 * (target - first)
    assert gaps == set(range(2, 22, 2))
    sample = made.val_source().sample(0, None)  # X-TEST ends at its inputs
    assert np.array_equal(sample["before"], sample["frame0"])
    assert np.array_equal(sample["after"], sample["frame1"])
    short = data("x4k1000fps", made.root, gap=[22, 32], transforms=[])
    short.give_context()
    with pytest.raises(UserError, match="need gaps up to 21 in clips of 65 frames; got 22 and more"):
        short.train_source()


@pytest.mark.parametrize("kind", [Video, Footage])
def test_a_videos_neighbours_end_at_cuts(kind: type, tmp_path: Path) -> None:
    frames = [*moving(0, 12), *moving(1, 12)]
    path = footage(tmp_path, frames)
    made = kind(root=str(path), cache_dir=str(tmp_path / "cache"), batch_size=1)
    made.give_context()
    known = {image.tobytes(): k for k, image in enumerate(frames)}
    sources = [made.val_source(), *([made.train_source()] if made.trains else [])]
    found = {}
    for sample in (source.sample(k, None) for source in sources for k in range(len(source))):
        before, first, _, last, after = (known[np.ascontiguousarray(sample[name]).tobytes()] for name in FRAMES)
        found[first] = (before, last, after)
    for first, around in found.items():
        start, end = first // 12 * 12, first // 12 * 12 + 12  # of its shot
        before, after = first - 2, first + 4
        assert around == (before if before >= start else first, first + 2, after if after < end else first + 2)
    assert len(found) >= 10
    assert {0, 8, 12, 20} & set(found)


def test_one_video_shares_no_frame_between_both_sets_with_neighbours_either(tmp_path: Path) -> None:
    path = footage(tmp_path, moving(0, 60))
    made = Video(root=str(path), cache_dir=str(tmp_path / "cache"), batch_size=1, val_split=0.25, static_threshold=0)
    made.give_context()
    train, held_out = (
        {n for _, t in source.triplets for n in (*t, *t.context(range(60)))}
        for source in (made.train_source(), made.val_source())
    )
    assert max(train) == min(held_out) - 1


def test_synthetic_motion_keeps_its_acceleration_beyond_both_ends() -> None:
    scene = SceneStyle(nonuniform=1.0, curved=False).draw(np.random.default_rng(3))
    for layer in scene.layers:
        places = np.array([layer.motion.at(time)[2::3] for time in (-1, 0, 1, 2)])
        np.testing.assert_allclose(np.diff(places, n=3, axis=0), 0, atol=1e-9)
        assert np.abs(np.diff(places, n=2, axis=0)).max() > 0.1


def test_batches_hold_neighbours_where_they_are_wanted_and_no_other_number_changes() -> None:
    plain, around = (Synthetic(size=32, batch_size=2, train_samples=2, val_samples=2) for _ in range(2))
    around.give_context()
    batches = []
    for made in (plain, around):
        made.setup()
        batches.append(made.on_after_batch_transfer(next(iter(made.train_dataloader()))))
    first, second = batches
    assert set(second) - set(first) == {"before", "after"}
    assert all((first[name] == second[name]).all() for name in ("frame0", "frame1", "target", "flow", "time"))
    assert second["before"].shape == (2, 3, 32, 32)
    assert (second["before"] - second["frame0"]).abs().max() > 0.05


@pytest.mark.parametrize(
    "transform",
    [
        *(kind(1.0) for kind in (ReverseChannels, VerticalFlip, HorizontalFlip, Transpose, RandomTurn, ReverseTime)),
        *(RandomCrop(16), CenterCrop(16), Resize(20), Resize(20, "area", rounded=False), RandomResize(2, 1.0)),
        Compose([RandomResize(2, 1.0), RandomCrop(24)]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_neighbours_change_as_the_frames_do(transform: Any) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 40, 3), dtype=np.uint8)
    sample = {"frame0": images[0], "frame1": images[1], "target": images[2], "time": 0.25, "key": "k"}
    sample |= {"before": images[0], "after": images[1]}
    changed = transform(sample, np.random.default_rng(1))
    assert np.array_equal(changed["before"], changed["frame0"])
    assert np.array_equal(changed["after"], changed["frame1"])
    assert changed["frame0"].shape != images[0].shape or not np.array_equal(changed["frame0"], images[0])


def test_time_reversal_swaps_the_neighbours() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    sample = {**dict(zip(FRAMES, images, strict=True)), "time": 0.5, "key": "k"}
    changed = ReverseTime(1.0)(sample, np.random.default_rng(0))
    assert all(
        changed[name] is images_ for name, images_ in zip(FRAMES, [sample[n] for n in FRAMES[::-1]], strict=True)
    )


@pytest.mark.parametrize("name", ["vimeo90k", "snu_film", "ucf101", "xiph", "middlebury", "hd", "davis", "atd12k"])
def test_datasets_without_neighbours_are_refused_in_one_sentence(name: str) -> None:
    with pytest.raises(UserError, match=r"has no frames before and after the two, which this network takes: choose"):
        data(name, None).give_context()


def test_several_datasets_have_neighbours_where_each_has_them() -> None:
    made = joint_data(
        *tiny_block("vimeo90k", "datasets.vimeo90k", None), *tiny_block("x4k1000fps", "datasets.x4k1000fps", None)
    )
    assert not made.has_context  # vimeo90k's triplets have none
    with pytest.raises(UserError, match="Joint has no frames before and after"):
        made.give_context()
    assert not CO3D.has_context


def test_the_network_decides_before_the_training() -> None:
    assert build_data(planned("model=ifrnet_context")).context
    assert not build_data(planned("model=ifrnet_tiny")).context
    with pytest.raises(UserError, match="Vimeo90K has no frames before and after the two"):
        build_data(planned("model=ifrnet_context", "data=vimeo90k"))


def test_a_network_of_four_frames_trains_and_is_reported(tmp_path: Path) -> None:
    options = ("model=ifrnet_context", "trainer.max_steps=2", "validate_every=2", "report=true", "data.train_samples=8")
    run = train_tiny(tmp_path, *options)
    assert (run / "finished.json").exists()
    assert "ifrnet_context (best checkpoint)" in (run / "report.json").read_text()
