"""The number that stands for the files of a training."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from datamodules.joint import Joint
from datamodules.synthetic import Synthetic
from datamodules.vimeo90k import Vimeo90K
from tests.helpers.layouts import fabricate
from vfi_train.training.data_manifest import manifest


def test_it_is_of_the_names_of_all_files(tmp_path: Path) -> None:
    root = fabricate("vimeo90k", tmp_path / "data", size=(32, 48), clips=3)
    clips = [line for name in ("tri_trainlist.txt", "tri_testlist.txt") for line in (root / name).read_text().split()]
    names = sorted(f"sequences/{clip}/im{k}.png" for clip in clips for k in (1, 2, 3))
    expected = hashlib.sha256("".join(f"{name}\n" for name in names).encode()).hexdigest()
    found = manifest(Vimeo90K(root=str(root), batch_size=1))
    assert found == {"files": len(names), "sha256": expected}
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(root, elsewhere)
    assert manifest(Vimeo90K(root=str(elsewhere), batch_size=2)) == found
    lines = (elsewhere / "tri_trainlist.txt").read_text().split()
    (elsewhere / "tri_trainlist.txt").write_text("\n".join(lines[:-1]))
    fewer = manifest(Vimeo90K(root=str(elsewhere), batch_size=1))
    assert fewer is not None
    assert fewer["files"] == len(names) - 3
    joint = manifest(Joint(datasets={"a": Vimeo90K(root=str(root), batch_size=1)}, batch_size=1))
    assert joint is not None
    assert joint["files"] == len(names)
    assert joint["sha256"] != expected


def test_drawn_scenes_have_none() -> None:
    assert manifest(Synthetic(batch_size=1)) is None
