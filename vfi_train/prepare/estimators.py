"""Functions that estimate optical flow, by the name that a configuration gives."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from omegaconf import DictConfig
from torch import Tensor

from datamodules.storage.store import Store
from vfi_train.errors import UserError
from vfi_train.prepare.raft import load_raft, raft_flow
from vfi_train.runtime.devices import find_device
from vfi_train.runtime.read_ahead import ReadAhead

FlowFunction = Callable[[Tensor, Tensor], Tensor]  # two frames B 3 H W, RGB, 0..1: the flow B 2 H W, pixels
Pair = tuple[str, str]  # names of images: the flow is from the first to the second
RAFT_FILE = "raft_large_C_T_V1-22a6c225.pth"


def estimator(config: DictConfig) -> tuple[FlowFunction, dict[str, Any]]:
    """The function that `config.flow` names, and what it depends on, to be kept with what it makes.

    Raises:
        UserError: there is no such function, or RAFT has no weights.
    """
    flow = config.flow
    if flow.function == "raft":
        path = Path(flow.weights).expanduser() if flow.weights else Path(torch.hub.get_dir(), "checkpoints", RAFT_FILE)
        if not flow.weights and not path.is_file():
            raise UserError(
                f"flow.weights is not set and {path} is not there: give the path of raft-things.pth or of "
                f"torchvision's {RAFT_FILE}, which `python -m vfi_train.prepare task=weights what=raft` fetches where "
                "the internet is"
            )
        device = find_device(config.device)
        raft = load_raft(path).to(device)
        facts = {"function": f"raft_large of torchvision {torchvision.__version__}", "updates": flow.updates}
        facts |= {"weights": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        return lambda frame0, frame1: raft_flow(raft, frame0.to(device), frame1.to(device), flow.updates), facts
    return _named(flow.function), {"function": flow.function}


def flows(
    store: Store, pairs: Sequence[Pair], function: FlowFunction, batch_size: int
) -> Iterator[tuple[Pair, NDArray[np.float32]]]:
    """The flow of each pair, H W 2, pixels. While one batch is computed, the images of the next are read."""
    batches = [pairs[start : start + batch_size] for start in range(0, len(pairs), batch_size)]
    with ReadAhead(batches, partial(_read, store), ahead=1) as images:
        for batch, frames in zip(batches, images, strict=True):
            yield from zip(batch, _computed(frames, batch, function), strict=True)


def _computed(frames: Tensor, batch: Sequence[Pair], function: FlowFunction) -> NDArray[np.float32]:
    with torch.inference_mode():
        flow = function(frames[0], frames[1])
    expected = (len(batch), 2, *frames.shape[3:])
    if tuple(flow.shape) != expected:
        raise UserError(f"flow.function gave the shape {tuple(flow.shape)} where a flow {expected} was expected")
    if not bool(torch.isfinite(flow).all()):
        raise UserError(f"flow.function gave numbers that are not finite, for {batch[0]} or a pair after it")
    return flow.float().permute(0, 2, 3, 1).contiguous().cpu().numpy()


def _read(store: Store, batch: Sequence[Pair]) -> Tensor:
    """2 B 3 H W, in [0, 1]."""
    images = {name: store.read(name, name) for pair in batch for name in pair}
    sizes = {image.shape for image in images.values()}
    if len(sizes) > 1:
        raise UserError(f"the images of {batch[0]} ... {batch[-1]} differ in size: give flow.batch_size=1")
    stacked = np.stack([[images[pair[end]] for pair in batch] for end in (0, 1)])
    return torch.from_numpy(stacked).permute(0, 1, 4, 2, 3).float().div_(255)


def _named(name: str) -> FlowFunction:
    module, colon, function = str(name).partition(":")
    try:
        found = getattr(importlib.import_module(module), function) if colon else None
    except (ImportError, AttributeError) as error:
        raise UserError(f"flow.function={name} cannot be imported: {error}") from error
    if not callable(found):
        raise UserError(f"flow.function={name} is neither raft nor module:name of a function of two frames")
    return found
