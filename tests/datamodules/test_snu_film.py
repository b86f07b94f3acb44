"""SNU-FILM-arb and subsets by list files: which samples, and what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import conf
from tests.helpers.layouts import data, fabricate
from vfi_train.errors import DataError

BENCHMARK = yaml.safe_load((Path(conf.__file__).parent / "benchmark" / "snu_film_arb.yaml").read_text())
BETWEEN = {"x4": 3, "x8": 7, "x16": 15}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three lines of each list; to be read only."""
    return fabricate("snu_film", tmp_path_factory.mktemp("snu"), size=(32, 48))


def test_310_triplets_have_the_published_numbers_of_frames_between() -> None:
    assert BENCHMARK["count"] == {split: 310 * count for split, count in BETWEEN.items()}


@pytest.mark.parametrize("split", BETWEEN)
def test_every_frame_between_is_a_sample(split: str, root: Path) -> None:
    module = data("snu_film", root, **BENCHMARK["options"], **BENCHMARK["splits"][split])
    assert module.arbitrary_time
    items, count = module.val_items(), BETWEEN[split]
    assert len(items) == 3 * count == len({item.key for item in items})
    for item in items:
        first, target, last = (int(Path(str(name)).stem) for name in (item.frame0, item.target, item.frame1))
        assert last - first == count + 1
        assert item.time == (target - first) / (last - first)
        assert item.pair.endswith(f"/{first:06d}-{last:06d}")
    assert [item.time for item in items[:count]] == [k / (count + 1) for k in range(1, count + 1)]
    middle = [item for item in items if item.time == 0.5]
    triplets = data("snu_film", root, **BENCHMARK["splits"][split]).val_items()
    assert [(i.frame0, i.target, i.frame1) for i in middle] == [(i.frame0, i.target, i.frame1) for i in triplets]


def test_missing_frames_between_and_other_lists_are_named(tmp_path: Path) -> None:
    root = fabricate("snu_film", tmp_path, size=(32, 48))
    (root / "test" / "YouTube_test" / "0000" / "000003.png").unlink()
    with pytest.raises(DataError, match=r"000002\.png is followed by .*000004\.png: frames between them are missing"):
        data("snu_film", root, split="medium", between=True).val_items()
    (root / "test-hard.txt").write_text((root / "test-easy.txt").read_text())
    with pytest.raises(DataError, match=r"000003\.png is 2 frames after .*000001\.png, not 8: fetch test-hard\.txt"):
        data("snu_film", root, split="hard", between=True).val_items()


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["elsewhere/GOPRO_test/GOPR0384_11_00/000003.png x.png a/GOPRO_test/GOPR0384_11_00/000007.png"], [3]),
        (["GOPRO_test/GOPR0384_11_00/000001.png GOPRO_test/GOPR0384_11_00/000005.png", ""], [1]),
        (["YouTube_test/0000"], [2]),
        (["GOPR0384_11_00/000003-000007", "YouTube_test"], [2, 3]),
    ],
)
def test_a_list_takes_the_samples_it_names(lines: list[str], expected: list[int], root: Path, tmp_path: Path) -> None:
    path = tmp_path / "large_motion.txt"
    path.write_text("\n".join(lines))
    module = data("snu_film", root, split="medium", between=True, val_list=str(path))
    firsts = [int(Path(item.frame0).stem) for item in module.val_items()]
    assert firsts == [first for first in expected for _ in range(3)] == sorted(firsts)


def test_a_list_of_x_test(tmp_path: Path) -> None:
    root = fabricate("x4k1000fps", tmp_path, size=(32, 48))
    path = tmp_path / "large.txt"
    for line in ("TEST01_003_f0433", "X-TEST/Type1/TEST01_003_f0433/0000.png a.png Type1/TEST01_003_f0433/0032.png"):
        path.write_text(line)
        assert len(data("x4k1000fps", root, test_factor=8, val_list=str(path)).val_items()) == 7
    path.write_text("TEST01_003_f0433/0000-0032/0008\nTEST02\n")
    with pytest.raises(DataError, match=r"^line 2 of data\.val_list=.*large\.txt names no sample of the 7 here: TEST"):
        data("x4k1000fps", root, test_factor=8, val_list=str(path)).val_items()
    with pytest.raises(DataError, match=r"cannot be read \(No such file or directory\)"):
        data("x4k1000fps", root, val_list=str(tmp_path / "none")).val_items()
