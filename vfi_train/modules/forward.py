"""How a batch goes through a network, in training and in validation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vfi_train.architectures import Architecture
from vfi_train.contract import CONTEXT, FRAMES, Batch, Prediction
from vfi_train.inference.interpolator import Interpolator
from vfi_train.inference.padding import Padding, padded_size


def predict(architecture: Callable[..., Prediction], batch: Batch) -> Prediction:
    """The network's prediction for a training batch in its channel order, with all that the losses need."""
    return architecture(
        batch["frame0"],
        batch["frame1"],
        batch["time"],
        target=batch["target"],
        reference=batch.get("reference"),
        reference_time=batch.get("reference_time"),
        **context_of(batch),
    )


def context_of(batch: Batch) -> dict[str, Tensor]:
    """The batch's `before` and `after`, where it has them."""
    return {name: batch[name] for name in CONTEXT if name in batch}  # type: ignore[literal-required]


def in_network_order(batch: Batch, architecture: Architecture) -> Batch:
    """The batch with its images in the channel order of the network."""
    if architecture.channel_order == "rgb":
        return batch
    return {**batch, **{name: batch[name].flip(1) for name in FRAMES if name in batch}}  # type: ignore[return-value, typeddict-item, literal-required]


def padded(batch: Batch, architecture: Architecture) -> Batch:
    """The batch at the smallest size that suits the network, with its borders repeated."""
    height, width = batch["frame0"].shape[-2:]
    padding = Padding.between((height, width), padded_size((height, width), architecture))
    return {name: padding.pad_map(x) if isinstance(x, Tensor) else x for name, x in batch.items()}  # type: ignore[return-value]


def seed_rng(seed: int, position: int) -> None:
    """Seed PyTorch's random numbers for one micro-batch."""
    torch.manual_seed((seed * 1_000_003 + position) % 2**63)


def validation_prediction(interpolator: Interpolator, batch: Batch) -> Prediction:
    """The prediction for a batch of validation samples, which may have any size."""
    return interpolator.predict(
        batch["frame0"],
        batch["frame1"],
        batch["time"],
        reference=batch.get("reference"),
        reference_time=batch.get("reference_time"),
        **context_of(batch),
    )
