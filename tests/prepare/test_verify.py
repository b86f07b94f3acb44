"""Each kind of issue, put into a dataset in its published layout, is reported with its fix."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import DictConfig

from datamodules.storage.clips import ClipPath
from tests.helpers.layouts import FAULTS, LAYOUTS, fabricate, frame, write
from tests.helpers.prepare_tasks import task
from tests.helpers.programs import run_program
from tests.helpers.videos import pan, write_video, zero_packets
from vfi_train.errors import UserError
from vfi_train.prepare.command import prepare
from vfi_train.prepare.dataset_issue import DatasetIssue
from vfi_train.prepare.file_checks import check_video

SEVERAL_SIZES = ("middlebury", "hd", "video", "synthetic")
CLIP = "sequences/00001/0002"


def config(name: str, root: Path | None, tmp_path: Path, **keys: Any) -> DictConfig:
    config = task("verify", name, root, output=str(tmp_path / "issues.json"), **keys)
    size = None if name in SEVERAL_SIZES else list(LAYOUTS[name].size)
    config.verify = {"decode": True, "subset": True, "size": size, **keys.get("verify", {})}
    return config


def issues(name: str, root: Path, tmp_path: Path, **keys: Any) -> list[DatasetIssue]:
    """The issues in the report of task=verify, whose exit status is asserted."""
    try:
        prepare(config(name, root, tmp_path, **keys))
        status = 0
    except SystemExit as end:
        status = int(str(end.code))
    found = [DatasetIssue(**issue) for issue in json.loads((tmp_path / "issues.json").read_text())]
    assert status == (1 if found else 0)
    return found


@pytest.fixture
def vimeo(tmp_path: Path) -> Path:
    return fabricate("vimeo90k", tmp_path)


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_dataset_as_published_is_complete_and_a_broken_file_is_found(name: str, tmp_path: Path) -> None:
    root = fabricate(name, tmp_path / "complete")
    assert issues(name, root, tmp_path) == []
    files = [file for file, _ in instantiate(config(name, root, tmp_path).data, _convert_="all").files()]
    spoilt = root / files[len(files) // 2]
    FAULTS["cut off"](spoilt)
    found = issues(name, root, tmp_path)
    assert [(f.kind, str(spoilt) in f.what) for f in found] == [("broken file", True)]
    spoilt.unlink()
    found = issues(name, root, tmp_path)
    assert found or name == "co3d"  # whose images are those that lie there
    assert not found or any(str(spoilt) in f.what or str(spoilt.parent) in f.what for f in found)


def blank(path: Path) -> None:
    path.write_text(path.read_text().replace("\n", "\n\n", 1))


def wide(path: Path) -> None:
    write(path, frame(0, 0, (64, 100)))


@pytest.mark.parametrize(
    ("spoil", "kind", "what", "fix"),
    [
        (lambda r: FAULTS["missing"](r / CLIP / "im2.png"), "missing file", r"0002/im2.png \(of", "vimeo_triplet.zip"),
        (
            lambda r: FAULTS["no image"](r / CLIP / "im2.png"),
            "broken file",
            r"im2.png is not an image",
            "extract or fetch",
        ),
        (lambda r: wide(r / CLIP / "im3.png"), "size", r"im3.png is 64x100 pixels, not 64x96", "extract"),
        (lambda r: blank(r / "tri_trainlist.txt"), "blank line", r"^line 2 of \S+tri_trainlist.txt", "delete the line"),
        (lambda r: (r / "tri_testlist.txt").write_text("\n"), "layout", "tri_testlist.txt is empty", "published"),
        (lambda r: (r / "tri_testlist.txt").unlink(), "layout", "has no tri_testlist.txt", "vimeo_triplet"),
    ],
)
def test_issues_of_vimeo(spoil: Callable, kind: str, what: str, fix: str, vimeo: Path, tmp_path: Path) -> None:
    spoil(vimeo)
    (found,) = issues("vimeo90k", vimeo, tmp_path)
    assert found.kind == kind
    assert fix in found.fix
    with pytest.raises(AssertionError, match=what):
        raise AssertionError(found.what)


def test_fewer_clips_than_published(vimeo: Path, tmp_path: Path) -> None:
    found = issues("vimeo90k", vimeo, tmp_path, verify={"subset": False})
    assert [f.what for f in found] == [
        "tri_trainlist.txt: 3 of 51,312 published",
        "tri_testlist.txt: 2 of 3,782 published",
    ]
    assert "verify.subset=true" in found[0].fix


def test_files_are_only_looked_for_where_that_is_wanted(vimeo: Path, tmp_path: Path) -> None:
    FAULTS["no image"](vimeo / CLIP / "im2.png")
    assert issues("vimeo90k", vimeo, tmp_path, verify={"decode": False}) == []
    FAULTS["missing"](vimeo / CLIP / "im2.png")
    assert [f.kind for f in issues("vimeo90k", vimeo, tmp_path, verify={"decode": False})] == ["missing file"]


def test_flow_labels(vimeo: Path, tmp_path: Path) -> None:
    labels = [vimeo / "flow" / "00001" / "0002" / f"flow_t{i}.flo" for i in (0, 1)]
    assert issues("vimeo90k", vimeo, tmp_path, data={"flow": True}) == []
    labels[0].unlink()
    labels[1].write_bytes(labels[1].read_bytes()[:-8])
    found = issues("vimeo90k", vimeo, tmp_path, data={"flow": True})
    assert [(f.kind, str(label) in f.what) for f, label in zip(found, labels, strict=True)] == [
        ("missing file", True),
        ("broken file", True),
    ]


def test_septuplets_taken_for_triplets_and_the_other_way_round(vimeo: Path, tmp_path: Path) -> None:
    septuplets = fabricate("vimeo_septuplet", tmp_path)
    found = issues("vimeo90k", septuplets, tmp_path)
    assert found[0].kind == "mix-up"
    assert "it is vimeo_septuplet" in found[0].what
    assert "data=vimeo_septuplet" in found[0].fix
    assert "it is vimeo_triplet" in issues("vimeo_septuplet", vimeo, tmp_path)[0].what
    # The lists of the one over the clips of the other, as it comes from unpacking both in one place.
    shutil.copytree(septuplets / CLIP, vimeo / CLIP, dirs_exist_ok=True)
    mixed = [f for f in issues("vimeo90k", vimeo, tmp_path) if f.kind == "mix-up"]
    assert [f.what for f in mixed] == [f"{vimeo / CLIP} holds 7 images as in vimeo_septuplet, not 3"]


def test_distance_maps_of_another_size_and_missing_ones(tmp_path: Path) -> None:
    root = fabricate("vimeo_septuplet", tmp_path, clips=1)
    np.save(root / "sequences/00001/0001/dis_index_0_1_2.npy", np.zeros((10, 10), np.float16))
    (root / "sequences/00001/0001/dis_index_6_1_0.npy").unlink()
    found = issues("vimeo_septuplet", root, tmp_path, data={"variant": "D"})
    assert Counter(f.kind for f in found) == {"size": 1, "missing file": 1}
    (size,) = (f for f in found if f.kind == "size")
    assert "dis_index_0_1_2.npy holds float16 (10, 10), no map of 48x64" in size.what
    assert "task=distance" in size.fix


def test_videos_where_images_are_expected(tmp_path: Path) -> None:
    root = fabricate("x4k1000fps", tmp_path, clips=1)
    (folder,) = (root / "train").glob("*/*")
    first = cv2.imread(str(folder / "0000.png"))
    assert first is not None
    video = folder.with_suffix(".mp4")
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"mp4v"), 25, first.shape[1::-1])
    writer.write(first)
    writer.release()
    shutil.rmtree(folder)
    found = issues("x4k1000fps", root, tmp_path)
    assert [f.kind for f in found] == ["layout", "video"]
    assert f"ffmpeg -i {video}" in found[1].fix


def test_a_clip_with_a_frame_too_few(tmp_path: Path) -> None:
    root = fabricate("x4k1000fps", tmp_path, clips=1)
    (folder,) = (root / "train").glob("*/*")
    (folder / "0030.png").unlink()
    assert [f.what for f in issues("x4k1000fps", root, tmp_path)] == [f"{folder} has 64 images, not 65"]


def test_images_of_a_folder_that_differ_in_size(tmp_path: Path) -> None:
    root = fabricate("davis", tmp_path)
    wide(root / "JPEGImages/480p/bear/00002.jpg")
    (found,) = issues("davis", root, tmp_path, verify={"size": None})
    assert found.kind == "size"
    assert "00002.jpg is 64x100" in found.what


def test_images_of_another_size_than_published(vimeo: Path, tmp_path: Path) -> None:
    found = issues("vimeo90k", vimeo, tmp_path, verify={"size": None})
    assert len(found) == 15
    assert "im1.png is 64x96 pixels, not 256x448" in found[0].what


def test_a_folder_of_videos(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / "videos" / "a" / f"{number}.png", frame(0, number, (64, 96)))
    (tmp_path / "videos" / "b.mp4").write_bytes(b"no video")
    (found,) = issues("video", tmp_path / "videos", tmp_path)
    assert found.kind == "broken video"
    assert "b.mp4 cannot be read as a video" in found.what
    found_again = issues("video", tmp_path / "none", tmp_path)
    assert "there is no data.root" in found_again[0].what


def test_no_folder_and_no_files(tmp_path: Path) -> None:
    (found,) = issues("vimeo90k", tmp_path / "gone", tmp_path)
    assert found.kind == "folder"
    synthetic = config("synthetic", None, tmp_path)
    with pytest.raises(UserError, match=r"data=synthetic reads no files"):
        prepare(synthetic)


def test_several_processes_find_the_same(vimeo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vfi_train.prepare.file_checks.CHUNK", 2)
    FAULTS["missing"](vimeo / CLIP / "im2.png")
    FAULTS["cut off"](vimeo / "sequences/00002/0001/im1.png")
    single = issues("vimeo90k", vimeo, tmp_path)
    assert Counter(single) == Counter(issues("vimeo90k", vimeo, tmp_path, processes=3))
    assert len(single) == 2


def test_the_program_ends_with_a_table_and_a_status(tmp_path: Path) -> None:
    root = fabricate("davis", tmp_path)
    arguments = ["task=verify", "data=davis", f"data.root={root}", "processes=1"]
    complete = run_program("vfi_train.prepare", *arguments, "verify.subset=true", cwd=tmp_path)
    assert (complete.returncode, complete.stderr) == (0, complete.stderr)
    assert "no issues" in " ".join(complete.stdout.split())  # long paths wrap
    short = run_program("vfi_train.prepare", *arguments, cwd=tmp_path)
    assert short.returncode == 1
    assert "clips: 3 of 90" in short.stdout


# --- lists


def test_repeated_lines_and_clips_of_both_lists(vimeo: Path, tmp_path: Path) -> None:
    train, test = vimeo / "tri_trainlist.txt", vimeo / "tri_testlist.txt"
    first, second = train.read_text().split()[:2]
    train.write_text(f"{train.read_text().rstrip()}\n{first}\n")
    test.write_text(f"{test.read_text().rstrip()}\n{second}\n")
    found = issues("vimeo90k", vimeo, tmp_path)
    assert Counter(issue.kind for issue in found) == {"repeated line": 1, "trained test clip": 1}
    number = len(train.read_text().split())
    assert found[0].what == f"line {number} of {train} repeats line 1: {first}"
    assert found[1].what == f"{second} is in both {train} and tri_testlist.txt"


@pytest.mark.parametrize("name", ["tri_trainlist.txt", "tri_testlist.txt"])
def test_a_list_that_cannot_be_read_leaves_the_other(name: str, vimeo: Path, tmp_path: Path) -> None:
    """Both a broken list and a broken image of the other one are found."""
    other = {"tri_trainlist.txt": "tri_testlist.txt", "tri_testlist.txt": "tri_trainlist.txt"}[name]
    (vimeo / name).write_bytes(b"\xff\xfe\x00")
    clip = (vimeo / other).read_text().split()[0]
    (vimeo / "sequences" / clip / "im2.png").write_bytes(b"x")
    found = issues("vimeo90k", vimeo, tmp_path)
    assert any(issue.kind == "layout" and f"{vimeo / name} is not a text file" in issue.what for issue in found)
    assert any(issue.kind == "broken file" and f"{clip}/im2.png" in issue.what for issue in found)


def test_maps_with_nan_or_without_numbers(tmp_path: Path) -> None:
    root = fabricate("vimeo_septuplet", tmp_path)
    folder = root / "sequences/00001/0001"
    array = np.load(folder / "dis_index_0_3_6.npy")
    array[:2, :3] = np.nan
    np.save(folder / "dis_index_0_3_6.npy", array)
    np.save(folder / "dis_index_6_3_0.npy", np.zeros_like(array, np.int32))
    found = issues("vimeo_septuplet", root, tmp_path, data={"variant": "D"})
    assert {(issue.kind, Path(issue.what.split()[0]).name) for issue in found} == {
        ("NaN in map", "dis_index_0_3_6.npy"), ("size", "dis_index_6_3_0.npy"),
    }  # fmt: skip
    assert "holds NaN in 6 of" in next(issue.what for issue in found if issue.kind == "NaN in map")


def test_videos_with_uneven_times_are_told_and_mined_without_them(tmp_path: Path) -> None:
    """One frame of 24 is missing."""
    root = tmp_path / "videos"
    root.mkdir()
    images = pan(24)
    write_video(root / "a.mp4", images[:10] + images[11:], ticks=[100 * i for i in range(24) if i != 10])
    found = issues("video", root, tmp_path)
    assert [issue.kind for issue in found] == ["uneven times"]
    assert found[0].what.startswith(f"{root / 'a.mp4'}: 2 of 21 triplets of neighbours have a target off the middle")
    keys = {"data": {"cache_dir": str(tmp_path / "cache"), "gap": 1}, "triplets": {"least_motion": 0.0}}
    prepare(task("triplets", "video", root, output=str(tmp_path / "out"), **keys))
    note = json.loads((tmp_path / "out/triplets.json").read_text())
    numbers = [clip["numbers"] for clip in note["clips"]]
    assert numbers
    assert all(middle not in (9, 10) for _, middle, _ in numbers)


def test_damaged_and_interlaced_videos_are_named(tmp_path: Path) -> None:
    options = {"g": "10", "bf": "0"}
    hole = zero_packets(write_video(tmp_path / "hole.mp4", pan(30), options=options), [15])
    fields = write_video(tmp_path / "a.mp4", pan(4), options={"flags": "+ildct+ilme", "x264-params": "tff=1"})
    good = write_video(tmp_path / "good.mp4", pan(4))
    assert "1 of its 30 packets cannot be decoded" in str(check_video(ClipPath(hole, "hole")))
    assert "a.mp4 is interlaced" in str(check_video(ClipPath(fields, "a")))
    assert check_video(ClipPath(fields, "a", deinterlace="bwdif")) == (None, None)
    assert check_video(ClipPath(good, "good")) == (None, None)
