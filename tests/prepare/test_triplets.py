"""Clips out of videos whose cuts, standstills and motion are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from hydra.utils import instantiate

from tests.helpers.prepare_tasks import task
from vfi_train.errors import UserError
from vfi_train.prepare.command import prepare
from vfi_train.prepare.mining import MiningResult, disjoint_starts
from vfi_train.prepare.triplets import choose
from vfi_train.prepare.verify import find_issues

SIZE = (96, 128)
FOURS = [4 * k for k in range(12)]


def texture(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (SIZE[0] // 8, SIZE[1] // 8 + 40, 3), dtype=np.uint8)
    return cv2.resize(noise, (SIZE[1] + 320, SIZE[0]), interpolation=cv2.INTER_CUBIC)


def pan(seed: int, positions: list[int]) -> list[np.ndarray]:
    """An image that moves to the left; frame k shows it from column positions[k] on."""
    return [np.ascontiguousarray(texture(seed)[:, x : x + SIZE[1]]) for x in positions]


def video(path: Path, frames: list[np.ndarray]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "12"})
        stream.height, stream.width = SIZE
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """a: 12 frames moving 4 pixels each, then a cut, then 12 of another image. b: 9 standing, 9 moving. c: moving."""
    root = tmp_path / "videos"
    video(root / "a.mp4", pan(1, FOURS) + pan(2, FOURS))
    video(root / "b.mp4", pan(3, [0] * 9 + [4 * k for k in range(1, 10)]))
    video(root / "c.mp4", pan(4, FOURS))
    return root


def mined(videos: Path, tmp_path: Path, **keys: Any) -> Path:
    output = tmp_path / "out"
    data = {"cache_dir": str(tmp_path / "cache"), "val_split": 0.3, **keys.pop("data", {})}
    prepare(task("triplets", "video", videos, output=str(output), data=data, triplets=keys))
    return output


def notes(output: Path) -> list[dict[str, Any]]:
    return json.loads((output / "triplets.json").read_text())["clips"]


def test_triplets_are_taken_between_cuts_and_where_things_move(videos: Path, tmp_path: Path) -> None:
    output = mined(videos, tmp_path)
    taken = {(clip["video"], tuple(clip["numbers"])) for clip in notes(output)}
    a, c = [(k, k + 1, k + 2) for k in range(0, 24, 3)], [(k, k + 1, k + 2) for k in range(0, 12, 3)]
    assert taken >= {("a", numbers) for numbers in a} | {("c", numbers) for numbers in c}
    assert all(numbers[0] >= 8 for name, numbers in taken if name == "b")
    assert sum(name == "b" for name, _ in taken) in (2, 3)
    for clip in notes(output):
        assert clip["mean_motion"] == pytest.approx(8, abs=1.5)  # twice 4 pixels; the border is new


def test_the_layout_is_vimeos_and_trains(videos: Path, tmp_path: Path) -> None:
    output = mined(videos, tmp_path)
    train, test = ((output / f"tri_{name}list.txt").read_text().split() for name in ("train", "test"))
    assert set(train) | set(test) == {clip["clip"] for clip in notes(output)}
    assert not {name[:5] for name in train} & {name[:5] for name in test}  # complete videos are held out
    for clip in notes(output):
        folder = output / "sequences" / clip["clip"]
        assert sorted(path.name for path in folder.iterdir()) == ["im1.png", "im2.png", "im3.png"]
        if clip["video"] == "c":
            for name, number in zip(("im1.png", "im2.png", "im3.png"), clip["numbers"], strict=True):
                got = cv2.imread(str(folder / name))
                assert got is not None
                distances = [np.abs(got[..., ::-1].astype(int) - shown).mean() for shown in pan(4, FOURS)]
                assert np.argmin(distances) == number
                assert distances[number] < 8  # what the codec does to colours
    config = task("verify", "vimeo90k", output)
    data = instantiate(config.data, _convert_="all")
    assert list(find_issues(data, subset=True, size=SIZE)) == []
    data.setup()
    assert next(iter(data.train_dataloader()))["frame0"].shape == (2, 3, 32, 32)
    sheet = cv2.imread(str(output / "contact_sheet.png"))
    assert sheet is not None
    assert sheet.shape[1] == 4 * (2 * 224 + 4)


def test_septuplets(videos: Path, tmp_path: Path) -> None:
    output = mined(videos, tmp_path, frames=7)
    names = [*(output / "sep_trainlist.txt").read_text().split(), *(output / "sep_testlist.txt").read_text().split()]
    assert len(names) == len(notes(output)) == 4  # two of a, one of b and c
    assert len(list((output / "sequences" / names[0]).iterdir())) == 7


def test_motion_is_filtered_and_a_videos_share_limited(videos: Path, tmp_path: Path) -> None:
    output = mined(videos, tmp_path, per_video=2)
    found = [clip["video"] for clip in notes(output)]
    assert {name: found.count(name) for name in "abc"} == {"a": 2, "b": 2, "c": 2}
    with pytest.raises(UserError, match=r"^0 clips are left for training and 0 for validation: .*least_motion"):
        mined(videos, tmp_path / "slow", least_motion=20)
    with pytest.raises(UserError, match=r"^0 clips are left"):
        mined(videos, tmp_path / "fast", most_motion=3)


def test_one_videos_end_is_held_out(videos: Path, tmp_path: Path) -> None:
    output = mined(videos / "c.mp4", tmp_path)
    val_split = [clip["numbers"] for clip in notes(output) if clip["val_split"]]
    assert val_split == [[9, 10, 11]]
    assert (output / "tri_testlist.txt").read_text() == "00001/0004\n"


def test_the_same_command_goes_on_and_another_is_refused(videos: Path, tmp_path: Path) -> None:
    output = mined(videos, tmp_path)
    images = {path: path.stat().st_ino for path in output.rglob("im*.png")}
    gone = sorted((output / "sequences" / "00001").iterdir())[1]
    for path in gone.iterdir():
        path.unlink()
    gone.rmdir()
    mined(videos, tmp_path)
    again = {path: path.stat().st_ino for path in output.rglob("im*.png")}
    assert again.keys() == images.keys()
    assert {path for path in again if again[path] == images[path]} >= {p for p in images if p.parent != gone}
    with pytest.raises(UserError, match=r"holds clips of other videos or settings"):
        mined(videos, tmp_path, data={"gap": 2})


def test_excerpts_share_no_frame() -> None:
    assert disjoint_starts([0, 1, 2, 3, 4, 6], 3, 1) == [0, 3, 6]
    assert disjoint_starts([0, 1, 2, 3, 4, 6], 3, 2) == [0, 6]
    assert disjoint_starts([0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 13], 7, 1) == [0, 8]


def test_mistakes_are_one_sentence(videos: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^triplets\.frames=5 is not one of 3, 7$"):
        mined(videos, tmp_path, frames=5)
    with pytest.raises(UserError, match=r"^task=triplets works on videos: .* not data=vimeo90k$"):
        prepare(task("triplets", "vimeo90k", videos, output=str(tmp_path)))
    with pytest.raises(UserError, match=r"^0 clips are left"):
        choose([MiningResult([], 3, 0, 0, 0, 0)], 0.1)
