"""Functions that estimate optical flow, by the name that a configuration gives."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from torch import Tensor

from datamodules.storage.store import Store
from vfi_train.errors import UserError
from vfi_train.prepare.raft import load_raft, raft_flow
from vfi_train.ranges import Positive
from vfi_train.runtime.devices import find_device
from vfi_train.runtime.file_hash import hash_file
from vfi_train.runtime.read_ahead import ReadAhead

FlowFunction = Callable[[Tensor, Tensor], Tensor]  # two frames B 3 H W, RGB, 0..1: the flow B 2 H W, pixels
Pair = tuple[str, str]  # names of images: the flow is from the first to the second
RAFT_FILE = "raft_large_C_T_V1-22a6c225.pth"


@dataclass(frozen=True)
class FlowEstimator:
    """Estimates flow between images of a store.

    Args:
        function: of two frames.
        facts: what its results depend on, kept with them.
        batch_size: pairs at once.
    """

    function: FlowFunction
    facts: dict[str, Any]
    batch_size: int

    def flows(self, store: Store, pairs: Sequence[Pair]) -> Iterator[tuple[Pair, NDArray[np.float32]]]:
        """The flow of each pair, H W 2, pixels. While one batch is computed, the images of the next are read."""
        batches = [pairs[start : start + self.batch_size] for start in range(0, len(pairs), self.batch_size)]
        with ReadAhead(batches, partial(_read, store), ahead=1) as images:
            for batch, frames in zip(batches, images, strict=True):
                yield from zip(batch, _estimate(self.function, frames, batch), strict=True)


def find_estimator(
    function: str, weights: str | None, updates: Positive, batch_size: Positive, device_name: str
) -> FlowEstimator:
    """The estimator that a configuration names.

    Args:
        function: "raft", or module:name of a function of two frames.
        weights: RAFT's file; None: torch's cache.
        updates: how often RAFT refines its flow.
        batch_size: pairs at once.
        device_name: where RAFT runs.

    Raises:
        UserError: there is no such function, or RAFT has no weights.
    """
    if function != "raft":
        return FlowEstimator(_import(function), {"function": function}, batch_size)
    path = Path(weights).expanduser() if weights else Path(torch.hub.get_dir(), "checkpoints", RAFT_FILE)
    if not weights and not path.is_file():
        raise UserError(
            f"flow.weights is not set and {path} does not exist: give the path of raft-things.pth or of torchvision's "
            f"{RAFT_FILE}, which `python -m vfi_train.prepare task=weights what=raft` fetches where the internet is"
        )
    device = find_device(device_name)
    raft = load_raft(path).to(device)
    facts = {"function": f"raft_large of torchvision {torchvision.__version__}", "updates": updates}
    facts |= {"weights": path.name, "sha256": hash_file(path)}
    return FlowEstimator(
        lambda frame0, frame1: raft_flow(raft, frame0.to(device), frame1.to(device), updates), facts, batch_size
    )


def _estimate(function: FlowFunction, frames: Tensor, batch: Sequence[Pair]) -> NDArray[np.float32]:
    with torch.inference_mode():
        flow = function(frames[0], frames[1])
    expected = (len(batch), 2, *frames.shape[3:])
    if tuple(flow.shape) != expected:
        raise UserError(f"flow.function gave the shape {tuple(flow.shape)} where a flow {expected} was expected")
    if not bool(torch.isfinite(flow).all()):
        raise UserError(f"flow.function gave values that are not finite, for {batch[0]} or a pair after it")
    return flow.float().permute(0, 2, 3, 1).contiguous().cpu().numpy()


def _read(store: Store, batch: Sequence[Pair]) -> Tensor:
    """2 B 3 H W, in [0, 1]."""
    images = {name: store.read(name, name) for pair in batch for name in pair}
    if len({image.shape for image in images.values()}) > 1:
        raise UserError(f"the images of {batch[0]} ... {batch[-1]} differ in size: give flow.batch_size=1")
    stacked = np.stack([[images[pair[end]] for pair in batch] for end in (0, 1)])
    return torch.from_numpy(stacked).permute(0, 1, 4, 2, 3).float().div_(255)


def _import(name: str) -> FlowFunction:
    module, colon, function = str(name).partition(":")
    try:
        found = getattr(importlib.import_module(module), function, None) if colon else None
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):  # an import inside of the module
            raise
        found = None
    if not callable(found):
        raise UserError(
            f"flow.function={name} cannot be imported: give raft, or module:name of a function of two frames"
        )
    return found
