"""Batches on their way out of a worker process: in shared memory that is used again and again.

Fresh shared memory costs more than what is written to it: the system clears each page and maps it in both processes
when it is first touched. So a worker keeps the pieces of memory that it has sent. The receiving process marks a piece
as free when nothing refers to its contents any more; a batch that is kept keeps its piece.
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

HEADER = 64  # bytes before the contents; the first tells whether the piece is in use
MOST = 16  # pieces that a process keeps; a batch beyond that travels in memory of its own

Address = tuple[int, int | None]  # of a piece: the process that made it, and its number there


class SharedBatch:
    """A piece of memory to be filled and put in a queue, out of which comes `arrive(contents, label)`.

    Attributes:
        contents: the bytes; there may be more than were asked for.
    """

    def __init__(self, size: int, arrive: Callable[[memoryview, Any], Any], label: Any) -> None:
        self.piece, self.arrive, self.label = _free_piece(size), arrive, label
        self.contents = self.piece.array.data[HEADER:]

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self.piece.address, self.piece.handed_over(), self.arrive, self.label)


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


def _free_piece(size: int) -> _Slot:
    """A piece with room for that many bytes, marked as in use."""
    fitting = [piece for piece in _ours if not piece.array[0] and len(piece.array) >= HEADER + size]
    if fitting:
        piece = min(fitting, key=lambda piece: len(piece.array))
    else:
        keep = len(_ours) < MOST
        piece = _Slot(size, len(_ours) if keep else None)
        if keep:
            _ours.append(piece)
    piece.array[0] = 1
    return piece


def _arrived(address: Address, memory: Tensor | None, arrive: Callable[[memoryview, Any], Any], label: Any) -> Any:
    if memory is None:
        memory = _received[address]
    elif address[1] is not None:
        for gone in [known for known in list(_received) if not _is_alive(known[0])]:
            _received.pop(gone, None)
        _received[address] = memory
    lease = memory.numpy()  # lives as long as any view of the contents
    weakref.finalize(lease, _mark_as_free, memory).atexit = False
    return arrive(lease.data[HEADER:], label)


def _mark_as_free(memory: Tensor) -> None:
    memory[0] = 0


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ours.clear)  # a piece has one sender
