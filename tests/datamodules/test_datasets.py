"""Every dataset in its published layout: its samples, its counts, and what is said when files are missing or broken."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from datamodules.core.samples import SeededDataset
from datamodules.file_dataset import StoredData
from datamodules.storage import flow_io
from datamodules.storage.pack_writer import finish, write_shard
from datamodules.storage.yuv import to_rgb
from tests.helpers.layouts import FAULTS, LAYOUTS, data, fabricate, write
from vfi_train.errors import DataError

# Of the layouts: training samples, validation samples, the first validation key and its pair, time and size.
STATED = {  # the published counts, as papers and lists state them
    "vimeo90k": {"tri_trainlist.txt": 51_312, "tri_testlist.txt": 3_782},
    "vimeo90k_maps": {"tri_trainlist.txt": 51_312, "tri_testlist.txt": 3_782},
    "vimeo_septuplet": {"sep_trainlist.txt": 64_612, "sep_testlist.txt": 7_824},
    "x4k1000fps": {"train": 4_408, "test": 15},
    "gopro": {"train": 22, "test": 11},
    "adobe240": {},
    "snu_film": {f"test-{split}.txt": 310 for split in ("easy", "medium", "hard", "extreme")},
    "ucf101": {"triplets": 379},
    "xiph": {"clips": 8, "triplets": 392},
    "middlebury": {"other": 12, "evaluation": 8},
    "hd": {"544p": 4, "720p": 3, "1080p": 4},
    "davis": {"clips": 90},
    "atd12k": {"test_2k_540p": 2_000},
    "co3d": {"objects": 88},
}
EXPECTED: dict[str, tuple[int, int, str, str, float, tuple[int, int]]] = {
    "vimeo90k": (3, 2, "00002/0001", "00002/0001", 0.5, (64, 96)),
    "vimeo_septuplet": (2, 5, "00001/0003/0-1-6", "00001/0003", 1 / (6 + 1e-6), (48, 64)),
    "vimeo90k_maps": (3, 2, "00002/0001/0-1-2", "00002/0001", 1 / (2 + 1e-6), (64, 96)),
    "x4k1000fps": (3, 1, "Type1/TEST01_003_f0433/0000-0032/0016", "Type1/TEST01_003_f0433/0000-0032", 0.5, (48, 64)),
    "gopro": (
        *(7 * (3 + 21), 7 * 11),
        *("GOPR0384_11_00/000047-000055/000048", "GOPR0384_11_00/000047-000055", 1 / 8, (48, 64)),
    ),
    "adobe240": (7 * 9, 14, "IMG_0009/00000-00008/00001", "IMG_0009/00000-00008", 1 / 8, (64, 96)),
    "snu_film": (0, 3, "easy/GOPRO_test/GOPR0384_11_00/000002", "easy/GOPRO_test/GOPR0384_11_00/000002", 0.5, (64, 96)),
    "ucf101": (0, 3, "1", "1", 0.5, (64, 96)),
    "xiph": (0, 16, "BoxingPractice/002", "BoxingPractice/002", 0.5, (32, 48)),
    "middlebury": (0, 12, "Beanbags", "Beanbags", 0.5, (58, 86)),
    "hd": (0, 22, "Sintel_Alley2_1280x544/000-002/001", "Sintel_Alley2_1280x544/000-002", 0.5, (64, 96)),
    "davis": (0, 6, "bear/00001", "bear/00001", 0.5, (64, 96)),
    "atd12k": (0, 3, "Disney_v4_0_020864_s2", "Disney_v4_0_020864_s2", 0.5, (64, 96)),
    "co3d": (9, 3, "113_13051_23361/frame000001-frame000002-frame000003", "", 0.5, (64, 96)),
}


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every layout, to be read only."""
    return {name: fabricate(name, tmp_path_factory.mktemp(name)) for name in LAYOUTS}


def test_every_layout_is_expected() -> None:
    assert set(EXPECTED) == set(STATED) == set(LAYOUTS)
    assert {name for name, layout in LAYOUTS.items() if layout.trains} == {n for n, e in EXPECTED.items() if e[0]}


