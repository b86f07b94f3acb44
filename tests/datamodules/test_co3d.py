"""CO3D's sampling against the published fork of EMA-VFI."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from datamodules.co3d import CO3D, middle_triplet, packs
from datamodules.file_dataset import Triplet, random_triplet
from tests.helpers.golden_cases import load
from tests.helpers.layouts import fabricate
from vfi_train.errors import DataError

INFO = load("functions_EMA-VFI", "co3d_sampling").info
EPSILON = 1e-6  # what the published times add to the divisor


@pytest.mark.parametrize("images", [202, 200, 198])
def test_packs_are_the_published_ones(images: int) -> None:
    expected = INFO["packs"][f"len{images}_tg18"]
    got = [[pack.start, pack.stop] for pack in packs(images, 18, drop_last_exact=True)]
    assert got == expected
    complete = [[pack.start, pack.stop] for pack in packs(images, 18)]
    assert complete == expected + ([[187, 198]] if images == 198 else [])


def test_single_images_are_no_pack() -> None:
    assert packs(35, 18) == packs(0, 18) == []
    assert packs(36, 18) == [range(i, i + 2) for i in range(0, 36, 2)]


def test_times_are_the_published_ones_without_the_epsilon() -> None:
    for row in INFO["timestep_examples"]:
        span = row["ind"][2] - row["ind"][0]
        assert Triplet(*row["ind"]).time == pytest.approx(row["t"] * (span + EPSILON) / span, rel=1e-14)
    published = np.array(INFO["makepix_times_pack11"])
    inner_times = [Triplet(0, i, 10).time for i in range(1, 10)]
    np.testing.assert_allclose(inner_times, published * (10 + EPSILON) / 10, rtol=1e-14)


def test_random_triplets_are_ordered_and_uniform() -> None:
    rng = np.random.default_rng(0)
    counts = Counter(random_triplet(rng, 5) for _ in range(5000))
    assert set(counts) == {(a, b, c) for a in range(5) for b in range(a + 1, 5) for c in range(b + 1, 5)}
    assert max(abs(count - 500) for count in counts.values()) < 4 * (5000 * 0.1 * 0.9) ** 0.5  # 4 sigma


def test_middle_triplet() -> None:
    assert middle_triplet(11) == (0, 5, 10)
    assert middle_triplet(11).time == 0.5
    assert middle_triplet(10) == (0, 5, 9)
    assert middle_triplet(10).time == 5 / 9


def test_samples_are_triplets_of_a_pack(tmp_path: Path) -> None:
    root = fabricate("co3d", tmp_path, clips=1)  # eleven views: packs of five, one left over
    source = CO3D(root=str(root), batch_size=1, packs=2).train_source()
    assert len(source) == 2
    for seed in range(20):
        sample: Any = source.sample(1, np.random.default_rng(seed))
        folder, _, names = sample["key"].partition("/")
        numbers = [int(name.removeprefix("frame")) for name in names.split("-")]
        assert 6 <= numbers[0] < numbers[1] < numbers[2] <= 10
        assert sample["time"] == (numbers[1] - numbers[0]) / (numbers[2] - numbers[0])
        for field, name in zip(("frame0", "target", "frame1"), names.split("-"), strict=True):
            image = cv2.imread(str(root / "train" / folder / "images" / f"{name}.jpg"))
            np.testing.assert_array_equal(sample[field], image[..., ::-1])
    fixed: Any = CO3D(root=str(root), batch_size=1, packs=2, multi=False).train_source().sample(0, None)
    assert fixed["key"].endswith("/frame000001-frame000003-frame000005")
    with pytest.raises(DataError, match=r"has 3 images for each of data\.packs=4 packs: give fewer"):
        CO3D(root=str(root), batch_size=1, packs=4).check()
