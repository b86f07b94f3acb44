"""Networks as graphs that run without this package: ONNX, torch.export, AOTInductor, checked against PyTorch.

A graph takes frame0 and frame1 (1 3 H W, RGB, [0, 1], float32; H and W multiples of its `size_multiple`) and, where the
network takes any time, time (1 1 1 1); it gives frame (1 3 H W, RGB, [0, 1]). The file holds `ExportMetadata` as JSON
under the name `vfi_train`; `run_exported.py` reads it.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vfi_train.architectures import Architecture
from vfi_train.architectures.base import time_tensor
from vfi_train.architectures.layers.reference import known_reference, reference_schedule
from vfi_train.errors import UserError

OPSET = 20  # of ONNX; 16 is the first with GridSample
TOLERANCE = 1e-3  # largest difference to PyTorch in images in [0, 1]: a quarter of a level of 8 bits
LARGEST = 8192  # pixels a side, of graphs for any size
NEEDS_SIZE = ("ema_vfi", "atm_vfi")  # families whose graph depends on the size: attention windows
NAME = "vfi_train"  # of the metadata in a file

Run = Callable[..., Any]  # frame0, frame1, time as tensors; gives the frame as an array or tensor


@dataclass(frozen=True)
class ExportMetadata:
    """What a caller of a graph needs. `size`: the only one it takes (height, width); None: any multiple."""

    model: str
    weights: str
    size_multiple: int
    min_size: int
    arbitrary_time: bool
    size: tuple[int, int] | None = None
    iterations: int = 1

    def json(self) -> str:
        """For a file."""
        return json.dumps(dataclasses.asdict(self))


class NetworkFunction(nn.Module):
    """A network as a function of tensors in its own channel order, with steps from a reference inside."""

    def __init__(self, model: Architecture, iterations: int, scale: float = 1.0) -> None:
        super().__init__()
        self.model, self.iterations, self.scale = model, iterations, scale

    def forward(self, frame0: Tensor, frame1: Tensor, time: Tensor | None = None) -> Tensor:
        """1 3 H W twice and 1 1 1 1 to 1 3 H W."""
        if time is None:
            time = time_tensor(0.5, frame0)
        encoding = self.model.encode(frame0, frame1, scale=self.scale)
        if not self.model.takes_reference:
            return self.model.decode(encoding, time).frame
        frame, start = known_reference(frame0, time, None, None)
        for to, since in reference_schedule(time, start, self.iterations):
            frame = self.model.decode(encoding, to, reference=frame, reference_time=since).frame
        return frame


class ExportWrapper(NetworkFunction):
    """The same for RGB, with a clamped result."""

    def forward(self, frame0: Tensor, frame1: Tensor, time: Tensor | None = None) -> Tensor:
        """1 3 H W twice and 1 1 1 1 to 1 3 H W."""
        if self.model.channel_order == "bgr":
            return super().forward(frame0.flip(1), frame1.flip(1), time).flip(1).clamp(0, 1)
        return super().forward(frame0, frame1, time).clamp(0, 1)


def metadata_of(
    model: Architecture, name: str, weights: str, size: tuple[int, int] | None, iterations: int
) -> ExportMetadata:
    """The metadata of a model's graph.

    Raises:
        UserError: the graph depends on the size and none is given, or the size is too small; or the network takes
            frames before and after the two.
    """
    if model.takes_context:
        raise UserError(f"{name} takes four frames, and exported graphs only two: give format=safetensors")
    multiple = max(model.size_multiple, model.full_size_multiple)
    if size is None and model.family in NEEDS_SIZE:
        raise UserError(f"the graph of {name} depends on the size (attention windows): give size=720x1280 or another")
    padded = None if size is None else (-(-size[0] // multiple) * multiple, -(-size[1] // multiple) * multiple)
    if padded is not None and min(padded) < model.min_size:
        raise UserError(f"size: {name} takes frames of at least {model.min_size} pixels a side; got {size}")
    steps = iterations if model.takes_reference else 1
    return ExportMetadata(name, weights, multiple, model.min_size, model.arbitrary_time, padded, steps)


def capture(function: NetworkFunction, metadata: ExportMetadata) -> torch.export.ExportedProgram:
    """A function's graph by torch.export, for any height and width, or for the size in `metadata`."""
    shapes: Any = None
    if metadata.size is None:
        sides = {2: _side("height", metadata), 3: _side("width", metadata)}
        shapes = (sides, sides, *([{}] if metadata.arbitrary_time else []))
    with torch.inference_mode(False), torch.no_grad(), _no_autocast(), _Portable():
        return torch.export.export(function, _inputs(metadata, _example(metadata)), dynamic_shapes=shapes)


def onnx_graph(function: NetworkFunction, metadata: ExportMetadata) -> Any:
    """A function's graph as an ONNX model (`onnx.ModelProto`), opset `OPSET`."""
    import onnx

    program = torch.onnx.export(
        capture(function, metadata), dynamo=True, opset_version=OPSET, output_names=["frame"], verbose=False
    )
    assert program is not None
    graph = program.model_proto
    onnx.helper.set_model_props(graph, {NAME: metadata.json()})
    onnx.checker.check_model(graph)
    return graph