@pytest.mark.parametrize("name", LAYOUTS)
def test_samples_and_keys_are_those_of_the_lists(name: str, roots: dict[str, Path]) -> None:
    train, val_split, key, pair, time, size = EXPECTED[name]
    module = data(name, roots[name])
    module.setup("fit" if train else "validate")
    sample = module.val_source().sample(0, None)
    assert (sample["key"], sample["pair"], sample["time"]) == (key, pair or key, time)
    assert sample["frame0"].shape == sample["frame1"].shape == sample["target"].shape == (*size, 3)
    batches = list(module.val_dataloader())
    keys = [k for batch in batches for k in batch["key"]]
    assert len(keys) == len(set(keys)) == module.val_size == val_split
    assert all(batch["target"].dtype == torch.uint8 for batch in batches)
    if train:
        assert module.train_size == train
        drawn = list(module.train_dataloader())
        assert [batch["frame0"].shape for batch in drawn] == [(2, 3, 32, 32)] * (train // 2)
        assert all(((batch["time"] > 0) & (batch["time"] < 1)).all() for batch in drawn)
        assert len({k for batch in drawn for k in batch["key"]}) == train // 2 * 2


@pytest.mark.parametrize("name", [n for n in LAYOUTS if n not in ("xiph", "hd", "vimeo_septuplet", "vimeo90k_maps")])
def test_held_out_frames_are_the_files(name: str, roots: dict[str, Path]) -> None:
    module = data(name, roots[name])
    source = module.val_source()
    for index, item in enumerate(module.val_items()[:20]):
        sample = source.sample(index, None)
        for field in ("frame0", "target", "frame1"):
            direct = cv2.imread(str(roots[name] / getattr(item, field)))[..., ::-1]
            np.testing.assert_array_equal(sample[field], direct)


@pytest.mark.parametrize("name", LAYOUTS)
def test_counts_are_those_of_the_files(name: str, roots: dict[str, Path]) -> None:
    module = data(name, roots[name])
    assert dict(module.published) == STATED[name]
    counts = module.counts()
    assert set(counts) == set(STATED[name])
    here = {
        "vimeo90k": {"tri_trainlist.txt": 3, "tri_testlist.txt": 2},
        "vimeo_septuplet": {"sep_trainlist.txt": 3, "sep_testlist.txt": 2},
        "vimeo90k_maps": {"tri_trainlist.txt": 3, "tri_testlist.txt": 2},
        "x4k1000fps": {"train": 3, "test": 1},
        "snu_film": {f"test-{split}.txt": 3 for split in ("easy", "medium", "hard", "extreme")},
        "xiph": {"clips": 8, "triplets": 16},
        "co3d": {"objects": 4},
        "davis": {"clips": 3},
    }
    full = {"gopro", "middlebury", "hd", "adobe240"}
    assert counts == here.get(name, STATED[name] if name in full else dict.fromkeys(STATED[name], 3))
    names = [file for file, _ in module.files()]
    assert len(names) == len(set(names))
    assert all((roots[name] / file).is_file() for file in names)


def test_images_that_no_sample_needs_are_not_looked_for(roots: dict[str, Path]) -> None:
    """49 frames, of which the two after the last full group are in no sample."""
    used = {name for name, _ in data("gopro", roots["gopro"]).files() if "GOPR0372_07_00" in name}
    assert len(used) == 25
    assert len(list((roots["gopro"] / "train" / "GOPR0372_07_00").iterdir())) == 27


@pytest.mark.parametrize("name", [n for n in LAYOUTS if n != "hd"])
def test_a_packed_dataset_gives_the_same_samples(name: str, roots: dict[str, Path], tmp_path: Path) -> None:
    """Without one of its files: only lists stay."""
    options = {"variant": "DR", "flow": True} if name == "vimeo_septuplet" else {}
    module = data(name, roots[name], **options)
    packed = tmp_path / "packed" / "all"
    packed.mkdir(parents=True)
    readers = {".flo": module.store.read_flow, ".npy": module.store.read_array}
    files = [(file, readers.get(Path(file).suffix, module.store.read)(file, "packing")) for file, _ in module.files()]
    write_shard(packed, 0, files)
    finish(packed, 1, {})
    for path in roots[name].glob("*.txt"):
        shutil.copy(path, tmp_path)
    other = data(name, tmp_path, **options)
    assert module.counts() == other.counts()
    pairs = [(module.val_source(), other.val_source())]
    if module.trains:
        pairs.append((module.train_source(), other.train_source()))
    for files_source, packed_source in pairs:
        assert len(files_source) == len(packed_source)
        for index in range(0, len(files_source), 1 + len(files_source) // 10):
            rng = [np.random.default_rng(index) for _ in range(2)]
            first, second = files_source.sample(index, rng[0]), packed_source.sample(index, rng[1])
            assert set(first) == set(second)
            for field in first:
                np.testing.assert_array_equal(first[field], second[field])


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", [n for n in LAYOUTS if n not in ("hd", "vimeo90k_maps")])
def test_a_broken_file_is_named_with_its_sample(name: str, fault: str, tmp_path: Path) -> None:
    root = fabricate(name, tmp_path, clips=1) if name != "xiph" else fabricate(name, tmp_path)
    options = {"train_fraction": 1.0, "val_split": "test"} if name == "vimeo_septuplet" else {}
    module = data(name, root, batch_size=1, **options)
    module.setup("validate")
    sample = module.val_source().sample(module.val_size - 1, None)
    septuplet = "sequences/00002/0001/im6.png"
    path = root / (septuplet if name == "vimeo_septuplet" else module.val_items()[-1].target)
    FAULTS[fault](path)
    state = {"missing": "is missing", "no image": "is (cut off|not an image)"}.get(fault, "is cut off")
    if fault == "cut off" and path.suffix == ".jpg":
        state = "is (cut off|not an image)"
    with pytest.raises(DataError, match=rf"^sample {sample['key']}: {path} {state}"):
        list(module.val_dataloader())


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", [n for n, layout in LAYOUTS.items() if layout.trains])
def test_a_broken_file_is_named_in_training(name: str, fault: str, tmp_path: Path) -> None:
    root = fabricate(name, tmp_path, clips=2)
    module = data(name, root, batch_size=1, **({"train_fraction": 1.0, "val_split": "test"} if "sept" in name else {}))
    module.setup("fit")
    assert module.train_size > 0  # videos are listed now
    files = [file for file, _ in module.files() if file.endswith((".png", ".jpg")) and not file.startswith("test")]
    for file in files[:65]:
        FAULTS[fault](root / file)
    with pytest.raises(DataError, match=rf"^sample \S+: {root}/\S+ (is|has 0 images, not 65)"):
        list(module.train_dataloader())


@pytest.mark.parametrize(
    ("name", "file", "after"),
    [
        ("gopro", "train/GOPR0372_07_01/000050.png", "000049.png is followed by train/GOPR0372_07_01/000051.png"),
        ("adobe240", "IMG_0009/00003.png", "00002.png is followed by IMG_0009/00004.png"),
        ("x4k1000fps", "test/Type1/TEST01_003_f0433/0007.png", "0006.png is followed by .*/0008.png"),
        ("davis", "JPEGImages/480p/bear/00002.jpg", "00001.jpg is followed by .*/00003.jpg"),
    ],
)
def test_a_frame_missing_from_a_video_is_noticed(name: str, file: str, after: str, tmp_path: Path) -> None:
    """Otherwise all frames after it would be taken for the one before them."""
    root = fabricate(name, tmp_path)
    (root / file).unlink()
    with pytest.raises(DataError, match=f"{after}: frames between them are missing"):
        data(name, root).check()


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_folder_that_is_missing_empty_or_unset_is_one_sentence(name: str, tmp_path: Path) -> None:
    for root, message in (
        (None, r"^data\.root is not set: give the folder \S+ \(from .+\)$"),
        (tmp_path / "gone", r"^there is no folder data\.root=\S+gone: give the folder \S+ \(from .+\)$"),
        (tmp_path, r"(^data\.root=\S+ (has|holds) no .*|^sample \S+: \S+ is missing.*)\(from .+\)$"),
    ):
        with pytest.raises(DataError, match=message):
            data(name, root).check()


@pytest.mark.parametrize("name", [n for n, layout in LAYOUTS.items() if not layout.trains])
def test_training_on_a_test_set_is_one_sentence(name: str, roots: dict[str, Path]) -> None:
    module = data(name, roots[name])
    assert not module.trains
    module.check()
    with pytest.raises(DataError, match=rf"^data={name} is only for evaluation: train on another dataset"):
        module.setup("fit")


@pytest.mark.parametrize("name", ["gopro_flat", "xiph_flat"])
def test_other_layouts_in_use_give_the_same_samples(name: str, roots: dict[str, Path], tmp_path: Path) -> None:
    from tests.helpers import layouts

    base = name.partition("_")[0]
    layout = LAYOUTS[base]
    other = data(base, getattr(layouts, name)(tmp_path, layout.size, layout.clips)).val_source()
    source = data(base, roots[base]).val_source()
    assert len(other) == len(source)
    for index in range(0, len(source), 5):
        first, second = source.sample(index, None), other.sample(index, None)
        assert first["key"] == second["key"]
        for field in ("frame0", "target", "frame1"):
            np.testing.assert_array_equal(first[field], second[field])


def test_snu_films_lists_may_lie_apart(roots: dict[str, Path], tmp_path: Path) -> None:
    root = fabricate("snu_film", tmp_path)
    (root / "eval_modes").mkdir()
    for path in root.glob("test-*.txt"):
        path.rename(root / "eval_modes" / path.name)
    assert data("snu_film", root, split="extreme").val_items() == (
        data("snu_film", roots["snu_film"], split="extreme").val_items()
    )
    (root / "eval_modes" / "test-hard.txt").write_text("a/b/1.png a/b/2.png\n")
    with pytest.raises(DataError, match=r"^line 1 of \S+/test-hard\.txt has 2 paths, not 3"):
        data("snu_film", root, split="hard").check()


def test_xiph_at_2k_is_shrunk_by_area_and_at_4k_cut_out(roots: dict[str, Path]) -> None:
    full = cv2.imread(str(roots["xiph"] / "Tango/004.png"))[..., ::-1]
    blocks = full.reshape(32, 2, 48, 2, 3).astype(np.float64).mean(axis=(1, 3))
    small = data("xiph", roots["xiph"]).val_source().sample(15, None)
    assert small["key"] == "Tango/004"
    assert small["target"].dtype == np.uint8
    assert np.abs(small["target"] - blocks).max() <= 0.5  # rounded to 8 bits
    middle = data("xiph", roots["xiph"], resolution="4k").val_source().sample(15, None)
    np.testing.assert_array_equal(middle["target"], full[16:-16, 24:-24])  # as 540:-540, 1024:-1024 of 2160x4096


def test_x_test_asks_for_one_time_or_seven_of_a_pair(roots: dict[str, Path]) -> None:
    module = data("x4k1000fps", roots["x4k1000fps"], test_factor=8)
    assert module.arbitrary_time
    assert not data("x4k1000fps", roots["x4k1000fps"]).arbitrary_time
    source = module.val_source()
    samples = [source.sample(i, None) for i in range(len(source))]
    assert [s["time"] for s in samples] == [k / 8 for k in range(1, 8)]
    assert len({s["pair"] for s in samples}) == 1
    assert [s["key"][-4:] for s in samples] == ["0004", "0008", "0012", "0016", "0020", "0024", "0028"]


def test_x_test_at_2k_is_shrunk_unrounded(roots: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datamodules.x4k1000fps.SIZE_2K", (24, 32))
    sample = data("x4k1000fps", roots["x4k1000fps"], resolution="2k").val_source().sample(0, None)
    full = cv2.imread(str(roots["x4k1000fps"] / "test/Type1/TEST01_003_f0433/0016.png"))[..., ::-1] / 255
    assert sample["target"].dtype == np.float32
    assert np.abs(sample["target"] - full.reshape(24, 2, 32, 2, 3).mean(axis=(1, 3))).max() <= 2e-7


def test_middleburys_evaluation_set_has_no_target(roots: dict[str, Path]) -> None:
    source = data("middlebury", roots["middlebury"], part="evaluation").val_source()
    assert len(source) == 8
    assert sorted(source.sample(7, None)) == ["frame0", "frame1", "key", "pair", "time"]


def test_hd_gives_the_frames_of_the_raw_videos(roots: dict[str, Path]) -> None:
    source = data("hd", roots["hd"], group="1080p", factor=4).val_source()
    samples = [source.sample(i, None) for i in range(len(source))]
    assert [s["time"] for s in samples] == [0.25, 0.5, 0.75] * 4
    assert samples[4]["key"] == "Kimono1_1920x1080_24/000-004/002"
    content = np.fromfile(roots["hd"] / "HD1080p_GT/Kimono1_1920x1080_24.yuv", np.uint8)
    frames = content.reshape(5, 64 * 96 * 3 // 2)
    for field, number in (("frame0", 0), ("target", 2), ("frame1", 4)):
        np.testing.assert_array_equal(samples[4][field], to_rgb(frames[number], 64, 96))
    nearest = data("hd", roots["hd"], group="1080p", factor=4, chroma="nearest").val_source().sample(4, None)
    np.testing.assert_array_equal(nearest["target"], to_rgb(frames[2], 64, 96, "nearest"))


def test_hd_stops_at_frame_100_and_where_a_video_ends(tmp_path: Path) -> None:
    root = fabricate("hd", tmp_path, size=(4, 6), clips=30)  # 121 frames
    module = data("hd", root, size=[4, 6], group="720p")
    assert len(module.val_source()) == 3 * 50  # i = 0, 2, ..., 98
    assert len(data("hd", root, size=[4, 6], group="720p", factor=4).val_source()) == 3 * 25 * 3
    path = root / "HD720p_GT/parkrun_1280x720_50.yuv"
    path.write_bytes(path.read_bytes()[: 36 * 98 + 7])
    with pytest.raises(DataError, match=rf"^{path} has 3,535 bytes, which is not a number of complete 4x6 frames"):
        module.val_source()
    path.unlink()
    with pytest.raises(DataError, match=rf"{path} is missing from data\.root: .*\(from the HD benchmark"):
        data("hd", root, size=[4, 6]).check()


def test_a_part_of_the_held_out_samples_is_spread_evenly(roots: dict[str, Path]) -> None:
    source = data("gopro", roots["gopro"], val_samples=3).val_source()
    keys = [source.sample(i, None)["key"].split("/")[0] for i in range(3)]
    assert keys == ["GOPR0384_11_00", "GOPR0854_11_00", "GOPR0881_11_01"]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vimeo90k", {"val_split": "rest"}, r"^data\.val_split=rest leaves nothing to validate on: .*train_fraction"),
        ("vimeo90k", {"train_fraction": 1.5}, r"^data\.train_fraction=1\.5 is not a number from 0 to 1"),
        ("vimeo_septuplet", {"maps": "raft"}, r"^data\.maps=raft is none of amt_s, ema_vfi, ifrnet, rife$"),
        ("vimeo_septuplet", {"val_targets": [6]}, r"^data\.val_targets=6 is none of 1, 2, 3, 4, 5$"),
        ("x4k1000fps", {"gap": [2, 65]}, r"^data\.gap=\[2, 65\] is not a smallest and largest gap"),
        ("x4k1000fps", {"gap": [3, 3]}, r"with an even one among them \(or data\.odd_gaps=true\)$"),
        ("xiph", {"frames": 2}, r"^data\.frames=2 has no triplet"),
        ("ucf101", {"val_samples": 0}, r"^data\.val_samples=0 is not an integer"),
        ("co3d", {"packs": 0}, r"^data\.packs=0 is not a number of packs"),
    ],
)
def test_a_value_that_does_not_do_is_one_sentence(name: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        data(name, None, **options)


def test_stored_data_can_be_sent_to_a_process(roots: dict[str, Path]) -> None:
    module: StoredData = data("vimeo90k", roots["vimeo90k"], num_workers=1, batch_size=3, flow=True)
    module.setup("fit")
    batch = next(iter(module.train_dataloader()))
    assert torch.equal(batch["flow"][0, :, 5, 5].abs(), torch.tensor([1.0, 0.0, 1.0, 0.0]))


@pytest.mark.parametrize(
    ("name", "file", "content", "message"),
    [
        ("vimeo90k", "sequences/{}/im2.png", (56, 72, 3), r"its target is 56x72 pixels and its frame0 64x96"),
        ("vimeo90k", "flow/{}/flow_t1.flo", (24, 32, 2), r"label \S+flow_t1.flo is 24x32 pixels, its frames 64x96"),
        ("vimeo_septuplet", "sequences/{}/dis_index_*.npy", (23, 32), r"the distance map \S+ holds float16 23x32"),
        ("vimeo_septuplet", "sequences/{}/dis_index_*.npy", (24, 32, 1), r"the distance map \S+ holds float16 24x32x1"),
    ],
)  # fmt: skip
def test_a_sample_whose_parts_differ_in_size_is_named_and_can_be_skipped(
    name: str, file: str, content: tuple[int, ...], message: str, tmp_path: Path
) -> None:
    """Both sizes hold the crop: it would be trained on, misaligned."""
    root = fabricate(name, tmp_path, clips=3)
    clip = "00001/0001"
    for path in root.glob(file.format(clip)):
        if path.suffix == ".png":
            write(path, np.zeros(content, np.uint8))
        elif path.suffix == ".flo":
            flow_io.write(path, np.zeros(content))
        else:
            np.save(path, np.zeros(content, np.float16))
    options = {"flow": True} if name == "vimeo90k" else {"variant": "D"} if "sept" in name else {}
    module = data(name, root, on_error="skip", max_errors=3, **options)
    module.setup("fit")
    with pytest.raises(DataError, match=message):
        module.train_source().sample(0, np.random.default_rng(0))
    drawn: Any = SeededDataset(module.train_source(), 0, skips=9)[(0, 0)]
    assert all(re.search(message, reason) for reason in drawn["skipped"])
    assert drawn["frame0"].shape == (32, 32, 3)
