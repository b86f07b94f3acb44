"""Multiply-accumulates and memory of a network, counted without computing anything.

Tensors are fake (shapes without values), so that 4K frames and the largest networks take little time and no memory.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from vfi_train.architectures import Architecture
from vfi_train.inference.padding import padded_size


def multiply_accumulates(model: Architecture, size: tuple[int, int]) -> int:
    """Multiply-accumulates of convolutions, matrix products and attention for one frame.

    Args:
        model: the network.
        size: height and width of the frame; it is padded as the network requires.
    """
    with FlopCounterMode(display=False) as counter:
        _fake(model, lambda frame0, frame1: model.eval()(frame0, frame1), padded_size(size, model))
    return counter.get_total_flops() // 2  # the counter counts two per multiply-accumulate


def peak_memory(
    model: Architecture, call: Callable[[Tensor, Tensor], object], size: tuple[int, int], batch: int = 1
) -> int:
    """The peak of bytes in tensors while `call` works on two frames, the frames included.

    Parameters and what libraries allocate (convolution workspaces) are not counted: a measured peak is up to some
    40 % higher.

    Args:
        model: for device and dtype.
        call: takes frame0 and frame1, B 3 H W, without values.
        size: height and width of the frames.
        batch: number of pairs.
    """
    with _LiveBytes() as live:
        _fake(model, call, size, batch)
    return live.peak


def _fake(model: Architecture, call: Callable[[Tensor, Tensor], object], size: tuple[int, int], batch: int = 1) -> None:
    like = next(model.parameters(), None)
    kind: dict[str, Any] = {} if like is None else {"device": like.device, "dtype": like.dtype}
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        frame0, frame1 = (torch.empty(batch, 3, *size, **kind) for _ in range(2))
        call(frame0, frame1)


class _LiveBytes(TorchDispatchMode):
    """Counts the bytes of storages from their creation until they are freed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                self._note(value.untyped_storage())
        return result

    def _note(self, storage: Any) -> None:
        key = id(storage)
        if key not in self._known:
            self._known.add(key)
            size = storage.nbytes()
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size
