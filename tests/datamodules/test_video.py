"""Footage of one's own: decoding, cuts, standing images, the split, the cache."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import pickle
import shutil
from collections import namedtuple
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from datamodules.footage import Footage
from datamodules.scenes.style import SceneStyle
from datamodules.storage import scene_cuts
from datamodules.synthetic import to_uint8
from datamodules.transforms import RandomCrop
from datamodules.video import FrameTimes, Video, even
from tests.helpers.in_process import planned
from tests.helpers.videos import write_sizes, write_tone, write_video, zero_packets
from vfi_train.errors import DataError, UserError
from vfi_train.prepare.mining import MiningRules, mine
from vfi_train.training.preflight import try_data

STYLE = SceneStyle(height=48, width=80, background_motion=8, object_motion=10, nonuniform=1)


def moving(seed: int, count: int) -> list[np.ndarray]:
    """Frames of a scene in motion."""
    scene = STYLE.draw(np.random.default_rng(seed))
    return [to_uint8(scene.render(i / (count - 1))) for i in range(count)]


def write(path: Path, frames: Sequence[np.ndarray]) -> Path:
    """A lossless video."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "bgr0"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode())
    return path


def write_folder(path: Path, frames: Sequence[np.ndarray]) -> Path:
    path.mkdir(parents=True)
    for i, frame in enumerate(frames):
        cv2.imwrite(str(path / f"{i}.png"), frame[..., ::-1])
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "footage"


def data(root: Path | None, **options: Any) -> Video:
    settings: dict[str, Any] = {"root": None, "cache_dir": None, "batch_size": 2}
    if root is not None:
        beside = root.parent.parent if root.suffix else root.parent
        settings.update(root=str(root), cache_dir=str(beside / "cache"))
    return Video(**{**settings, **options})


def firsts(source: Any) -> list[int]:
    return [triplet.frame0 for _, triplet in source.triplets]


def keys(source: Any) -> list[str]:
    return [source.sample(i, None)["key"] for i in range(len(source))]


def test_frames_are_decoded_exactly(folder: Path) -> None:
    frames = moving(0, 12)
    module = data(write(folder / "clip.mkv", frames), static_threshold=0)
    module.setup()
    sample = module.train_source().sample(2, None)
    for name, i in (("frame0", 2), ("target", 3), ("frame1", 4)):
        np.testing.assert_array_equal(sample[name], frames[i])
    assert sample["key"] == "clip/000002-000004"
    assert sample["time"] == 0.5


def test_folders_of_images_are_clips_too_in_the_order_of_their_numbers(folder: Path) -> None:
    frames = moving(0, 12)
    module = data(write_folder(folder / "shots" / "a", frames).parent, static_threshold=0)
    module.setup()
    assert keys(module.val_source()) == ["a/000009-000011"]
    np.testing.assert_array_equal(module.val_source().sample(0, None)["frame1"], frames[11])


@pytest.mark.parametrize("gap", [1, 2])
def test_no_triplet_crosses_a_cut_or_stands_still(folder: Path, gap: int) -> None:
    a, b, c = moving(1, 12), moving(2, 12), moving(3, 10)
    frames = [*a, *b, *[b[-1]] * 6, *c]  # a cut at 12, standing from 23 to 29, a cut at 30
    module = data(write(folder / "clip.mkv", frames), gap=gap)
    module.setup()
    opened = module.cache.open(module.clips[0])
    assert [i for i, value in enumerate(opened.unexplained) if value > module.cut_threshold] == [12, 30]
    spans = [range(first, first + 2 * gap + 1) for first in firsts(module.train_source())]
    spans += [range(first, first + 2 * gap + 1) for first in firsts(module.val_source())]
    assert all(cut not in span[1:] for span in spans for cut in (12, 30))
    # The last target of the second scene is at 22: from 23 on nothing moves.
    expected = [range(12 - 2 * gap), range(12, 23 - gap), range(30, 40 - 2 * gap)]
    moved = [i for part in expected for i in part]
    assert [span[0] for span in spans] == [i for i in moved if i in {s[0] for s in spans}]  # in order, none twice
    left_out = set(moved) - {span[0] for span in spans}
    assert len(left_out) <= 2 * gap  # for the margin before what is held out


