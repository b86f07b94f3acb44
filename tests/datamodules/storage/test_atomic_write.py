"""Files and folders are complete or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from datamodules.storage.atomic_write import atomic_file, atomic_folder, write_text


def test_a_file_replaces_the_one_before_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "first")
    write_text(tmp_path / "a.txt", "zweite ü")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "zweite ü"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("keep_suffix", [False, True])
def test_after_an_exception_the_file_before_stands(tmp_path: Path, keep_suffix: bool) -> None:
    write_text(tmp_path / "a.onnx", "first")

    def write_half() -> None:
        with atomic_file(tmp_path / "a.onnx", keep_suffix=keep_suffix) as partial:
            assert (partial.suffix == ".onnx") == keep_suffix
            partial.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        write_half()
    assert (tmp_path / "a.onnx").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]


def test_a_folder_appears_when_it_is_filled(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "new") as partial:
        (partial / "x").write_text("1")
        assert not (tmp_path / "new").exists()
    assert (tmp_path / "new" / "x").read_text() == "1"
    with pytest.raises(KeyError), atomic_folder(tmp_path / "other"):
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_a_folder_with_content_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("1")
    with pytest.raises(OSError, match="full"), atomic_folder(tmp_path / "full") as partial:
        (partial / "x").write_text("1")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine"]
    assert [path.name for path in tmp_path.iterdir()] == ["full"]
