"""Flow files against golden bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from datamodules.storage import flow_io
from tests.helpers.golden_cases import load
from vfi_train.errors import DataError

CASES = {"flo": ".flo", "pfm_grey": ".pfm", "float3": ".float3"}


@pytest.mark.parametrize("name", CASES)
def test_files_equal_the_published_ones(name: str, tmp_path: Path) -> None:
    golden = load("functions_IFRNet", "flow_files").info[name]
    array, path = np.array(golden["array"], np.float32), tmp_path / f"file{CASES[name]}"
    flow_io.write(path, array)
    assert path.read_bytes().hex() == golden["hex"]
    got = flow_io.read(path)
    assert got.dtype == np.float32
    assert np.array_equal(got, array)


@pytest.mark.parametrize(
    ("ending", "shape"), [(".pfm", (4, 5, 3)), (".float3", (7,)), (".float3", (2, 3)), (".flo", (4, 5, 2))]
)
def test_what_is_written_is_read(ending: str, shape: tuple, tmp_path: Path) -> None:
    array = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    flow_io.write(tmp_path / f"a{ending}", array)
    assert np.array_equal(flow_io.read(tmp_path / f"a{ending}"), array)


def test_a_big_endian_pfm_and_its_flow(tmp_path: Path) -> None:
    array = np.arange(24, dtype=">f4").reshape(2, 4, 3)
    (tmp_path / "a.pfm").write_bytes(b"PF\n4 2\n1.0\n" + array[::-1].tobytes())
    assert np.array_equal(flow_io.read_flow(tmp_path / "a.pfm"), array[..., :2])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.flo",
            b"PIEH\x02\x00\x00\x00\x02\x00\x00\x00abcd",
            r"a\.flo is not a complete \.flo file: 4 bytes.*32",
        ),
        ("a.flo", b"JPEG", r"does not start with PIEH"),
        ("a.flo", b"PIEH\x02", r"is not a complete \.flo file"),
        ("a.pfm", b"P6\n", r"neither PF nor Pf"),
    ],
)
def test_a_broken_file_is_one_sentence(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        flow_io.read(tmp_path / name)


def test_a_missing_file_and_wrong_shapes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.flo cannot be read: No such file"):
        flow_io.read(tmp_path / "gone.flo")
    with pytest.raises(ValueError, match=r"H W 2; got the shape \(2, 3, 3\)"):
        flow_io.write(tmp_path / "a.flo", np.zeros((2, 3, 3)))
    with pytest.raises(ValueError, match="ending is none of"):
        flow_io.write(tmp_path / "a.png", np.zeros((2, 3)))