def test_pans_are_not_cuts() -> None:
    scene = SceneStyle(height=96, width=512, background_motion=0, objects=(4, 4)).draw(np.random.default_rng(4))
    image = to_uint8(scene.render(0.5))
    views = [scene_cuts.small(image[:, left : left + 160]) for left in range(0, 320, 40)]  # a quarter per frame
    changes = [scene_cuts.change(a, b) for a, b in itertools.pairwise(views)]
    unexplained = [scene_cuts.unexplained(a, b) for a, b in itertools.pairwise(views)]
    assert min(changes) > 16
    assert max(unexplained) < 8


def test_different_scenes_are_cuts() -> None:
    views = [scene_cuts.small(moving(seed, 2)[0]) for seed in range(12)]
    unexplained = [scene_cuts.unexplained(a, b) for a, b in itertools.pairwise(views)]
    assert min(unexplained) > 16


def test_one_clip_holds_out_its_end_and_shares_no_frame(folder: Path) -> None:
    module = data(write(folder / "clip.mkv", moving(0, 40)), gap=2, static_threshold=0, val_split=0.25)
    module.setup()
    train, val_split = (
        {f for first in firsts(s) for f in range(first, first + 5)}
        for s in (module.train_source(), module.val_source())
    )
    assert module.val_size == 9  # a quarter of 36
    assert not train & val_split
    assert max(train) == min(val_split) - 1
    assert max(val_split) == 39


def test_several_clips_are_held_out_whole(folder: Path) -> None:
    for seed in range(5):
        write(folder / f"part{seed}" / "shot.mkv", moving(seed, 6))
    module = data(folder, static_threshold=0, val_split=0.4)
    module.setup()
    train, val_split = ({k.rsplit("/", 1)[0] for k in keys(s)} for s in (module.train_source(), module.val_source()))
    assert len(val_split) == 2
    assert train | val_split == {f"part{i}/shot" for i in range(5)}
    assert not train & val_split
    assert (module.train_size, module.val_size) == (12, 8)
    assert data(folder, static_threshold=0, val_split=0.4, val_samples=3).val_source().__len__() == 3


def test_a_crop_reads_its_own_rows_of_the_file_alone(folder: Path) -> None:
    module = data(write(folder / "clip.mkv", moving(0, 12)), static_threshold=0, transforms=[RandomCrop(16)])
    source = module.train_source()
    frames, _ = source.triplets[0]
    sample = source.sample(0, np.random.default_rng(0))
    assert sample["frame0"].shape == (16, 16, 3)
    assert np.shares_memory(sample["frame0"], frames._map)  # a view: nothing was copied
    again = pickle.loads(pickle.dumps(source))
    assert len(pickle.dumps(source)) < 60_000  # without the frames
    np.testing.assert_array_equal(again.sample(0, np.random.default_rng(0))["target"], sample["target"])


