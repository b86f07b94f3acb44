"""Golden cases of InterpAny-Clearer's IFRNet, AMT-S and EMA-VFI: the networks and what they are called with."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.goldens import golden
from tests.helpers.golden_cases import GOLDENS, Case, frame
from vfi_train.architectures import Architecture, create_model
from vfi_train.weights import load_published

FIRST_OF_EMA = "feature_bone.block1.conv.0.weight"  # the one tensor whose shape a reference changes


def network(case: Case) -> Architecture:
    """The network with the case's weights. EMA-VFI's is shared by cases: drawing its weights takes seconds."""
    return _ema_vfi(case) if case.folder.startswith("ema_vfi") else case.model().eval()


def given(case: Case) -> dict[str, Any]:
    """The arguments of `forward`: frames, map, reference and its map."""
    info = case.info
    shape = (info["height"], info["width"])
    image = functools.partial(frame, *shape, seed=info["frame_seed"], batch=info["batch"])
    arguments = {"frame0": image(0.0), "frame1": image(1.0), "time": time_map(case, info["map"])}
    if "ref_frame" in info:
        phase = float(info["ref_frame"].split(",")[2])
        assert info["ref_frame"] == f"golden.frame(height,width,{phase},frame_seed,batch)"
        arguments |= {"reference": image(phase), "reference_time": time_map(case, info["ref_map"])}
    return arguments


def target(case: Case) -> Tensor:
    info = case.info
    assert info["ground_truth"] == "golden.frame(height,width,0.5,frame_seed,batch)"
    return frame(info["height"], info["width"], 0.5, info["frame_seed"], info["batch"])


def time_map(case: Case, spec: dict[str, Any]) -> Tensor:
    """The map B 1 H W of a case, float32."""
    size, batch = (case.info["height"], case.info["width"]), case.info["batch"]
    if "uniform" in spec:
        return torch.full((batch, 1, *size), spec["uniform"])
    channel, (factor, offset) = spec["channel"], map(np.float32, spec["affine"])
    plane = frame(*size, spec["phase"], spec["seed"], batch)[:, channel : channel + 1].numpy()
    return torch.from_numpy(np.clip(factor * plane + offset, *map(np.float32, spec["clip"])))


@contextmanager
def inputs_and_outputs(model: Architecture) -> Iterator[dict[str, tuple[tuple[Any, ...], Any]]]:
    """The latest inputs and output of each part of the network, by its name; filled by calls."""
    seen: dict[str, tuple[tuple[Any, ...], Any]] = {}

    def record(name: str) -> Any:
        return lambda _, inputs, output: seen.update({name: (inputs, output)})

    hooks = [module.register_forward_hook(record(name)) for name, module in model.named_children()]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def thinned(value: Tensor, stored: np.ndarray) -> Tensor:
    """Every n-th row and column of a map, so that it has the stored size."""
    step = value.shape[-1] // stored.shape[-1]
    return value[..., ::step, ::step]


def _ema_vfi(case: Case) -> Architecture:
    name = "ema_vfi_d" if case.folder == "ema_vfi_d" else "ema_vfi_dr"
    tensors = dict(_drawn(case.info["gain"], case.info["salt"]))
    if name == "ema_vfi_d":
        (first,) = (e for e in golden.load_manifest(GOLDENS / name) if e["name"] == FIRST_OF_EMA)
        tensors |= golden.state_dict([first], case.info["gain"], case.info["salt"])
    model = _built(name)
    load_published(model, {key: torch.from_numpy(values) for key, values in tensors.items()})
    model.zero_grad(set_to_none=True)
    return model.eval()


@functools.cache
def _built(name: str) -> Architecture:
    return create_model(name)


@functools.lru_cache(maxsize=1)
def _drawn(gain: float, salt: int) -> dict[str, np.ndarray]:
    return golden.state_dict(golden.load_manifest(GOLDENS / "ema_vfi_dr"), gain, salt)
