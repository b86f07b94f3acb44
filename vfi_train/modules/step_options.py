"""Options that change how a training step is computed, not its result."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from vfi_train.architectures import Architecture
from vfi_train.contract import Batch

Compile = Literal["none", "network", "losses", "both"]


@contextlib.contextmanager
def checkpointed(network: Architecture, switched_on: bool) -> Iterator[None]:
    """Activation checkpointing: activations inside of blocks are not kept, but computed again in the backward pass.

    Gradients are the same; a step takes about a third longer and much less memory. The blocks are the submodules that
    match `network.checkpointed`.
    """
    parts = network.named_modules() if switched_on else ()
    blocks = [part for name, part in parts if _named(name, network.checkpointed)]
    for block in blocks:
        vars(block)["forward"] = functools.partial(checkpoint, block.forward, use_reentrant=False)
    try:
        yield
    finally:
        for block in blocks:
            del vars(block)["forward"]


def set_channels_last(network: Architecture) -> None:
    """Use the channels-last layout for the weights of convolutions, and so for their outputs."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for part in network.contiguous_parts:
        network.get_submodule(part).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def to_channels_last(batch: Batch) -> Batch:
    """The batch with its images and maps in the channels-last layout."""

    def convert(value: Any) -> Any:
        is_map = isinstance(value, Tensor) and value.ndim == 4
        return value.contiguous(memory_format=torch.channels_last) if is_map else value

    return {name: convert(value) for name, value in batch.items()}  # type: ignore[return-value]


def compiled(function: Callable[..., Any], switched_on: bool) -> Callable[..., Any]:
    """`torch.compile` for fixed shapes: another shape is compiled separately."""
    return torch.compile(function, dynamic=False) if switched_on else function


def _named(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a dotted name matches a pattern, part by part."""
    parts = name.split(".")
    choices = (pattern.split(".") for pattern in patterns)
    return any(
        len(choice) == len(parts) and all(map(fnmatchcase, parts, choice))  # "*" stays within a part
        for choice in choices
    )
