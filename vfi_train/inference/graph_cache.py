"""ONNX graphs of networks, kept in the user's cache folder: making one takes seconds."""

from __future__ import annotations

import copy
import hashlib
import inspect
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from datamodules.storage.atomic_write import atomic_file
from vfi_train import architectures
from vfi_train.architectures import Architecture
from vfi_train.inference import graphs

LARGEST = 2 << 30  # bytes of the folder; the graphs that were not used for longest are removed
PLAIN = (bool, int, float, str, tuple, type(None))


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/vfi_train/graphs, by default in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vfi_train" / "graphs"


@torch.inference_mode(False)
def network_graph(
    model: Architecture, size: tuple[int, int], scale: float, iterations: int, note: Callable[[str], None]
) -> bytes:
    """The serialized graph of `graphs.NetworkFunction` for frames of one size, from the cache or made now.

    A file is named by what it depends on (weights, settings of the network, size, scale, iterations, the source of
    the architectures, torch's version) and by its own hash, so that a damaged one is made again. A folder that cannot
    be written to is done without. `note` gets a line before a graph is made.
    """
    folder, key = cache_folder(), fingerprint(model, size, scale, iterations)
    for path in folder.glob(f"{key}-*.onnx"):
        content = path.read_bytes()
        if path.stem == f"{key}-{_short(content)}":
            with suppress(OSError):
                os.utime(path)
            return content
    note(f"making the graph of {type(model).__name__} for frames of {size[0]}x{size[1]}, once: it is kept in {folder}")
    function = graphs.NetworkFunction(copy.deepcopy(model).cpu().eval(), iterations, scale)
    metadata = graphs.ExportMetadata(type(model).__name__, "", 1, 1, model.arbitrary_time, size, iterations)
    content = graphs.onnx_graph(function, metadata).SerializeToString()
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(folder / f"{key}-{_short(content)}.onnx") as partial:
            partial.write_bytes(content)
        _limit(folder)
    return content


def fingerprint(model: Architecture, size: tuple[int, int], scale: float, iterations: int) -> str:
    """A hash of all that a graph depends on."""
    found = hashlib.sha256(repr((size, scale, iterations, torch.__version__)).encode())
    sources = {Path(inspect.getfile(type(model))), Path(graphs.__file__)}
    sources.update(Path(architectures.__file__).parent.rglob("*.py"))
    for path in sorted(sources):
        found.update(path.read_bytes())
    for name, module in model.named_modules():
        settings = {key: value for key, value in vars(module).items() if _is_setting(key, value)}
        found.update(repr((name, type(module).__qualname__, sorted(settings.items()))).encode())
    for name, tensor in model.state_dict().items():
        found.update(name.encode())
        found.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()[:32]


def _is_setting(name: str, value: Any) -> bool:
    return name != "training" and isinstance(value, PLAIN)


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _limit(folder: Path) -> None:
    """Remove the graphs that were not used for longest, beyond `LARGEST`."""
    files = sorted(folder.glob("*.onnx"), key=lambda path: path.stat().st_mtime, reverse=True)
    total = 0
    for path in files:
        total += path.stat().st_size
        if total > LARGEST:
            path.unlink(missing_ok=True)
