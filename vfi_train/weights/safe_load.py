"""Reading what `torch.save` wrote, without running any code in it, and saying what a file is that is something else."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vfi_train.errors import UserError

HEAD = 512  # bytes that tell what a file is
KINDS = (
    (re.compile(rb"version https://git-lfs"), "a Git LFS pointer, not the file itself: fetch it by git lfs pull"),
    (re.compile(rb"<(!doctype|html|\?xml)", re.IGNORECASE), "a web page, not weights: download the file itself"),
    (re.compile(rb"[\t\n\r -~\x80-\xff]+\Z"), "a text file, not weights: give a .pth, .ckpt or .safetensors"),
)


def safe_load(path: Path) -> Any:
    """The content of a file of `torch.save`: tensors, plain containers, and NumPy scalars as plain numbers.

    Raises:
        UserError: it is something else, is incomplete, or holds other objects.
    """
    refuse_other_kinds(path)
    try:
        with torch.serialization.safe_globals(
            [
                *((_scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
                (_DType, "numpy.dtype"),
            ]
        ):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged pickles raise many kinds, and no code of ours or the file's runs in there
        name = re.search(r"GLOBAL ([\w.]+)|Unsupported class ([\w.]+)", str(error))
        is_pickle = isinstance(error, pickle.UnpicklingError) and _first_byte(path) in b"\x80P"
        if name is None and not is_pickle:
            raise UserError(f"{path} is no complete checkpoint ({_reason(error)}): fetch or save it again") from None
        held = "an object" if name is None else f"a {name[1] or name[2]}"
        raise UserError(
            f"{path} holds {held}, which is neither a tensor nor a plain container, and was not loaded: "
            "that could run code; save only its state dict with a program that you trust"
        ) from None


def refuse_other_kinds(path: Path) -> None:
    """Say what a file is that is often saved in place of weights.

    Raises:
        UserError: it is one.
    """
    with path.open("rb") as file:
        head = file.read(HEAD).strip()
    found = next((said for pattern, said in KINDS if pattern.match(head)), None)
    if found is not None:
        raise UserError(f"{path} is {found}")


def _first_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1)


def _reason(error: Exception) -> str:
    text = str(error).rpartition("WeightsUnpickler error: ")[2].strip()
    return text.splitlines()[0] if text else type(error).__name__


class _DType:
    """A NumPy type in a pickle: its code and its byte order."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code = code

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.code = state[1].replace("|", "") + self.code


def _scalar(kind: _DType, data: bytes) -> Any:
    dtype = np.dtype(kind.code)
    if dtype.kind not in "biuf":
        raise pickle.UnpicklingError("GLOBAL numpy.generic")
    return np.frombuffer(data, dtype)[0].item()
