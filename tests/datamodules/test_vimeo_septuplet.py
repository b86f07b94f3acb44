"""Septuplets: which triples are drawn, with which times, maps and references."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from datamodules.storage.distance_maps import PREPARATIONS
from datamodules.vimeo_septuplet import VimeoSeptuplet
from tests.helpers.golden_cases import load
from tests.helpers.in_process import composed
from tests.helpers.layouts import fabricate, frame, stored_map
from vfi_train.errors import DataError
from vfi_train.evaluate.options import read_benchmark

SIZE = (48, 64)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fabricate("vimeo_septuplet", tmp_path_factory.mktemp("septuplets"))


def data(root: Path, **options: Any) -> VimeoSeptuplet:
    return VimeoSeptuplet(root=str(root), **{"batch_size": 2, **options})


def draws(root: Path, count: int, **options: Any) -> list[dict[str, Any]]:
    """Samples of the first clip, which is number 0 of the layout."""
    source = data(root, **options).train_source()
    return [source.sample(0, np.random.default_rng(i)) for i in range(count)]  # type: ignore[misc]


def numbers(key: str) -> tuple[int, int, int, int | None]:
    """Start, target, end and reference."""
    triple, _, reference = key.rpartition("/")[2].partition("-r")
    start, middle, end = (int(n) for n in triple.split("-"))
    return start, middle, end, int(reference) if reference else None


def test_all_triples_are_alike_and_half_of_them_backwards(root: Path) -> None:
    source = data(root).train_source()
    source.store = Images()  # type: ignore[attr-defined]
    drawn = [numbers(source.sample(0, np.random.default_rng(i))["key"])[:3] for i in range(7000)]  # type: ignore[call-overload]
    counts = Counter(tuple(sorted(triple)) for triple in drawn)
    assert len(counts) == 35
    assert max(abs(count - 200) for count in counts.values()) < 4 * (7000 / 35 * 34 / 35) ** 0.5  # 4 sigma
    assert all(a < m < b or a > m > b for a, m, b in drawn)
    assert abs(sum(a > b for a, _, b in drawn) - 3500) < 4 * (7000 / 4) ** 0.5


class Images:
    """A store whose images cost nothing."""

    def read(self, name: str, key: str) -> np.ndarray:
        return np.zeros((2, 2, 3), np.uint8)


def test_frames_and_times_are_those_of_the_key(root: Path) -> None:
    golden = {(a, m, b): time for a, m, b, time in load("functions_RIFE", "time_index").info["values"]}
    checked = 0
    for sample in draws(root, 200):
        start, middle, end, _ = numbers(sample["key"])
        for field, number in (("frame0", start), ("target", middle), ("frame1", end)):
            np.testing.assert_array_equal(sample[field], frame(0, number, SIZE))
        assert sample["time"] == pytest.approx((middle - start) / (end - start), abs=1e-6)
        if (start, middle, end) in golden:
            assert sample["time"] == golden[start, middle, end]
            checked += 1
        assert "reference" not in sample
    assert checked >= 3


@pytest.mark.parametrize("maps", ["rife", "amt_s", "ifrnet"])
def test_a_map_is_the_file_of_its_direction_prepared_as_the_recipe_does(maps: str, root: Path) -> None:
    seen = set()
    for sample in draws(root, 12, variant="D", maps=maps):
        start, middle, end, _ = numbers(sample["key"])
        seen.add(start < end)
        full = np.repeat(np.repeat(stored_map(0, (start, middle, end), SIZE), 2, 0), 2, 1).astype(np.float32)
        if maps == "rife":  # 5 taps at half size
            half = stored_map(0, (start, middle, end), SIZE).astype(np.float32).clip(0, 1)
            expected = cv2.GaussianBlur(half, (5, 5), 0).repeat(2, 0).repeat(2, 1)
        else:
            expected = cv2.GaussianBlur(full.clip(0, 1), (9, 9), 0)
        np.testing.assert_allclose(sample["time"], expected, atol=3e-7)
    assert seen == {True, False}


@pytest.mark.parametrize(("maps", "variant"), [("rife", "DR"), ("ema_vfi", "D"), ("ema_vfi", "DR")])
def test_maps_that_are_prepared_after_the_crop(maps: str, variant: str, root: Path) -> None:
    from datamodules.transforms import CenterCrop

    for sample in draws(root, 6, variant=variant, maps=maps, transforms=[CenterCrop(16)]):
        start, middle, end, _ = numbers(sample["key"])
        stored = stored_map(0, (start, middle, end), SIZE)
        cropped = stored.astype(np.float32).repeat(2, 0).repeat(2, 1)[16:32, 24:40]
        expected = cropped if (maps, variant) == ("ema_vfi", "DR") else cv2.GaussianBlur(cropped.clip(0, 1), (9, 9), 0)
        np.testing.assert_allclose(sample["time"], expected, atol=3e-7)
        assert sample["time"].shape == (16, 16)


def test_a_reference_is_any_frame_from_start_to_end_the_target_included(root: Path) -> None:
    counts: Counter[str] = Counter()
    for sample in draws(root, 300, variant="TR"):
        start, middle, end, reference = numbers(sample["key"])
        assert reference is not None
        assert min(start, end) <= reference <= max(start, end)
        np.testing.assert_array_equal(sample["reference"], frame(0, reference, SIZE))
        counts["target"] += reference == middle
        counts["start"] += reference == start
        counts["end"] += reference == end
        for field, number in (("time", middle), ("reference_time", reference)):
            assert sample[field].shape == SIZE
            assert sample[field].dtype == np.float32
            np.testing.assert_allclose(sample[field], (number - start) / (end - start), atol=1e-6)
            assert 0 <= sample[field].min() <= sample[field].max() <= 1
    # Of a triple over n frames 1 / n each; the mean over the 35 triples is 0.228.
    expected = sum((7 - width) * (width - 1) / (width + 1) for width in range(2, 7)) / 35
    for name in ("target", "start", "end"):
        assert abs(counts[name] / 300 - expected) < 4 * (expected * (1 - expected) / 300) ** 0.5, name


def test_a_references_map_is_zero_at_the_start_one_at_the_end_and_a_file_between(root: Path) -> None:
    kinds = set()
    for sample in draws(root, 40, variant="DR", maps="ifrnet"):
        start, _, end, reference = numbers(sample["key"])
        assert reference is not None
        if reference in (start, end):
            np.testing.assert_array_equal(sample["reference_time"], np.full(SIZE, reference == end, np.float32))
        else:
            expected = PREPARATIONS["ifrnet_dr"].load(stored_map(0, (start, reference, end), SIZE), SIZE)
            np.testing.assert_array_equal(sample["reference_time"], expected)
        kinds.add((reference == start, reference == end))
    assert len(kinds) == 3


@pytest.mark.parametrize("variant", ["T", "D", "TR", "DR"])
def test_batches_of_the_four_variants(variant: str, root: Path) -> None:
    from datamodules.transforms import Compose, RandomCrop

    module = data(root, variant=variant, transforms=[RandomCrop(16)])
    assert isinstance(module.transforms, Compose)
    module.setup()
    batch = next(iter(module.train_dataloader()))
    assert batch["time"].shape == ((2, 1, 1, 1) if variant == "T" else (2, 1, 16, 16))
    assert ("reference" in batch) == ("R" in variant)
    if "R" in variant:
        assert batch["reference"].shape == (2, 3, 16, 16)
        assert batch["reference_time"].shape == (2, 1, 16, 16)
        assert batch["reference_time"].dtype == torch.float32
    val_split = next(iter(module.val_dataloader()))
    assert val_split["time"].shape == ((2, 1, 48, 64) if "D" in variant else (2, 1, 1, 1))
    assert "reference" not in val_split  # the network goes its own steps


def test_a_map_that_is_not_finite_makes_another_sample_take_the_place(tmp_path: Path) -> None:
    root = fabricate("vimeo_septuplet", tmp_path)
    for path in (root / "sequences/00001/0001").glob("*.npy"):
        np.save(path, np.full((24, 32), np.nan, np.float16))
    for path in (root / "sequences/00001/0002").glob("*.npy"):
        np.save(path, np.full((24, 32), np.inf, np.float16))
    source = data(root, variant="D", maps="rife", batch_size=1).train_source()  # clips before it enlarges
    drawn = [source.sample(0, np.random.default_rng(i)) for i in range(10)]
    assert all(np.isfinite(sample["time"]).all() for sample in drawn)  # type: ignore[call-overload]
    assert {sample["key"][:10] for sample in drawn} == {"00001/0002", "00001/0003"}  # type: ignore[call-overload]
    unclipped = data(root, variant="DR", maps="ema_vfi").train_source()
    references = [unclipped.sample(1, np.random.default_rng(i)) for i in range(10)]
    assert {sample["key"][:10] for sample in references} == {"00001/0003"}  # type: ignore[call-overload]
    again = source.sample(0, np.random.default_rng(3))
    assert again["key"] == drawn[3]["key"]  # type: ignore[call-overload]
    for path in (root / "sequences/00001").glob("*/*.npy"):
        np.save(path, np.full((24, 32), np.nan, np.float16))
    with pytest.raises(DataError, match=r"^100 samples one after the other had distance maps that are not finite"):
        source.sample(0, np.random.default_rng(0))


def test_held_out_times_are_the_published_ones(root: Path) -> None:
    golden = load("functions_InterpAny-Clearer", "schedules").info["evaluation_times"]
    source = data(root).val_source()
    assert len(source) == 2 * 5
    samples: list[Any] = [source.sample(i, None) for i in range(5)]
    assert [s["time"] for s in samples] == golden
    for number, sample in enumerate(samples, start=1):
        assert sample["key"] == f"00002/0001/0-{number}-6"
        assert sample["pair"] == "00002/0001"
        for field, k in (("frame0", 0), ("target", number), ("frame1", 6)):
            np.testing.assert_array_equal(sample[field], frame(3, k, SIZE))
    uniform: Any = data(root, variant="D", val_maps="uniform", val_targets=[3]).val_source()
    assert len(uniform) == 2
    assert uniform.sample(0, None)["time"] == 0.5


@pytest.mark.parametrize("variant", ["T", "TR", "D"])
def test_one_triple_of_each_clip_is_the_same_every_time(variant: str, tmp_path: Path) -> None:
    root = fabricate("vimeo_septuplet", tmp_path, clips=1)
    line = (root / "sep_testlist.txt").read_text().splitlines()[0]
    (root / "sep_testlist.txt").write_text(f"{line}\n" * 50)
    source, again = (data(root, variant=variant, val_targets="random").val_source() for _ in range(2))
    assert len(source) == 50
    keys = [source.sample(i, None)["key"] for i in range(50)]  # type: ignore[call-overload]
    assert keys == [again.sample(i, None)["key"] for i in range(50)]  # type: ignore[call-overload]
    drawn = [tuple(map(int, key.rpartition("/")[2].split("-"))) for key in keys]
    assert all(start < target < end for start, target, end in drawn)
    assert len(set(drawn)) > 20  # of 35
    for i, (start, target, end) in enumerate(drawn[:8]):
        sample: Any = source.sample(i, None)
        np.testing.assert_array_equal(sample["target"], source.store.read(f"sequences/{line}/im{target + 1}.png", ""))  # type: ignore[attr-defined]
        if variant == "D":
            assert sample["time"].shape == sample["target"].shape[:2]
        else:
            assert sample["time"] == pytest.approx((target - start) / (end - start), abs=2e-7)


def test_the_published_recipes_validate_one_target_of_each_clip() -> None:
    """7,824 of the test list, and the rest of the training list for RIFE; the benchmark has all five times."""
    for name in ("rife_t_septuplet", "amt_s_d_septuplet", "ifrnet_tr_septuplet", "emavfi_dr_septuplet"):
        assert composed(f"experiment={name}").data.val_targets == "random", name
    assert read_benchmark("vimeo_septuplet").options["val_targets"] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("maps", "variant"), [("rife", "D"), ("rife", "DR"), ("amt_s", "DR"), ("ema_vfi", "DR")])
def test_held_out_maps_are_prepared_as_the_published_tests_do(maps: str, variant: str, root: Path) -> None:
    sample: Any = data(root, variant=variant, maps=maps).val_source().sample(7, None)  # clip 4, target 3
    stored = stored_map(4, (0, 3, 6), SIZE).astype(np.float32)
    if (maps, variant) == ("rife", "DR"):
        expected = cv2.GaussianBlur(stored.repeat(2, 0).repeat(2, 1).clip(0, 1), (9, 9), 0)
    else:
        expected = cv2.GaussianBlur(stored.clip(0, 1), (5, 5), 0).repeat(2, 0).repeat(2, 1)
    np.testing.assert_allclose(sample["time"], expected, atol=3e-7)


def test_flow_labels_go_from_the_target_to_either_end(root: Path) -> None:
    for sample in draws(root, 5, flow=True):
        start, middle, end, _ = numbers(sample["key"])
        np.testing.assert_array_equal(sample["flow"][4, 5], (start - middle, 0, end - middle, 0))


def test_the_training_list_is_split_as_published(tmp_path: Path) -> None:
    """int(0.95 * 64,612) clips train; the rest of the list, or the test list, validates."""
    root = fabricate("vimeo_septuplet", tmp_path, clips=1)
    clips = [f"{i // 1000 + 1:05d}/{i % 1000 + 1:04d}" for i in range(64_612)]
    (root / "sep_trainlist.txt").write_text("\n".join(clips))
    module = data(root, train_fraction=0.95, val_split="test")
    assert len(module.train_source()) == 61_381
    rest = data(root, train_fraction=0.95, val_split="rest")
    with pytest.raises(DataError, match=r"^sample 00062/0382: \S+im1\.png is missing"):  # clip number 61,381
        rest.val_source()


@pytest.mark.parametrize(
    ("pattern", "options", "message"),
    [
        (
            "dis_index_4_2_0.npy",
            {"variant": "D"},
            r"dis_index_4_2_0\.npy, a distance map .* is missing: .*variant=T",
        ),
        (
            "flow_3_6.flo",
            {"flow": True},
            r"flow_3_6\.flo, a flow label .* is missing: .*data\.flow=false",
        ),
    ],
)
def test_missing_maps_and_labels_are_noticed_before_training(
    pattern: str, options: dict, message: str, tmp_path: Path
) -> None:
    root = fabricate("vimeo_septuplet", tmp_path, clips=1)
    next(root.rglob(f"00001/0001/{pattern}")).unlink()
    data(root).check()
    with pytest.raises(DataError, match=message):
        data(root, **options).check()
