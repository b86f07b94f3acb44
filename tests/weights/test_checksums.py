"""A changed byte in a file of weights is noticed, or changes nothing that is read."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from vfi_train.errors import UserError
from vfi_train.weights import list_shipped
from vfi_train.weights.checkpoint_io import save_atomically
from vfi_train.weights.checksums import digest, read_safetensors, write_safetensors
from vfi_train.weights.load import shipped_folder
from vfi_train.weights.published_checkpoint import read_checkpoint, unwrap

torch.manual_seed(0)
TENSORS = {f"architecture.{i}.weight": torch.randn(8, 3, 3) for i in range(9)} | {
    "architecture.half": torch.randn(50).half(), "architecture.count": torch.tensor(3)
}  # fmt: skip


def same(found: dict[str, Tensor]) -> bool:
    return found.keys() == TENSORS.keys() and all(torch.equal(found[name], t) for name, t in TENSORS.items())


@pytest.mark.parametrize("name", ["last.ckpt", "weights.safetensors"])
def test_no_changed_byte_loads_in_silence(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if path.suffix == ".ckpt":
        save_atomically({"state_dict": TENSORS, "global_step": 7}, path)
    else:
        write_safetensors(TENSORS, path, {"format": "pt"})
    assert same(unwrap(read_checkpoint(path), name))
    content, chance = path.read_bytes(), random.Random(0)
    found = 0
    for _ in range(300):
        place, bit = chance.randrange(len(content)), 1 << chance.randrange(8)
        path.write_bytes(content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :])
        try:
            loaded = unwrap(read_checkpoint(path), name)
        except UserError:
            found += 1
            continue
        assert same(loaded), f"byte {place}, bit {bit}"
    assert found > 50  # the rest are bytes without a meaning, such as padding


def test_files_without_a_checksum_are_read_as_they_are(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "other.safetensors")
    assert same(read_safetensors(tmp_path / "other.safetensors"))
    torch.save(TENSORS, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert same(dict(read_checkpoint(tmp_path / "old.pth")))


@pytest.mark.parametrize("name", list_shipped())
def test_shipped_weights_have_a_checksum(name: str) -> None:
    path = shipped_folder() / f"{name}.safetensors"
    assert digest(read_safetensors(path)).encode() in path.read_bytes()[:20000]
