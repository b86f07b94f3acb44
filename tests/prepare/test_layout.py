"""Published videos become the folders that datasets read, and CO3D's categories its objects."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from datamodules.adobe240 import Adobe240
from datamodules.co3d import CO3D
from datamodules.storage.image_io import read_image
from datamodules.x4k1000fps import X4K1000FPS
from datamodules.xiph import CLIPS, Xiph
from tests.helpers.prepare_tasks import task
from tests.helpers.videos import pan, write_video, zero_packets
from vfi_train.errors import DataError, UserError
from vfi_train.prepare.command import prepare


def lay_out(name: str, root: Path, output: Path, **keys: object) -> None:
    prepare(task("layout", name, root, output=str(output), **keys))


def test_x_train(tmp_path: Path) -> None:
    place = tmp_path / "in" / "train" / "002"
    place.mkdir(parents=True)
    images = pan(65, width=64, height=48)
    write_video(place / "occ008.320_f4881.mp4", images)
    lay_out("x4k1000fps", tmp_path / "in", tmp_path / "out")
    folder = tmp_path / "out/train/002/occ008.320_f4881"
    names = sorted(path.name for path in folder.iterdir())
    assert names == [f"{i:04d}.png" for i in range(65)]
    sample = X4K1000FPS(root=str(tmp_path / "out"), batch_size=1).train_source().sample(0, np.random.default_rng(0))
    assert sample["frame0"].shape == (48, 64, 3)  # type: ignore[call-overload]
    before = (folder / "0000.png").stat().st_mtime_ns
    lay_out("x4k1000fps", tmp_path / "in", tmp_path / "out")  # again: nothing is left to do
    assert (folder / "0000.png").stat().st_mtime_ns == before
    for number in (0, 40, 64):
        image = read_image(folder / f"{number:04d}.png").astype(int)
        assert np.argmin([np.abs(image - other).mean() for other in images]) == number


def test_adobe240_trains_on_nine_of_ten_videos(tmp_path: Path) -> None:
    root = tmp_path / "in"
    root.mkdir()
    for number in range(10):
        write_video(root / f"IMG_{number:04d}.mov", pan(9, seed=number, width=64, height=48))
    lay_out("adobe240", root, tmp_path / "out")
    data = Adobe240(root=str(tmp_path / "out"), batch_size=1)
    assert (len(data.train_source()), len(data.val_source())) == (9 * 7, 7)
    assert {item.key.partition("/")[0] for item in data.val_items()} == {"IMG_0009"}


def test_xiph_by_its_clips_and_their_first_frames(tmp_path: Path) -> None:
    root = tmp_path / "in"
    root.mkdir()
    for clip in CLIPS:
        write_video(root / f"Netflix_{clip}_4096x2160_60fps.mp4", pan(103, width=32, height=32))
    write_video(root / "Netflix_Aerial_4096x2160_60fps.mp4", pan(3))
    lay_out("xiph", root, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(CLIPS)
    assert sorted(path.name for path in (tmp_path / "out/FoodMarket2").iterdir())[::99] == ["001.png", "100.png"]
    assert Xiph(root=str(tmp_path / "out"), batch_size=1).counts() == {"clips": 8, "triplets": 392}


def test_damaged_and_missing_videos_are_told(tmp_path: Path) -> None:
    root = tmp_path / "in"
    root.mkdir()
    with pytest.raises(DataError, match="holds none of the dataset's videos"):
        lay_out("adobe240", root, tmp_path / "out")
    zero_packets(write_video(root / "IMG_0000.mp4", pan(24)), [5])
    with pytest.raises(DataError, match=r"1 videos are damaged, the first: \S+IMG_0000.mp4 is damaged: .*fetch them"):
        lay_out("adobe240", root, tmp_path / "out")
    with pytest.raises(UserError, match="task=layout: data=vimeo90k is published as it is read; x4k1000fps, "):
        lay_out("vimeo90k", root, tmp_path / "out")


def test_objects_of_co3d(tmp_path: Path) -> None:
    """Twelve objects in three categories, two of them with other numbers of images."""
    for number in range(12):
        folder = tmp_path / "in" / f"category{number % 3}" / f"{number}_1_2" / "images"
        folder.mkdir(parents=True)
        for i in range(6 if number in (4, 5) else 9):
            cv2.imwrite(str(folder / f"frame{i + 1:06d}.jpg"), np.full((8, 8, 3), number, np.uint8))
    options = {"objects": 6, "images": 9, "test_every": 3}
    lay_out("co3d", tmp_path / "in", tmp_path / "out", layout=options)
    sets = {part: sorted(p.name for p in (tmp_path / "out" / part).iterdir()) for part in ("train", "test")}
    assert {part: len(names) for part, names in sets.items()} == {"train": 4, "test": 2}
    assert not {"4_1_2", "5_1_2"} & {*sets["train"], *sets["test"]}
    data = CO3D(root=str(tmp_path / "out"), batch_size=1, packs=3)
    assert (len(data.train_source()), len(data.val_source())) == (12, 6)
    with pytest.raises(DataError, match="has 10 objects CATEGORY/OBJECT/images with 9 images, not 88"):
        lay_out("co3d", tmp_path / "in", tmp_path / "other", layout={"objects": 88, "images": 9})
