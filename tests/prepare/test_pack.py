"""A packed dataset gives the samples of its files, bit for bit; packing can be killed, and refuses what has no room."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate

from datamodules.storage.store import open_store
from datamodules.vimeo90k import Vimeo90K
from tests.helpers.layouts import LAYOUTS, fabricate
from tests.helpers.prepare_tasks import task
from tests.helpers.programs import ENVIRONMENT
from vfi_train.errors import DataError, UserError
from vfi_train.prepare import disk
from vfi_train.prepare.command import prepare
from vfi_train.prepare.pack import estimate
from vfi_train.prepare.verify import find_issues

SHARD = 0.03  # MiB: two images
TRANSFORMS = [
    {"_target_": "datamodules.transforms.RandomResize", "factor": 2, "probability": 0.5},
    {"_target_": "datamodules.transforms.RandomCrop", "size": 32},
    {"_target_": "datamodules.transforms.ReverseChannels"},
    {"_target_": "datamodules.transforms.VerticalFlip"},
    {"_target_": "datamodules.transforms.HorizontalFlip"},
    {"_target_": "datamodules.transforms.Transpose"},
    {"_target_": "datamodules.transforms.ReverseTime"},
]
EXTRA: dict[str, dict[str, Any]] = {"vimeo90k": {"flow": True}, "vimeo_septuplet": {"variant": "D", "flow": True}}


def packed(name: str, root: Path, output: Path, **keys: Any) -> Path:
    settings = {"data": EXTRA.get(name, {}), **keys, "pack": {"shard": SHARD, **keys.pop("pack", {})}}
    prepare(task("pack", name, root, output=str(output), **settings))
    return output


def batches(name: str, root: Path, workers: int = 0) -> list[dict[str, Any]]:
    """Two epochs of training, where there is any, and the held-out samples."""
    config = task("verify", name, root, data={**EXTRA.get(name, {}), "num_workers": workers})
    if LAYOUTS[name].trains:
        config.data.transforms = TRANSFORMS
    data = instantiate(config.data, _convert_="all")
    data.setup("fit" if data.trains else "validate")
    train = data.train_dataloader() if data.trains else []
    return [batch for loader in (train, train, data.val_dataloader()) for batch in loader]


def assert_equal(some: list[dict[str, Any]], others: list[dict[str, Any]]) -> None:
    assert len(some) == len(others) > 0
    for one, other in zip(some, others, strict=True):
        assert list(one) == list(other)
        for key, value in one.items():
            same = torch.equal(value, other[key]) if isinstance(value, torch.Tensor) else value == other[key]
            assert same, (one["key"], key)


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Of each shard: which file it is on the disk, and its bytes."""
    return {path.name: (path.stat().st_ino, path.read_bytes()) for path in folder.glob("*.bin")}


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name not in ("hd", "xiph")])  # raw; large images
def test_a_packed_dataset_gives_the_same_batches(name: str, tmp_path: Path) -> None:
    root = fabricate(name, tmp_path / "files")
    output = packed(name, root, tmp_path / "packed")
    assert not list(output.rglob("*.png"))
    assert_equal(batches(name, output), batches(name, root))


def test_what_is_raw_already_is_not_packed(tmp_path: Path) -> None:
    root = fabricate("hd", tmp_path / "files")
    with pytest.raises(UserError, match=r"^data=hd has nothing to pack"):
        packed("hd", root, tmp_path / "packed")


def test_several_processes_write_the_same_shards(tmp_path: Path) -> None:
    root = fabricate("vimeo90k", tmp_path / "files")
    single = packed("vimeo90k", root, tmp_path / "single") / "packed" / "frames"
    together = packed("vimeo90k", root, tmp_path / "together", processes=3) / "packed" / "frames"
    assert len(contents(single)) > 3
    for name in (*contents(single), "names.npy", "entries.npy", "index.json"):
        assert (single / name).read_bytes() == (together / name).read_bytes(), name


def test_a_second_pack_holds_what_the_first_does_not(tmp_path: Path) -> None:
    root = fabricate("vimeo90k", tmp_path / "files")
    output = packed("vimeo90k", root, tmp_path / "packed", data={"flow": False})
    packed("vimeo90k", root, output, pack={"name": "flow"}, data={"flow": True})
    frames, flow = (open_store(output, without=name).packs[0] for name in ("flow", "frames"))
    assert {name.rpartition(b".")[2] for name in frames.names} == {b"png"}
    assert {name.rpartition(b".")[2] for name in flow.names} == {b"flo"}
    assert_equal(batches("vimeo90k", output), batches("vimeo90k", root))


def test_packs_may_lie_beside_the_files(tmp_path: Path) -> None:
    root = fabricate("vimeo90k", tmp_path)
    before = batches("vimeo90k", root)
    packed("vimeo90k", root, root)
    shutil.rmtree(root / "sequences")
    shutil.rmtree(root / "flow")
    assert_equal(batches("vimeo90k", root), before)