@pytest.mark.parametrize("workers", [0, 2])
def test_batches(folder: Path, workers: int) -> None:
    crop = [RandomCrop((16, 24))]
    module = data(
        write(folder / "clip.mkv", moving(0, 14)), static_threshold=0, transforms=crop, num_workers=workers, seed=3
    )
    module.setup()
    batches = list(module.train_dataloader())
    assert [b["frame0"].shape for b in batches] == [(2, 3, 16, 24)] * (module.train_size // 2)
    one = data(folder / "clip.mkv", static_threshold=0, transforms=crop, seed=3)
    one.setup()
    for a, b in zip(batches, one.train_dataloader(), strict=True):
        assert a["key"] == b["key"]
        assert bool((a["target"] == b["target"]).all())


def test_frames_are_decoded_once_and_anew_when_they_or_the_options_change(
    folder: Path, capsys: pytest.CaptureFixture
) -> None:
    path = write(folder / "clip.mkv", moving(0, 12))
    for _ in range(2):
        data(path, static_threshold=0).setup()
    assert capsys.readouterr().out.count("decoded clip: 12 frames of 48x80") == 1
    small = data(path, static_threshold=0, max_side=40)
    small.setup()
    assert small.train_source().sample(0, None)["frame0"].shape == (24, 40, 3)
    assert "24x40" in capsys.readouterr().out
    write(path, moving(5, 14))
    data(path, static_threshold=0).setup()
    assert "decoded clip: 14 frames" in capsys.readouterr().out


def test_a_killed_run_leaves_nothing_half_written(folder: Path) -> None:
    path = write(folder / "clip.mkv", moving(0, 12))
    cache = folder.parent / "cache"
    small, calls = scene_cuts.small, []

    def killing(frame: np.ndarray) -> np.ndarray:
        calls.append(frame)
        return os._exit(9) if len(calls) == 7 else small(frame)

    def run() -> None:
        scene_cuts.small = killing
        data(path).prepare_data()

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join()
    assert process.exitcode == 9
    assert [p.suffix for p in cache.iterdir()] == [".part"]
    module = data(path, static_threshold=0)
    module.setup()
    assert len(module.cache.open(module.clips[0])) == 12
    assert [p.suffix for p in cache.iterdir()] == [""]  # what the killed run left is cleared away


def test_an_error_while_decoding_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(folder / "clip.mkv", moving(0, 12))

    def full(frame: np.ndarray) -> np.ndarray:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scene_cuts, "small", full)
    with pytest.raises(DataError, match=r"^the disk of data\.cache_dir=\S+ filled up while clip was decoded: "):
        data(path).prepare_data()
    assert not list((folder.parent / "cache").iterdir())


def test_a_disk_too_small_is_refused_before_decoding(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(folder / "clip.mkv", moving(0, 12))
    usage = namedtuple("usage", "free")
    size = 12 * 48 * 80 * 3
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(size - 1))
    with pytest.raises(DataError, match=r"take 0\.0 GiB, but data\.cache_dir=\S+ has 0\.0 GiB free: .*data\.max_side"):
        data(path).check()
    data(path, max_side=40).check()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(size))
    data(path).check()


def test_a_broken_cache_is_one_sentence(folder: Path) -> None:
    module = data(write(folder / "clip.mkv", moving(0, 12)), static_threshold=0)
    module.prepare_data()
    with (module.cache.place(module.clips[0]) / "frames.u8").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(DataError, match=r"^\S+ is broken: delete it, and it will be decoded again$"):
        module.setup()


def junk(path: Path) -> None:
    path.mkdir()
    (path / "a.mp4").write_text("this is no video")


def mixed(path: Path) -> None:
    write_folder(path / "a", moving(0, 3))
    cv2.imwrite(str(path / "a" / "1.png"), np.zeros((10, 12, 3), np.uint8))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, r"^there is no data\.root=\S+: give a video, a folder of videos, or folders of frames$"),
        (lambda p: p.mkdir(), r"^data\.root=\S+ holds neither videos \(\.mp4, .*\) nor folders of images"),
        (
            junk,
            r"^\S+a\.mp4 cannot be read as a video \(Invalid data.*\): repair or replace it, or data\.on_error",
        ),
        (lambda p: write(p / "a.mkv", moving(0, 2)[:1]), r"^\S+a\.mkv holds only one frame: a clip has two or more$"),
        (mixed, r"^the frames have different sizes: \S+0\.png is 48x80, \S+1\.png is 10x12 \(height x width\): "),
        (
            lambda p: write(p / "a.mkv", [moving(0, 2)[0]] * 8),
            r"gives 0 training and 0 validation triplets at data\.gap=1 without cuts, static images and uneven times: ",
        ),
    ],
    ids=["missing", "empty", "unreadable", "one frame", "mixed sizes", "standing"],
)
def test_footage_that_does_not_do_is_one_sentence(make: Callable, message: str, folder: Path) -> None:
    make(folder)
    module = data(folder)
    with pytest.raises(DataError, match=message):
        module.check(), module.setup()


def test_a_video_cut_off_in_the_middle(folder: Path) -> None:
    path = write(folder / "clip.mkv", moving(0, 40))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    module = data(path, static_threshold=0)
    module.setup()  # what is there is taken
    assert 10 < len(module.cache.open(module.clips[0])) < 30


