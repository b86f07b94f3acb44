"""The least memory of a training step, computed without allocating it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from losses.base import LossSet
from vfi_train.architectures import Architecture
from vfi_train.contract import Batch
from vfi_train.modules.forward import predict


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes on one device at the end of a forward pass, without temporaries and the allocator's overhead."""

    parameters: int  # of the network and of the losses' backbones
    gradients: int
    optimizer: int
    averages: int
    activations: int  # saved for the backward pass

    @property
    def total(self) -> int:
        """The sum."""
        return self.parameters + self.gradients + self.optimizer + self.averages + self.activations


def training_memory(
    architecture: Architecture,
    loss: LossSet,
    optimizer: Callable[..., torch.optim.Optimizer],
    batch: dict[str, tuple[int, ...]],
    precision: str = "32-true",
    averages: int = 0,
) -> TrainingMemory:
    """The memory of a training step on one device.

    Args:
        architecture: the network; parameters that require gradients train.
        loss: the loss set.
        optimizer: makes the optimizer (a partial).
        batch: the shape of each tensor of a micro-batch, by its name in `Batch`.
        precision: Lightning's.
        averages: how many averages of the weights are kept.

    Nothing is computed: PyTorch's fake tensors have shapes and no contents. Activations are the storages that
    autograd saves, without parameters.
    """
    everything = [*architecture.parameters(), *architecture.buffers()]
    for _, term in loss.named_terms():
        backbone = getattr(term, "backbone", None)
        if isinstance(backbone, nn.Module):
            everything += [*backbone.parameters(), *backbone.buffers()]
    trained = [p for p in architecture.parameters() if p.requires_grad]
    weights = _bytes(list(architecture.parameters()))
    return TrainingMemory(
        parameters=_bytes(everything),
        gradients=_bytes(trained),
        optimizer=round(_bytes(trained) * state_per_parameter(optimizer)),
        averages=averages * weights,
        activations=_saved(architecture, loss, batch, precision, everything),
    )


def state_per_parameter(make: Callable[..., torch.optim.Optimizer]) -> float:
    """How many numbers an optimizer keeps for each parameter: 2 for AdamW, 0 for plain SGD."""
    parameter = nn.Parameter(torch.zeros(1000))
    parameter.grad = torch.ones(1000)
    optimizer = make([parameter])
    optimizer.step()
    tensors = [value for value in optimizer.state[parameter].values() if isinstance(value, Tensor)]
    return sum(tensor.numel() for tensor in tensors if tensor.numel() > 1) / 1000


def _saved(
    architecture: Architecture, loss: LossSet, shapes: dict[str, tuple[int, ...]], precision: str, own: list[Tensor]
) -> int:
    saved: dict[int, torch.UntypedStorage] = {}  # kept alive, so that no address is reused
    half = precision.startswith(("bf16", "16"))
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, torch.autocast("cpu", torch.bfloat16, enabled=half):
        both = [*own, *(mode.from_tensor(tensor) for tensor in own)]  # autograd may save either
        ours = {tensor.untyped_storage()._cdata for tensor in both}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage._cdata not in ours:
                saved[storage._cdata] = storage
            return tensor

        contents: dict[str, Any] = {name: torch.empty(shape) for name, shape in shapes.items()}
        batch: Batch = {**contents, "key": [""] * shapes["target"][0]}  # type: ignore[typeddict-item]
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss(predict(architecture, batch), batch)
        return sum(storage.nbytes() for storage in saved.values())


def _bytes(tensors: list[Any]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
