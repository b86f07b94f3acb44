"""Runtimes that compute an ONNX graph instead of PyTorch: OpenVINO, ONNX Runtime, and TensorRT by ONNX Runtime."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from vfi_train.errors import UserError

Run = Callable[..., list[Tensor]]


class Runtime:
    """A graph, ready to run.

    Args:
        graph: serialized ONNX; its inputs are batches of one.
        precision: one of `precisions(device)`.
        device: where the tensors are.
        folder: for what is compiled from the graph.
    """

    packages: ClassVar[tuple[str, ...]] = ("onnx", "onnxscript")

    def __init__(self, graph: bytes, precision: str, device: torch.device, folder: Path) -> None:
        raise NotImplementedError

    def __call__(self, inputs: list[list[Tensor]]) -> list[Tensor]:
        """The graph's output for each list of inputs (float32, contiguous, on the device)."""
        raise NotImplementedError

    @classmethod
    def precisions(cls, device: torch.device) -> tuple[str, ...]:
        """What it computes in on a device, the fastest first; empty: it does not compute there."""
        raise NotImplementedError

    @classmethod
    def missing(cls) -> str | None:
        """What is not installed; None: all is there."""
        return next((f"the package {name}" for name in cls.packages if find_spec(name) is None), None)


class OpenVino(Runtime):
    """On CPUs. By default it computes in bf16 where the processor does, but for coordinates of warps."""

    packages = ("openvino", *Runtime.packages)
    hints: ClassVar = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}

    def __init__(self, graph: bytes, precision: str, device: torch.device, folder: Path) -> None:
        core = openvino_core()
        options = {
            "INFERENCE_PRECISION_HINT": self.hints[precision],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        self._compiled = core.compile_model(core.read_model(graph), "CPU", options)

    def __call__(self, inputs: list[list[Tensor]]) -> list[Tensor]:  # noqa: D102
        found = []
        for tensors in inputs:
            output = self._compiled([x.numpy() for x in tensors], share_inputs=True)[0]
            found.append(torch.from_numpy(output.copy()))
        return found

    @classmethod
    def precisions(cls, device: torch.device) -> tuple[str, ...]:  # noqa: D102
        if device.type != "cpu":
            return ()
        able = openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        return tuple(name for name in ("fp16", "bf16", "fp32") if name.upper() in able)


class OnnxRuntime(Runtime):
    """On CPUs and on CUDA devices, in float32."""

    packages = ("onnxruntime", *Runtime.packages)

    def __init__(self, graph: bytes, precision: str, device: torch.device, folder: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors
        self._device = device
        self._session = onnxruntime.InferenceSession(graph, options, providers=self._providers(precision, folder))
        self._names = [value.name for value in self._session.get_inputs()]

    def __call__(self, inputs: list[list[Tensor]]) -> list[Tensor]:  # noqa: D102
        return [self._run(tensors) for tensors in inputs]

    def _run(self, tensors: list[Tensor]) -> Tensor:
        output = torch.empty_like(tensors[0])
        binding = self._session.io_binding()
        for name, tensor in zip(self._names, tensors, strict=True):
            binding.bind_input(name, *self._place(tensor))
        binding.bind_output("frame", *self._place(output))
        if self._device.type == "cuda":  # the session has a stream of its own
            torch.cuda.current_stream(self._device).synchronize()
        self._session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        return output

    def _providers(self, precision: str, folder: Path) -> list[Any]:
        if self._device.type == "cpu":
            return ["CPUExecutionProvider"]
        return [("CUDAExecutionProvider", {"device_id": self._device.index or 0, "use_tf32": 0})]

    @staticmethod
    def _place(tensor: Tensor) -> tuple[Any, ...]:
        return tensor.device.type, tensor.device.index or 0, np.float32, tuple(tensor.shape), tensor.data_ptr()

    @classmethod
    def precisions(cls, device: torch.device) -> tuple[str, ...]:  # noqa: D102
        return ("fp32",) if device.type == "cpu" or _has_provider("CUDAExecutionProvider") else ()


class TensorRt(OnnxRuntime):
    """On CUDA devices, by ONNX Runtime; the first frame of a size waits minutes until its engine is built."""

    packages = ("onnxruntime", "tensorrt", *Runtime.packages)

    def _providers(self, precision: str, folder: Path) -> list[Any]:
        import tensorrt  # noqa: F401  # loads its libraries, which ONNX Runtime then finds

        options = {
            "device_id": self._device.index or 0,
            "trt_fp16_enable": precision == "fp16",
            "trt_bf16_enable": precision == "bf16",
            "trt_engine_cache_enable": True,
            "trt_engine_cache_path": str(folder),
        }
        return [("TensorrtExecutionProvider", options), *super()._providers(precision, folder)]

    @classmethod
    def precisions(cls, device: torch.device) -> tuple[str, ...]:  # noqa: D102
        return ("fp16", "bf16", "fp32") if device.type == "cuda" else ()

    @classmethod
    def missing(cls) -> str | None:  # noqa: D102
        return super().missing() or (
            None if _has_provider("TensorrtExecutionProvider") else "an onnxruntime with TensorRT (onnxruntime-gpu)"
        )


@cache
def openvino_core() -> Any:
    """The one OpenVINO core of this process, without telemetry.

    Telemetry reports each use from a process which it forks beside our threads: neither may then come to an end.
    A core replaces the stack that signal handlers run on, and puts the earlier one back when it is freed; of two cores
    the one freed last puts back that of the other, which is gone, and the next signal ends the process
    (findings/openvino_signal_stack.sh).
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # as if it were not installed
    import openvino

    return openvino.Core()


RUNTIMES: dict[str, type[Runtime]] = {"tensorrt": TensorRt, "openvino": OpenVino, "onnxruntime": OnnxRuntime}


def check_installed(backend: str) -> None:
    """Raises `UserError` if a runtime is not installed."""
    missing = RUNTIMES[backend].missing()
    if missing is not None:
        raise UserError(f"backend={backend} needs {missing}: pip install 'vfi_train[{backend}]', or give backend=torch")


def _has_provider(name: str) -> bool:
    import onnxruntime

    return name in onnxruntime.get_available_providers()
