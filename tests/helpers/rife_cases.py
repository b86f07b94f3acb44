"""Golden cases of RIFE: the networks and what they are called with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.helpers.golden_cases import Case, frame
from vfi_train.architectures.rife import RIFE
from vfi_train.contract import Prediction


def rife_model(case: Case) -> RIFE:
    """The network of a golden, with the case's weights."""
    return case.model()


def rife_inputs(case: Case) -> dict[str, Any]:
    """The arguments of `forward` in a golden: frames, time or map, reference, target, scale."""
    info, inputs = case.info, case.info["inputs"]
    size, seed, batch = (inputs["height"], inputs["width"]), inputs["seed"], inputs["batch"]

    def index_map(spec: dict[str, float]) -> Tensor:
        if "uniform" in spec:
            return torch.full((batch, 1, *size), spec["uniform"])
        return frame(*size, spec["frame_phase"], spec["frame_seed"], batch)[:, :1]

    given: dict[str, Any] = {
        "frame0": frame(*size, 0.0, seed, batch),
        "frame1": frame(*size, 1.0, seed, batch),
        "scale": info.get("options", {}).get("scale", 1.0),
    }
    if info["kind"] == "train_step":
        given["target"] = frame(*size, 0.5, seed, batch)
    if "timestep" in info:
        given["time"] = torch.tensor(info["timestep"]).reshape(-1, 1, 1, 1)
    if "index_map" in info:
        given["time"] = index_map(info["index_map"])
    if "five_channel_index" in info:
        five = info["five_channel_index"]
        given["time"] = index_map(five["target"])
        given["reference"] = frame(*size, five["reference_image_phase"], five["reference_image_seed"], batch)
        given["reference_time"] = index_map(five["reference"])
    if "reference" in info:
        given["reference"] = frame(*size, info["reference"]["image_phase"], seed, batch)
        given["reference_time"] = index_map(info["reference"]["map"])
    return given


def flows(prediction: Prediction) -> list[Tensor]:
    """Flow to frame 0, then to frame 1, of each flow block."""
    return [torch.cat(pair, dim=1) for pair in zip(prediction.flow0, prediction.flow1, strict=True)]
