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
from vfi_train.errors import UserError

Compile = Literal["none", "network", "losses", "both", "cuda_graphs"]


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


def compiled(function: Callable[..., Any], part: Literal["network", "losses"], choice: Compile) -> Callable[..., Any]:
    """`torch.compile` for fixed shapes, where `choice` has this part: another shape is compiled separately.

    With "cuda_graphs" both parts are compiled, and replayed as CUDA graphs: the host launches four graphs in a step
    instead of hundreds of kernels. What they give lies in memory that the next step writes to.
    """
    if choice not in (part, "both", "cuda_graphs"):
        return function
    mode = "reduce-overhead" if choice == "cuda_graphs" else None
    return torch.compile(function, dynamic=False, mode=mode)


def check_compile(choice: Compile, device: str, processes: int, accumulated: int) -> None:
    """Check that a training's steps can be CUDA graphs, where they shall be.

    Args:
        choice: of `module.compile`.
        device: its kind, "cpu" or "cuda".
        processes: of the training.
        accumulated: micro-batches of an optimizer step, whose gradients a graph would write over each other.

    Raises:
        UserError: they cannot.
    """
    if choice != "cuda_graphs":
        return
    if device != "cuda":
        raise UserError(
            f"module.compile=cuda_graphs is for CUDA devices, and this training is on {device}: give "
            "module.compile=both"
        )
    if processes > 1:
        raise UserError(
            f"module.compile=cuda_graphs is for one process, and this training has {processes}: give "
            "module.compile=both"
        )
    if accumulated > 1:
        raise UserError(
            f"module.compile=cuda_graphs accumulates no gradients, and {accumulated} micro-batches make a step: leave "
            "out data.micro_batch_size, or give module.compile=both"
        )


def _named(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a dotted name matches a pattern, part by part."""
    parts = name.split(".")
    choices = (pattern.split(".") for pattern in patterns)
    return any(
        len(choice) == len(parts) and all(map(fnmatchcase, parts, choice))  # "*" stays within a part
        for choice in choices
    )