def test_a_broken_shard_is_found_and_made_anew(tmp_path: Path) -> None:
    root = fabricate("vimeo90k", tmp_path / "files")
    output = packed("vimeo90k", root, tmp_path / "packed")
    config = task("verify", "vimeo90k", output)

    def found() -> list[tuple[str, str, str]]:
        data = instantiate(config.data, _convert_="all")
        return [(issue.kind, issue.what, issue.fix) for issue in find_issues(data, subset=True, size=[64, 96])]

    assert found() == []
    folder = output / "packed" / "frames"
    before = contents(folder)
    shard = folder / "00001.bin"
    spoilt = bytearray(shard.read_bytes())
    spoilt[100] ^= 255
    shard.write_bytes(spoilt)
    ((kind, what, fix),) = found()
    assert kind == "broken pack"
    assert f"in {shard} is not what was packed" in what
    assert f"delete {shard}" in fix
    shard.unlink()
    ((kind, what, _),) = found()
    assert "00001.bin is missing" in what
    packed("vimeo90k", root, output)
    assert found() == []
    after = contents(folder)
    assert {name: content for name, (_, content) in after.items()} == {n: content for n, (_, content) in before.items()}
    assert after["00000.bin"][0] == before["00000.bin"][0]  # not written again


@pytest.mark.slow
def test_killed_in_the_middle_and_gone_on(tmp_path: Path) -> None:
    """SIGKILL to the program while its processes write; nothing that was complete is written again, nothing is lost."""
    root = fabricate("vimeo90k", tmp_path / "files", clips=50)
    output = tmp_path / "packed"
    folder = output / "packed" / "frames"
    arguments = ["task=pack", "data=vimeo90k", f"data.root={root}", f"output={output}"]
    command = [
        sys.executable,
        "-m",
        "vfi_train.prepare",
        *arguments,
        f"pack.shard={SHARD}",
        "processes=2",
        "data.flow=true",
    ]
    program = subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 120
    while len(list(folder.glob("*.bin"))) < 3:
        assert program.poll() is None, program.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(program.pid, signal.SIGKILL)
    program.communicate()  # ends when its processes have ended, too
    assert not (folder / "index.json").exists()
    killed = contents(folder)
    time.sleep(0.1)
    assert contents(folder) == killed  # its processes died with it
    packed("vimeo90k", root, output)
    complete = contents(folder)
    assert 3 <= len(killed) < len(complete)
    for name, content in killed.items():
        assert complete[name] == content, name
    assert_equal(batches("vimeo90k", output), batches("vimeo90k", root))


def test_a_disk_without_room_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = fabricate("vimeo90k", tmp_path / "files")
    room = shutil.disk_usage(tmp_path).free
    monkeypatch.setattr("vfi_train.prepare.pack.estimate", lambda store, names: room + disk.GIB)
    with pytest.raises(UserError, match=r"^the pack frames takes [\d,.]+ GiB, but \S+ has [\d,.]+ GiB free: make room"):
        packed("vimeo90k", root, tmp_path / "packed", pack={"shard": 1e9})
    assert not (tmp_path / "packed").exists()
    monkeypatch.undo()
    packed("vimeo90k", root, tmp_path / "packed", pack={"shard": 0.1})  # with other settings


def test_the_estimate_is_what_the_shards_take(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = fabricate("vimeo90k", tmp_path / "files")
    output = packed("vimeo90k", root, tmp_path / "packed")
    shards = sum(len(content) for _, content in contents(output / "packed" / "frames").values())
    assert shards == 15 * 64 * 96 * 3 + 10 * 64 * 96 * 8
    store = open_store(root)
    assert (
        abs(estimate(store, [name for name, _ in Vimeo90K(root=str(root), batch_size=1, flow=True).files()]) - shards)
        < 200
    )
    assert f"25 files take about {shards / disk.GIB:,.2f} GiB in" in capsys.readouterr().out


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_disk_that_fills_up_is_one_sentence_and_the_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = fabricate("vimeo90k", tmp_path / "files")
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", str(small)], check=False).returncode:
        pytest.skip("this machine lets nobody mount")
    try:
        monkeypatch.setattr("vfi_train.prepare.disk.require", lambda *_: None)
        with pytest.raises(UserError, match=rf"^the disk of {small}\S* is full: make room and give the same command"):
            packed("vimeo90k", root, small)
        done = contents(small / "packed" / "frames")
        assert done
        subprocess.run(["mount", "-o", "remount,size=2m", str(small)], check=True)
        packed("vimeo90k", root, small)
        assert contents(small / "packed" / "frames").items() >= done.items()
        assert_equal(batches("vimeo90k", small), batches("vimeo90k", root))
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    root = fabricate("vimeo90k", tmp_path / "files")
    output = packed("vimeo90k", root, tmp_path / "packed")
    with pytest.raises(UserError, match=r"frames was begun for other files or with other settings"):
        packed("vimeo90k", root, output, pack={"shard": 0.1})
    with pytest.raises(UserError, match=r"^task=pack needs a folder to write to: give output=FOLDER$"):
        prepare(task("pack", "vimeo90k", root))
    with pytest.raises(UserError, match=r"^task=pack needs a dataset: give data=NAME data\.root=FOLDER$"):
        prepare(task("pack", output=str(output)))
    with pytest.raises(UserError, match=r"Video is none$"):
        prepare(task("pack", "video", root, output=str(output)))
    (root / "sequences/00001/0002/im2.png").unlink()
    for processes in (1, 2):
        with pytest.raises(DataError, match=r"im2\.png is missing$"):
            packed("vimeo90k", root, tmp_path / f"again{processes}", processes=processes)
