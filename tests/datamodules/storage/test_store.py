"""A dataset's contents under their published names: as files, packed, or both."""

from __future__ import annotations

import pickle
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from datamodules.storage import flow_io
from datamodules.storage.pack_writer import finish, write_shard
from datamodules.storage.store import Store, open_store
from vfi_train.errors import DataError

RNG = np.random.default_rng(0)
IMAGES = {
    f"sequences/0000{group}/000{clip}/im{frame}.png": RNG.integers(0, 256, (6, 5 + group, 3), dtype=np.uint8)
    for group in (1, 2)
    for clip in (1, 2)
    for frame in (1, 2, 10)
}
FLOW = RNG.standard_normal((6, 5, 2)).astype(np.float32)
MAP = RNG.standard_normal((3, 2)).astype(np.float16)
FLOW_NAME, MAP_NAME = "flow/00001/0001/flow_t0.flo", "sequences/00001/0001/dis_index_0_1_2.npy"


def write_files(root: Path) -> Path:
    for name, image in IMAGES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / name), image[..., ::-1])
    (root / FLOW_NAME).parent.mkdir(parents=True)
    flow_io.write(root / FLOW_NAME, FLOW)
    np.save(root / MAP_NAME, MAP)
    (root / "list.txt").write_text("00001/0001\n")
    return root


def write_packs(root: Path) -> Path:
    frames, others = root / "packed" / "frames", root / "packed" / "others"
    frames.mkdir(parents=True)
    others.mkdir()
    images = list(IMAGES.items())
    write_shard(frames, 0, images[:7])
    write_shard(frames, 1, images[7:])
    finish(frames, 2, {})
    write_shard(others, 0, [(MAP_NAME, MAP), (FLOW_NAME, FLOW)])
    finish(others, 1, {})
    (root / "list.txt").write_text("00001/0001\n")
    return root


def write_mixed(root: Path) -> Path:
    """Images as files, the rest packed."""
    write_files(root)
    write_packs(root)
    shutil.rmtree(root / "packed" / "frames")
    (root / FLOW_NAME).unlink()
    (root / MAP_NAME).unlink()
    return root


@pytest.fixture(params=[write_files, write_packs, write_mixed], ids=["files", "packed", "mixed"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return open_store(request.param(tmp_path))


def test_all_kinds_of_contents_are_read_as_they_were_written(store: Store) -> None:
    for name, image in IMAGES.items():
        np.testing.assert_array_equal(store.read(name, "key"), image)
    flow, distance = store.read_flow(FLOW_NAME, "key"), store.read_array(MAP_NAME, "key")
    np.testing.assert_array_equal(flow, FLOW)
    np.testing.assert_array_equal(distance, MAP)
    assert (flow.dtype, distance.dtype) == (np.float32, np.float16)
    assert store.read_text("list.txt") == "00001/0001\n"


def test_folders_are_listed_as_names_in_natural_order(store: Store) -> None:
    folder = "sequences/00002/0001"
    assert store.listed(folder) == [f"{folder}/im{i}.png" for i in (1, 2, 10)]
    assert store.listed("sequences/00001/0001/") == [f"sequences/00001/0001/im{i}.png" for i in (1, 2, 10)]
    assert store.listed("sequences") == store.listed("none") == []
    assert store.folders("sequences") == ["sequences/00001", "sequences/00002"]
    assert store.folders() == ["flow", "sequences"]


def test_what_exists(store: Store) -> None:
    for name in (FLOW_NAME, MAP_NAME, *IMAGES, "sequences", "sequences/00001/0001", "list.txt"):
        assert store.exists(name), name
    for name in ("sequences/00001/0001/im3.png", "seq", "sequences/0000", "x" * 200, "x" * 200 + "/"):
        assert not store.exists(name), name


def test_another_process_maps_for_itself(store: Store) -> None:
    name = next(iter(IMAGES))
    store.read(name, "key")
    assert len(pickle.dumps(store)) < 2000
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(store)).read(name, "key"), IMAGES[name])


def test_what_is_missing_or_broken_is_one_sentence(store: Store) -> None:
    with pytest.raises(DataError, match=r"^sample clip7: \S+/sequences/im9\.png is missing$"):
        store.read("sequences/im9.png", "clip7")
    with pytest.raises(DataError, match=r"^sample clip7: \S+/none\.flo cannot be read: No such file"):
        store.read_flow("none.flo", "clip7")
    with pytest.raises(DataError, match=r"^sample clip7: \S+/none\.npy is missing$"):
        store.read_array("none.npy", "clip7")
    with pytest.raises(DataError, match=r"none\.txt cannot be read: No such file"):
        store.read_text("none.txt")


def test_what_is_of_another_kind_is_one_sentence(tmp_path: Path) -> None:
    packed = open_store(write_packs(tmp_path))
    with pytest.raises(DataError, match=r"^sample a: \S+flow_t0\.flo is packed as float32 6x5x2, not as an image$"):
        packed.read(FLOW_NAME, "a")
    with pytest.raises(DataError, match=r"im1\.png is packed as uint8 6x6x3, not as a flow$"):
        packed.read_flow(next(iter(IMAGES)), "a")


def cut(name: str, by: int) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-by])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "00001.bin").unlink(), r"^the shard \S+frames/00001\.bin is missing: delete it and pack again"),
        (cut("00001.bin", 64), r"^the shard \S+00001\.bin is \d+ bytes long, not \d+: delete"),
        (cut("names.npy", 9), r"^the index of the pack \S+frames is broken \(.+\): pack it again$"),
        (lambda f: (f / "entries.npy").unlink(), r"^the index of the pack \S+frames is broken"),
        (lambda f: (f / "index.json").write_text("{"), r"^the index of the pack \S+frames is broken"),
        (lambda f: (f / "index.json").write_text('{"format": 9}'), r"frames is of format 9, not 1: pack it again$"),
    ],
)
def test_a_broken_pack_is_one_sentence_when_it_is_opened(spoil: Callable, message: str, tmp_path: Path) -> None:
    spoil(write_packs(tmp_path) / "packed" / "frames")
    with pytest.raises(DataError, match=message):
        open_store(tmp_path)


def test_a_changed_byte_is_found_by_the_checksum(tmp_path: Path) -> None:
    write_packs(tmp_path)
    shard = tmp_path / "packed" / "frames" / "00001.bin"
    content = bytearray(shard.read_bytes())
    content[-65] ^= 1  # the last image is 6*7*3 = 126 bytes, 2 bytes before the end of its two times 64
    shard.write_bytes(content)
    (pack,) = (p for p in open_store(tmp_path).packs if p.folder.name == "frames")
    assert [n.decode() for row, n in enumerate(pack.names) if not pack.is_intact(row)] == [list(IMAGES)[-1]]
    full = pack.entries[0]
    assert int(full["checksum"]) == zlib.crc32(next(iter(IMAGES.values())).tobytes())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"^sample a: \S+map\.npy is not a complete \.npy file"),
        (b"hello", r"is not a complete \.npy file"),
        (None, r"is not a complete \.npy file"),
    ],
)
def test_a_broken_map_is_one_sentence(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "map.npy"
    np.save(path, MAP)
    path.write_bytes(path.read_bytes()[:-3] if content is None else content)
    with pytest.raises(DataError, match=message):
        open_store(tmp_path).read_array("map.npy", "a")