def write_torch_export(model: Architecture, metadata: ExportMetadata, path: Path) -> float:
    """Write the graph as an archive of torch.export; returns the largest difference to PyTorch."""
    program = capture(_wrapped(model, metadata), metadata)
    content = io.BytesIO()  # written at once: PyTorch's writer hides what the disk says
    torch.export.save(program, content, extra_files={f"{NAME}.json": metadata.json()})  # type: ignore[arg-type]
    path.write_bytes(content.getvalue())
    loaded = torch.export.load(str(path)).module()
    return check(model, metadata, lambda *inputs: loaded(*inputs))


def write_aotinductor(model: Architecture, metadata: ExportMetadata, path: Path) -> float:
    """Compile the graph to an AOTInductor package for CPUs of this kind; returns the largest difference to PyTorch."""
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise UserError(
            f"format=aotinductor needs a C++ compiler, and there is no {compiler}: install one (Debian: g++) or set CXX"
        )
    torch._inductor.aoti_compile_and_package(
        capture(_wrapped(model, metadata), metadata), package_path=str(path),
        inductor_configs={"aot_inductor.metadata": {NAME: metadata.json()}},
    )  # fmt: skip
    loaded = torch._inductor.aoti_load_package(str(path))
    return check(model, metadata, lambda *inputs: loaded(*inputs))


def write_onnx(model: Architecture, metadata: ExportMetadata, path: Path) -> float:
    """Write the graph as ONNX, opset `OPSET`; returns the largest difference to PyTorch, computed by onnxruntime."""
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(f"format=onnx needs the package {error.name}: pip install 'vfi_train[export]'") from error
    path.write_bytes(onnx_graph(_wrapped(model, metadata), metadata).SerializeToString())
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return check(
        model,
        metadata,
        lambda *inputs: session.run(None, dict(zip(names, (x.numpy() for x in inputs), strict=True)))[0],
    )


def check(model: Architecture, metadata: ExportMetadata, run: Run) -> float:
    """The largest difference between a graph and PyTorch over sizes and times, for a moving texture.

    Raises:
        UserError: it is above `TOLERANCE`.
    """
    sizes = [metadata.size] if metadata.size else [_example(metadata), _other(metadata)]
    largest = 0.0
    for size in sizes:
        for time in (0.5, 0.2) if metadata.arbitrary_time else (0.5,):
            inputs = _inputs(metadata, size, time)
            with torch.no_grad():
                expected = _wrapped(model, metadata)(*inputs)
                got = torch.as_tensor(run(*inputs))
            largest = max(largest, float((got - expected).abs().max()))
    if not largest <= TOLERANCE:
        raise UserError(
            f"the graph of {metadata.model} differs from PyTorch by {largest:.1e}, more than {TOLERANCE:.0e}, and is "
            "not written"
        )
    return largest


def _wrapped(model: Architecture, metadata: ExportMetadata) -> ExportWrapper:
    return ExportWrapper(model.eval(), metadata.iterations)


class _Portable(TorchFunctionMode):
    """Replaces functions that graphs cannot hold; the numbers are the same, except for the last bit of a grid.

    torch.linspace, whose number of steps a graph would fix, becomes torch.arange; shifts, which ONNX has only for
    unsigned numbers, become divisions.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.linspace:
            start, end, steps = args
            count = torch.arange(steps, **(kwargs or {}))
            return start + (end - start) * count / count[-1:].clamp(min=1)
        if func is Tensor.__rshift__:
            return torch.div(args[0], 2 ** args[1], rounding_mode="floor")
        return func(*args, **(kwargs or {}))


@contextmanager
def _no_autocast() -> Iterator[None]:
    """A graph is float32 throughout; archives cannot hold the regions that switch autocast off."""
    usual = torch.autocast
    torch.autocast = lambda *_, **__: nullcontext()  # type: ignore[misc, assignment]
    try:
        yield
    finally:
        torch.autocast = usual  # type: ignore[misc]


def _side(name: str, metadata: ExportMetadata) -> Any:
    least = -(-metadata.min_size // metadata.size_multiple)
    return metadata.size_multiple * torch.export.Dim(name, min=least, max=LARGEST // metadata.size_multiple)


def _example(metadata: ExportMetadata) -> tuple[int, int]:
    """A small size; at least two multiples a side, since one is a special case of the tracer."""
    side = max(2 * metadata.size_multiple, -(-metadata.min_size // metadata.size_multiple) * metadata.size_multiple)
    return metadata.size or (side, side + metadata.size_multiple)


def _other(metadata: ExportMetadata) -> tuple[int, int]:
    height, width = _example(metadata)
    return height + 2 * metadata.size_multiple, width + metadata.size_multiple


def _inputs(metadata: ExportMetadata, size: tuple[int, int], time: float = 0.5) -> tuple[Tensor, ...]:
    """A texture that moves by a few pixels, and a time where the graph takes one."""
    rows, columns = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    periods = torch.tensor([5.0, 7.0, 11.0]).reshape(3, 1, 1)
    frames = [
        ((torch.sin((columns - shift) / periods) + torch.cos((rows + shift) / periods)) / 4 + 0.5)[None]
        for shift in (0.0, 3.0)
    ]
    return (*frames, torch.full((1, 1, 1, 1), time)) if metadata.arbitrary_time else tuple(frames)