@pytest.mark.parametrize(
    ("options", "message"),
    [({"gap": 0}, r"data\.gap=0 is not"), ({"val_split": 1}, r"data\.val_split=1 is not a fraction")],
)
def test_wrong_options_are_one_sentence(options: dict, message: str, folder: Path) -> None:
    with pytest.raises(ValueError, match=message):
        data(folder, **options)
    with pytest.raises(DataError, match=r"^data\.root is not set: give a video"):
        data(None).check()


def test_the_cache_is_the_users_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data(None).cache.folder == tmp_path / "vfi_train" / "video"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data(None).cache.folder == tmp_path / ".cache" / "vfi_train" / "video"
    assert not os.listdir(tmp_path)
    shutil.rmtree(tmp_path)


def test_broken_and_interlaced_clips_are_left_out_and_said(folder: Path, capsys: pytest.CaptureFixture) -> None:
    """A sound without picture, a file with a hole, fields, and one good clip."""
    folder.mkdir()
    options = {"g": "10", "bf": "0"}
    write_video(folder / "good.mp4", moving(0, 30), options=options)
    zero_packets(write_video(folder / "hole.mp4", moving(0, 30), options=options), [15])
    fields = {"flags": "+ildct+ilme", "x264-params": "tff=1"}
    write_video(folder / "fields.mp4", moving(0, 30), options=fields)
    with av.open(str(folder / "sound.mp4"), "w") as container:
        write_tone(container, container.add_stream("aac", rate=48000, layout="stereo"), 1)
    with pytest.raises(DataError, match=r"sound\.mp4 holds no video: replace it, or data\.on_error=skip leaves it out"):
        data(folder).check()
    module = data(folder, on_error="skip", static_threshold=0)
    module.check()
    module.setup()
    assert [(clip.name, len(clip)) for clip in module.decoded()] == [("good", 30), ("hole", 29)]
    said = capsys.readouterr().out
    assert said.count("sound.mp4 holds no video") == 1
    assert said.count("fields.mp4 is interlaced: data.deinterlace=bwdif makes a frame of each field") == 1
    assert "hole.mp4 is damaged: 1 of its 30 packets cannot be decoded" in said
    deinterlaced = data(folder / "fields.mp4", deinterlace="bwdif", static_threshold=0)
    deinterlaced.setup()
    assert [len(clip) for clip in deinterlaced.decoded()] == [60]


# --- frames that are not evenly spaced in time

UNEVEN = [0, 1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 13]  # in 24ths of a second
OFF = [i for i in range(10) if UNEVEN[i] + UNEVEN[i + 2] != 2 * UNEVEN[i + 1]]  # first frames


