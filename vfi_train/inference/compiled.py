"""A network compiled by PyTorch for a CUDA device, and replayed there as a CUDA graph."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, ClassVar

import torch
from torch import Tensor

from vfi_train.architectures import Architecture
from vfi_train.inference.graphs import NetworkFunction

CUDA_GRAPHS = "reduce-overhead"  # torch.compile's name of the mode
SHAPES = 64  # that are compiled of a network; beyond its own limit, 8, torch.compile would silently go on uncompiled


class CompiledNetwork:
    """`graphs.NetworkFunction` by `torch.compile`: the host launches one graph instead of every kernel.

    Shapes are static: each size of frames and batches is compiled, which takes up to minutes, and recorded.

    Args:
        model: the network, on its device.
        iterations, scale: see `Interpolator`.
    """

    options: ClassVar[dict[str, Any]] = {"mode": CUDA_GRAPHS}  # of `torch.compile`

    def __init__(self, model: Architecture, iterations: int, scale: float) -> None:
        self._run = torch.compile(NetworkFunction(model, iterations, scale), dynamic=False, **self.options)

    def __call__(self, frame0: Tensor, frame1: Tensor, time: Tensor) -> Tensor:
        """B 3 H W twice and B 1 1 1 to B 3 H W, float32, in memory of its own."""
        torch.compiler.cudagraph_mark_step_begin()  # what earlier calls gave has been copied
        # Tensors of the one mode, whatever the caller's: others are compiled again.
        with torch.inference_mode(), torch._dynamo.config.patch(recompile_limit=SHAPES):
            inputs = [x.clone(memory_format=torch.contiguous_format) for x in (frame0, frame1, time)]
            frame: Tensor = self._run(*inputs)
        with torch.no_grad():
            return frame.to(torch.float32, copy=True)  # the next call writes to the same memory

    @staticmethod
    def precisions(device: torch.device) -> tuple[str, ...]:
        """What it computes in on a device, the fastest first; empty: it does not compute there."""
        return ("fp16", "bf16", "fp32") if device.type == "cuda" else ()

    @staticmethod
    def missing() -> str | None:
        """What is not installed; None: all is there."""
        return None if find_spec("triton") else "the package triton"
