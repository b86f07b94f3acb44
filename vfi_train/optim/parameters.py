"""Which parameters train, with which options: patterns of parameter names.

A pattern is a name of `architecture.named_parameters()`, with * for anything: "encoder.*", "*.bias".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from vfi_train.errors import UserError, nearest
from vfi_train.ranges import NonNegative


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters with options of their own in the optimizer.

    Args:
        match: patterns of names.
        lr_factor: the learning rate is multiplied by it, at every step.
        weight_decay: null: the optimizer's.
    """

    match: str | Sequence[str]
    lr_factor: NonNegative = 1.0
    weight_decay: NonNegative | None = None

    @classmethod
    def from_config(cls, block: Mapping[str, Any]) -> ParameterGroup:
        """One entry of `parameter_groups`.

        Raises:
            UserError: a key is unknown, or `match` is missing.
        """
        known = [field.name for field in fields(cls)]
        unknown = next((key for key in block if key not in known), None)
        if unknown is not None:
            raise UserError(f"there is no key {unknown!r} in parameter_groups: {nearest(str(unknown), known)}")
        if not block.get("match"):
            raise UserError("each entry of parameter_groups needs match, a list of patterns such as ['*.bias']")
        match = block["match"]
        return cls(**{**block, "match": [match] if isinstance(match, str) else list(match)})


def select_trainable(network: nn.Module, train: str | Sequence[str] | None, freeze: str | Sequence[str]) -> None:
    """Freeze the parameters that do not match `train` (None: all match) or match `freeze`, one pattern or several.

    Raises:
        UserError: a pattern matches nothing, or no parameter is left to train.
    """
    names = [name for name, _ in network.named_parameters()]
    chosen = set(names) if train is None else _matching(train, names, "train")
    chosen -= _matching(freeze, names, "freeze")
    if not chosen:
        raise UserError("no parameter of the network is trainable: change freeze or train")
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in chosen)


def frozen_modules(network: nn.Module) -> list[nn.Module]:
    """The largest submodules that have parameters, all of them frozen."""
    parameters = list(network.parameters())
    if parameters and not any(p.requires_grad for p in parameters):
        return [network]
    return [found for child in network.children() for found in frozen_modules(child)]


def optimizer_groups(network: nn.Module, groups: Sequence[ParameterGroup]) -> list[dict[str, Any]]:
    """The trainable parameters with their names, as an optimizer takes them, each in the first group that matches.

    Raises:
        UserError: a group matches no parameter of the network.
    """
    names = [name for name, _ in network.named_parameters()]
    matched = [_matching(group.match, names, "parameter_groups") for group in groups]
    members: list[list[tuple[str, Tensor]]] = [[] for _ in range(len(groups) + 1)]
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            which = next((i for i, chosen in enumerate(matched) if name in chosen), len(groups))
            members[which].append((name, parameter))
    options: list[dict[str, Any]] = [
        {"lr_factor": group.lr_factor, **({} if group.weight_decay is None else {"weight_decay": group.weight_decay})}
        for group in groups
    ]
    rest, rest_options = members[-1], {"lr_factor": 1.0}
    found = [(rest, rest_options), *zip(members[:-1], options, strict=True)]
    return [{"params": params, **extra} for params, extra in found if params]


def optimizer_state_by_name(state: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The state of each parameter in an optimizer's `state_dict`, by the parameter's name."""
    found = {}
    for group in state["param_groups"]:
        for name, index in zip(group["param_names"], group["params"], strict=True):
            if index in state["state"]:
                found[name] = state["state"][index]
    return found


def load_optimizer_state(optimizer: Optimizer, by_name: Mapping[str, dict[str, Any]]) -> list[str]:
    """Load another optimizer's state; parameters without one start empty.

    Args:
        optimizer: made from `optimizer_groups`; its options stay as they are.
        by_name: see `optimizer_state_by_name`.

    Returns:
        The names of the parameters that were loaded.
    """
    own = optimizer.state_dict()
    state = {}
    for group in own["param_groups"]:
        for name, index in zip(group["param_names"], group["params"], strict=True):
            if name in by_name:
                state[index] = by_name[name]
    optimizer.load_state_dict({**own, "state": state})
    return [name for group in own["param_groups"] for name in group["param_names"] if name in by_name]


def _matching(patterns: str | Iterable[str], names: Sequence[str], key: str) -> set[str]:
    chosen: set[str] = set()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        found = {name for name in names if fnmatchcase(name, pattern)}
        if not found:
            parts = {f"{name.rsplit('.', depth)[0]}.*" for name in names for depth in range(1, name.count(".") + 1)}
            raise UserError(
                f"{key}: no parameter of the network is called {pattern!r}: {nearest(pattern, [*parts, *names])}"
            )
        chosen |= found
    return chosen