def write_timed(path: Path, numbers: Sequence[int]) -> Path:
    """A moving square, at the place of its time, with these times."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [np.full((48, 96, 3), 40, np.uint8) for _ in numbers]
    for image, number in zip(images, numbers, strict=True):
        image[16:32, 4 * number : 4 * number + 16] = 200
    return write_video(path, images, ticks=[100 * number for number in numbers])


def test_triplets_off_the_middle_are_left_out_and_counted(folder: Path, capsys: pytest.CaptureFixture) -> None:
    path = write_timed(folder / "uneven.mp4", UNEVEN)
    module = data(path, static_threshold=0)
    module.setup("fit")
    kept = sorted([*firsts(module.train_source()), *firsts(module.val_source())])
    assert set(kept).isdisjoint(OFF)
    assert module.notes[0].startswith(f"{len(OFF)} of 10 triplets have a target off the middle")
    assert capsys.readouterr().out.count("triplets have a target off the middle") == 1
    even = data(write_timed(folder / "even.mp4", range(12)), static_threshold=0)
    even.setup("fit")
    assert even.notes == []


def test_check_says_how_many_are_left_out(folder: Path) -> None:
    path = write_timed(folder / "uneven.mp4", UNEVEN)
    given = [f"data.root={path}", f"data.cache_dir={folder / 'cache'}", "data.static_threshold=0"]
    given += ["data.batch_size=2", "data.transforms=[]"]
    found = try_data(planned("experiment=quickstart_video", *given))
    assert f"; {len(OFF)} of 10 triplets have a target off the middle" in found


def test_uniform_times_are_the_true_ones(folder: Path) -> None:
    module = data(write_timed(folder / "uneven.mp4", UNEVEN), static_threshold=0, gap=2, times="uniform")
    assert module.arbitrary_time
    module.setup("fit")
    source = module.train_source()
    seen = set()
    for index in range(len(source)):
        sample: Any = source.sample(index, np.random.default_rng(0))
        first, last = map(int, sample["key"].rpartition("/")[2].split("-"))
        seen.add(sample["time"])
        square = sample["target"][24, :, 0] > 120
        number = int(np.flatnonzero(square)[0]) / 4
        assert sample["time"] == pytest.approx((number - UNEVEN[first]) / (UNEVEN[last] - UNEVEN[first]), abs=1e-6)
    assert len(seen) > 4
    assert module.notes == []


@pytest.mark.parametrize(("rate", "tick"), [(24, 1), (60, 1), (240, 1), (1000, 1)])
def test_times_that_a_file_rounds_are_even(rate: int, tick: int) -> None:
    """Matroska rounds to milliseconds."""
    times = FrameTimes(np.round(np.arange(200) * 1000 / rate) / 1000, tick / 1000)
    assert even(times, range(198), 1) == list(range(198))
    dropped = FrameTimes(np.delete(times.times, 100), tick / 1000)
    assert sorted(set(range(197)) - set(even(dropped, range(197), 1))) == [98, 99]


def test_footage_leaves_out_targets_that_are_not_at_their_time(folder: Path) -> None:
    path = write_timed(folder / "uneven.mp4", UNEVEN)
    module = Footage(root=str(path), cache_dir=str(folder / "cache"), batch_size=1)
    keys = [module.val_source().sample(i, None)["key"] for i in range(len(module.val_source()))]  # type: ignore[call-overload]
    starts = [i for i in range(0, 10, 2) if i not in OFF]
    assert [int(key.rpartition("/")[2]) for key in keys] == [i + 1 for i in starts]
    assert module.notes == [
        f"{5 - len(starts)} of 5 targets are not at their time (frames unevenly spaced in time) and are left out"
    ]


def test_frames_of_another_size_are_left_out_with_all_that_spans_them(
    folder: Path, capsys: pytest.CaptureFixture
) -> None:
    """Five frames of 64x96, five of 80x120, five of 64x96: ten are kept, and a cut lies between them."""
    folder.mkdir()
    path = write_sizes(folder / "sizes.ts", ((64, 96), (80, 120), (64, 96)))
    options: dict[str, Any] = {"static_threshold": 0, "cut_threshold": 1e9}
    module = data(path, **options)
    assert (firsts(module.train_source()), firsts(module.val_source())) == ([0, 1, 2], [7])
    said = capsys.readouterr().out
    assert said.count("sizes.ts changes its size from 64x96 to 80x120 at frame 6: 5 frames are left out") == 1
    (frames,) = module.decoded()
    assert frames.shape == (10, 64, 96, 3)
    footage = Footage(root=str(path), cache_dir=str(module.cache.folder), batch_size=1, cut_threshold=1e9)
    assert firsts(footage.val_source()) == [0, 2, 6]
    assert footage.notes == ["1 pairs lie over a cut and are left out (data.cut_threshold=1e+09)"]
    found = mine(frames, MiningRules(3, 1, 1e9, 0, (0, 1e9)))
    assert [excerpt.numbers for excerpt in found.excerpts] == [(0, 1, 2), (5, 6, 7)]


def test_a_gap_without_other_times_is_refused() -> None:
    with pytest.raises(UserError, match=r"data\.times=uniform with data\.gap=1 has only the middle frame"):
        data(None, times="uniform")
    with pytest.raises(UserError, match=r"data\.times=0\.25 is none of 0\.5, uniform"):
        data(None, times=0.25)
