"""Batches from worker processes, in shared memory that is reused.

New shared memory costs more than writing to it: the system clears each page and maps it in both processes when it is
first touched. So a worker keeps the slots that it has sent. The receiving process marks a slot as free when nothing
refers to its contents any more; a batch that is kept keeps its slot.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.storage.atomic_write import is_process_alive

HEADER = 64  # bytes before the contents; the first says whether the slot is in use
MAX_SLOTS = 16  # that a process keeps; further batches get memory of their own

Address = tuple[int, int | None]  # of a slot: the process that made it, and its number there


class SharedBatch:
    """Memory to fill and put in a queue; what comes out of the queue is `arrive(contents, label)`.

    Attributes:
        contents: `size` bytes or more.
    """

    def __init__(self, size: int, arrive: Callable[[memoryview, Any], Any], label: Any) -> None:
        self.slot, self.arrive, self.label = _free_slot(size), arrive, label
        self.contents = self.slot.array.data[HEADER:]

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self.slot.address, self.slot.handed_over(), self.arrive, self.label)


class _Slot:
    """Shared memory of this process."""

    def __init__(self, size: int, number: int | None) -> None:
        storage = torch.UntypedStorage._new_shared(HEADER + size)
        self.memory = torch.empty(0, dtype=torch.uint8).set_(storage, 0, (HEADER + size,), (1,))  # type: ignore[call-overload]
        self.array: NDArray[np.uint8] = self.memory.numpy()
        self.address: Address = (os.getpid(), number)
        self.is_known = False  # to the receiver

    def handed_over(self) -> Tensor | None:
        """The memory the first time; later the receiver knows it by its address."""
        known, self.is_known = self.is_known, True
        return None if known else self.memory


_ours: list[_Slot] = []  # of this process, in use or not
_received: dict[Address, Tensor] = {}  # from the processes that send to this one


def _free_slot(size: int) -> _Slot:
    """A slot of that many bytes or more, marked as in use."""
    fitting = [slot for slot in _ours if not slot.array[0] and len(slot.array) >= HEADER + size]
    if fitting:
        slot = min(fitting, key=lambda slot: len(slot.array))
    else:
        keep = len(_ours) < MAX_SLOTS
        slot = _Slot(size, len(_ours) if keep else None)
        if keep:
            _ours.append(slot)
    slot.array[0] = 1
    return slot


def _arrived(address: Address, memory: Tensor | None, arrive: Callable[[memoryview, Any], Any], label: Any) -> Any:
    if memory is None:
        memory = _received[address]
    elif address[1] is not None:
        for gone in [known for known in list(_received) if not is_process_alive(known[0])]:
            _received.pop(gone, None)
        _received[address] = memory
    lease = memory.numpy()  # lives as long as any view of the contents
    weakref.finalize(lease, _mark_as_free, memory).atexit = False
    return arrive(lease.data[HEADER:], label)


def _mark_as_free(memory: Tensor) -> None:
    memory[0] = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ours.clear)  # a slot has one sender
