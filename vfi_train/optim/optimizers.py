"""The optimizer and the learning-rate scheduler of a network."""

from __future__ import annotations

import functools
import inspect
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from vfi_train.errors import UserError
from vfi_train.optim.parameters import ParameterGroup, optimizer_groups
from vfi_train.optim.schedules import Schedule
from vfi_train.ranges import Fraction, Limit, Natural, NonNegative, Positive

LIBRARIES = ("torch.", "timm.", "schedulefree.")  # of optimizers that conf/optimizer names
# Of options by their usual names: libraries check only some, and not against infinity.
RANGES = {
    "lr": NonNegative, "weight_decay": NonNegative, "eps": NonNegative, "momentum": Fraction, "dampening": Fraction,
    "betas": Fraction, "warmup_steps": Natural, "ns_steps": Positive,
}  # fmt: skip


def build_optimizer(
    make: Callable[..., Optimizer], network: nn.Module, groups: Sequence[ParameterGroup] = (), scaled: bool = False
) -> Optimizer:
    """The optimizer over a network's trainable parameters, with their names.

    It is fused where that is possible, unless the configuration says otherwise: faster, and it can skip a step that is
    not finite.

    Args:
        make: takes parameter groups (a partial that has the optimizer's options).
        network: its trainable parameters are optimized.
        groups: parameters with options of their own.
        scaled: a GradScaler is used, which unscales gradients itself.

    Raises:
        UserError: the optimizer of torch, or of another library, does not accept its options, or one is out of range.
    """
    members = optimizer_groups(network, groups)
    device = members[0]["params"][0][1].device
    options: dict[str, Any] = {}
    if device.type in ("cuda", "cpu") and not scaled and _may_fuse(make):
        options["fused"] = True
    try:
        optimizer = make(members, **options)
    except (ValueError, TypeError, IndexError) as error:
        if not _raised_by_library(error):
            raise  # a bug
        raise UserError(f"optimizer: {_described(make)}: {error}") from error
    _check_ranges(optimizer.defaults)
    _match_layouts(optimizer)
    for group in optimizer.param_groups:
        group["lr"] *= group.get("lr_factor", 1.0)
    return optimizer


def build_scheduler(optimizer: Optimizer, schedule: Schedule, total_steps: int) -> LambdaLR:
    """The scheduler that sets the learning rate of each step: the schedule's, times the group's factor."""
    peak = float(optimizer.defaults["lr"])

    def factor(step: int) -> float:
        return schedule(step, peak=peak, total=total_steps) / peak if peak else 0.0

    return LambdaLR(optimizer, factor)


def learning_rate(optimizer: Optimizer) -> float:
    """The learning rate of the next step, before the groups' factors."""
    group = optimizer.param_groups[0]
    factor = group.get("lr_factor", 1.0)
    return group["lr"] / factor if factor else torch.nan


def _check_ranges(options: Mapping[str, Any]) -> None:
    for name, hint in RANGES.items():
        given = options.get(name)
        numbers = [n for n in (given if isinstance(given, list | tuple) else [given]) if isinstance(n, int | float)]
        limit: Limit = hint.__metadata__[0]  # type: ignore[attr-defined]
        if not all(map(limit.holds, numbers)):
            raise UserError(f"optimizer.{name}={given} is not a number {limit.words}")


def _raised_by_library(error: BaseException) -> bool:
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return str(frames[-1].f_globals.get("__name__")).startswith(LIBRARIES) or len(frames) == 1


def _described(make: Callable[..., Optimizer]) -> str:
    function = make.func if isinstance(make, functools.partial) else make
    options = make.keywords if isinstance(make, functools.partial) else {}
    name = str(getattr(function, "__module__", "")).rpartition(".")[0]
    return f"{name}.{getattr(function, '__name__', function)}({', '.join(f'{k}={v}' for k, v in options.items())})"


def _match_layouts(optimizer: Optimizer) -> None:
    """Keep an optimizer's state in the layout of the weights, also after loading a checkpoint with another layout.

    Fused optimizers read both in storage order.
    """

    def convert(loaded: Optimizer) -> None:
        for parameter, state in loaded.state.items():
            for name, value in state.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)

    optimizer.register_load_state_dict_post_hook(convert)


def _may_fuse(make: Callable[..., Optimizer]) -> bool:
    given = make.keywords if isinstance(make, functools.partial) else {}
    return "fused" in inspect.signature(make).parameters and given.get("fused") is None and not given.get("foreach")
