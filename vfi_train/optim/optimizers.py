"""From a configured optimizer and schedule to those that train a network."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from vfi_train.optim.parameters import ParameterGroup, optimizer_groups
from vfi_train.optim.schedules import Schedule


def build_optimizer(
    make: Callable[..., Optimizer],
    network: nn.Module,
    groups: Sequence[ParameterGroup] = (),
    scaled: bool = False,
) -> Optimizer:
    """The optimizer over a network's trainable parameters, which it knows by name.

    It is fused where it can be, unless the configuration says otherwise: faster, and it skips a step that is not
    finite by itself.

    Args:
        make: takes parameter groups (a partial with the learning rate and the rest in it).
        network: its trainable parameters are optimized.
        groups: which ones otherwise than the rest.
        scaled: a GradScaler is used, which needs the gradients unscaled before.
    """
    members = optimizer_groups(network, groups)
    device = members[0]["params"][0][1].device
    options: dict[str, Any] = {}
    if device.type in ("cuda", "cpu") and not scaled and _may_fuse(make):
        options["fused"] = True
    optimizer = make(members, **options)
    _lay_states_like_weights(optimizer)
    for group in optimizer.param_groups:
        group["lr"] *= group.get("lr_factor", 1.0)
    return optimizer


def build_scheduler(optimizer: Optimizer, schedule: Schedule, total_steps: int) -> LambdaLR:
    """Sets the learning rate of each optimizer step: the schedule's, times the group's own factor."""
    peak = float(optimizer.defaults["lr"])

    def factor(step: int) -> float:
        return schedule(step, peak=peak, total=total_steps) / peak if peak else 0.0

    return LambdaLR(optimizer, factor)


def learning_rate(optimizer: Optimizer) -> float:
    """The learning rate of the coming step, before the groups' factors."""
    group = optimizer.param_groups[0]
    factor = group.get("lr_factor", 1.0)
    return group["lr"] / factor if factor else torch.nan


def _lay_states_like_weights(optimizer: Optimizer) -> None:
    """Keep an optimizer's memory in the layout of the weights, also when it comes from a checkpoint of another one.

    Fused optimizers go through both without looking at their layouts.
    """

    def lay(loaded: Optimizer) -> None:
        for parameter, state in loaded.state.items():
            for name, value in state.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)

    optimizer.register_load_state_dict_post_hook(lay)


def _may_fuse(make: Callable[..., Optimizer]) -> bool:
    given = make.keywords if isinstance(make, functools.partial) else {}
    return "fused" in inspect.signature(make).parameters and given.get("fused") is None and not given.get("foreach")
