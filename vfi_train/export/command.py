"""`python -m vfi_train.export`: write trained weights in another format."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor

from vfi_train.architectures import Architecture
from vfi_train.config.targets import check_targets
from vfi_train.errors import UserError, nearest
from vfi_train.weights import load_weights, published_state_dict

if TYPE_CHECKING:
    from vfi_train.export.graphs import ExportMetadata


def export(config: DictConfig) -> None:
    """Write `config.weights` of `config.model` to `config.output` in `config.format`."""
    if config.format not in FORMATS:
        raise UserError(f"format={config.format} is not known: {nearest(config.format, FORMATS)}")
    output = Path(config.output)
    if output.exists() and not config.overwrite:
        raise UserError(f"{output} exists: choose another output=..., or overwrite=true")
    check_targets(config)
    model = instantiate(config.model, _convert_="all")
    source = load_weights(model, config.weights, config.runs)
    request = Request(model, config.model._target_.rpartition(".")[2], source, _size(config.size), config.iterations)
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.stem}.part{output.suffix}")
    try:
        told = FORMATS[config.format](request, partial)
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
    print(f"{output}: {told} of {source}")


@dataclass(frozen=True)
class Request:
    """What is to be written: a model with its weights loaded, its name, the file they came from, and options."""

    model: Architecture
    name: str
    weights: Path
    size: tuple[int, int] | None
    iterations: int


def write_published(request: Request, path: Path) -> str:
    """A plain state dict under the published names, on the CPU."""
    torch.save(_published(request), path)
    return "published weights"


def write_safetensors(request: Request, path: Path) -> str:
    """The same tensors and names as safetensors: nothing in the file can run."""
    from safetensors.torch import save_file

    save_file(_published(request), path, metadata={"model": request.name, "weights": request.weights.name})
    return "safetensors weights"


def write_onnx(request: Request, path: Path) -> str:
    """An ONNX graph; see `vfi_train.export.graphs`."""
    from vfi_train.export import graphs

    facts = _facts(request, "onnx", path)
    difference = graphs.write_onnx(request.model, facts, path)
    return f"onnx (opset {graphs.OPSET}, {_described(facts, difference)})"


def write_torch_export(request: Request, path: Path) -> str:
    """An archive of torch.export; see `vfi_train.export.graphs`."""
    from vfi_train.export import graphs

    facts = _facts(request, "torch_export", path)
    return f"torch.export archive ({_described(facts, graphs.write_torch_export(request.model, facts, path))})"


def write_aotinductor(request: Request, path: Path) -> str:
    """A compiled package of AOTInductor; see `vfi_train.export.graphs`."""
    from vfi_train.export import graphs

    facts = _facts(request, "aotinductor", path)
    return f"AOTInductor package ({_described(facts, graphs.write_aotinductor(request.model, facts, path))})"


def _published(request: Request) -> dict[str, Tensor]:
    return {name: tensor.cpu().contiguous() for name, tensor in published_state_dict(request.model).items()}


def _facts(request: Request, form: str, path: Path) -> ExportMetadata:
    from vfi_train.export.graphs import facts_of
    from vfi_train.inference.time_probe import is_time_aware

    ending = ".onnx" if form == "onnx" else ".pt2"
    if path.suffix != ending:
        raise UserError(f"format={form} writes files whose names end in {ending}: choose such an output=...")
    facts = facts_of(request.model, request.name, request.weights.name, request.size, request.iterations)
    return replace(facts, arbitrary_time=is_time_aware(request.model, request.iterations))


def _described(facts: ExportMetadata, difference: float) -> str:
    times = "any time" if facts.arbitrary_time else "the middle frame"
    return f"{times}, {_sizes(facts)}, at most {difference:.0e} from PyTorch"


def _sizes(facts: ExportMetadata) -> str:
    if facts.size:
        return f"{facts.size[0]}x{facts.size[1]}"
    return f"heights and widths that are multiples of {facts.size_multiple}"


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", str(text))
    if match is None:
        raise UserError(f"size={text} is not HEIGHTxWIDTH: give for example 720x1280")
    return int(match[1]), int(match[2])


FORMATS: dict[str, Callable[[Request, Path], str]] = {
    "published": write_published,
    "safetensors": write_safetensors,
    "onnx": write_onnx,
    "torch_export": write_torch_export,
    "aotinductor": write_aotinductor,
}
