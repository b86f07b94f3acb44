"""The batches of published training steps."""

from __future__ import annotations

import torch

from tests.helpers.golden_cases import Case, frame
from vfi_train.contract import Batch


def amt_step(case: Case) -> Batch:
    """The batch of a training golden."""
    inputs = case.info["inputs"]
    size, seed, batch = (inputs["height"], inputs["width"]), inputs["seed"], inputs["batch"]
    step = Batch(
        frame0=frame(*size, 0.0, seed, batch),
        frame1=frame(*size, 1.0, seed, batch),
        target=frame(*size, 0.5, seed, batch),
        time=torch.tensor(case.info["timestep"]["values"]).view(-1, 1, 1, 1),
    )
    if case.info["pseudo_flow"] is not None:
        images = torch.cat((frame(*size, 2.0, seed, batch), frame(*size, 3.0, seed, batch)), dim=1)
        step["flow"] = 20 * (images[:, :4] - 0.5)
    return step


def ifrnet_step(case: Case) -> Batch:
    """The batch of a training golden."""
    inputs = case.info["inputs"]
    size, seed, batch = (inputs["height"], inputs["width"]), inputs["seed"], inputs["batch"]
    if case.name == "train_gopro":
        repeat = (7, 1, 1, 1)
        targets = torch.cat([frame(*size, k / 8, seed, batch) for k in range(1, 8)])
        times = torch.arange(1, 8).repeat_interleave(batch).view(-1, 1, 1, 1) / 8
        frames = [frame(*size, phase, seed, batch).repeat(repeat) for phase in (0.0, 1.0)]
        return Batch(frame0=frames[0], frame1=frames[1], target=targets, time=times)
    target = frame(*size, 0.5, seed, batch)
    if case.name == "train_dim_target":
        target = 0.7 * target + 0.05
    labels = torch.cat([frame(*size, phase, seed + 50, batch) for phase in (0.2, 0.7)], dim=1)[:, :4]
    return Batch(
        frame0=frame(*size, 0.0, seed, batch),
        frame1=frame(*size, 1.0, seed, batch),
        target=target,
        time=torch.full((batch, 1, 1, 1), 0.5),
        flow=8 * (labels - 0.5),
    )
