"""X-TRAIN's random gaps against ATM-VFI's published loader."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datamodules.x4k1000fps import X4K1000FPS
from tests.helpers.golden_cases import load
from tests.helpers.layouts import fabricate, frame
from vfi_train.errors import DataError

INFO = load("functions_ATM-VFI", "augmentation").info


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fabricate("x4k1000fps", tmp_path_factory.mktemp("x4k"), size=(8, 80))


def draws(root: Path, count: int, **options: Any) -> list[tuple[int, int, int]]:
    """First frame, target and gap of random samples, by their images (frame k is moved k pixels)."""
    source = X4K1000FPS(root=str(root), batch_size=1, **options).train_source()
    known = {frame(0, k, (8, 80)).tobytes(): k for k in range(65)}
    drawn = []
    for i in range(count):
        sample: Any = source.sample(0, np.random.default_rng(i))
        first, target, last = (known[sample[name].tobytes()] for name in ("frame0", "target", "frame1"))
        assert sample["time"] == 0.5
        assert sample["key"] == f"001/occ000.120_f0433/{first:02d}-{last:02d}"
        drawn.append((first, target - first, last - first))
    return drawn


def test_targets_are_the_published_ones(root: Path) -> None:
    offsets = {int(gap): offset for gap, offset in INFO["gt_offset_by_temporal_step"].items()}
    drawn = draws(root, 400, odd_gaps=True)
    assert all(offset == offsets[gap] for _, offset, gap in drawn)
    gaps = Counter(gap for _, _, gap in drawn)
    assert set(gaps) == set(offsets) == set(range(2, 33))
    assert max(abs(n - 400 / 31) for n in gaps.values()) < 4.5 * (400 / 31) ** 0.5


@pytest.mark.parametrize("gap", [2, 3, 16, 31, 32])
def test_first_frames_are_the_published_ones(gap: int, root: Path) -> None:
    smallest, largest = INFO["first_index_range"][str(gap)]
    firsts = [first for first, _, _ in draws(root, 600, odd_gaps=True, gap=[gap, gap])]
    assert (min(firsts), max(firsts)) == (smallest, largest)


def test_by_default_the_target_is_in_the_middle(root: Path) -> None:
    drawn = draws(root, 200)
    assert all(2 * offset == gap for _, offset, gap in drawn)
    assert {gap for _, _, gap in drawn} == set(range(2, 33, 2))


def test_a_sample_with_too_few_images_is_named(tmp_path: Path) -> None:
    root = fabricate("x4k1000fps", tmp_path, clips=1)
    (root / "train/001/occ000.120_f0433/0064.png").unlink()
    module = X4K1000FPS(root=str(root), batch_size=1)
    module.setup("fit")
    with pytest.raises(DataError, match=r"^sample 001/occ000\.120_f0433/\S+: \S+ has 64 images, not 65: .*X-TRAIN"):
        list(module.train_dataloader())
