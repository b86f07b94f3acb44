"""Batches on their way to a GPU, on a stream of their own."""

from __future__ import annotations

from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor


class Transfer:
    """Moves batches to a device.

    To a GPU they are copied on a stream of their own, and the stream that computes waits for the copy: the next batch
    is copied while the steps before it are computed, which the host does not wait for. From pageable memory (see
    `pin_memory`) the host waits for the copy itself.
    """

    def __init__(self) -> None:
        self._streams: dict[torch.device, torch.cuda.Stream] = {}

    def __call__(self, batch: Any, device: torch.device) -> Any:
        """The batch with its tensors on the device; to be used on the device's current stream."""
        if device.type != "cuda":
            return move_data_to_device(batch, device)
        if device not in self._streams:
            self._streams[device] = torch.cuda.Stream(device)
        copying, computing = self._streams[device], torch.cuda.current_stream(device)
        with torch.cuda.stream(copying):
            moved = move_data_to_device(batch, device)
        computing.wait_stream(copying)
        for tensor in (value for value in moved.values() if isinstance(value, Tensor)):
            tensor.record_stream(computing)  # its memory is not given to the next copy before it has been read
        return moved
