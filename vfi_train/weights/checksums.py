"""Weights files whose damage is noticed: checksums are written with them and compared when they are read."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vfi_train.errors import UserError

KEY = "sha256"  # in a safetensors file's metadata: of its tensors, see `digest`


def check_archive(path: Path) -> None:
    """Compare the checksums in a file of `torch.save`, which `torch.load` does not; other files pass.

    Raises:
        UserError: its content is not what was written.
    """
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}): fetch or save it again") from None
    if damaged is not None:
        raise UserError(f"{path} is damaged ({damaged} in it has another checksum): fetch or save it again")


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, kinds, shapes and bytes of tensors, in the order of their names."""
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def write_safetensors(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """Write a safetensors file with a checksum of its tensors."""
    path.write_bytes(save(dict(tensors), metadata={**metadata, KEY: digest(tensors)}))  # a full disk is an OSError


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, compared with its checksum where it has one.

    Raises:
        UserError: it is no such file, or its content is not what was written.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
            expected = (file.metadata() or {}).get(KEY)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is no complete safetensors file ({error}): fetch it again") from None
    if expected is not None and digest(tensors) != expected:
        raise UserError(f"{path} is damaged (its tensors have another checksum): fetch or save it again")
    return tensors
