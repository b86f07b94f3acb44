"""Training steps on a fake GPU: python -m tests.helpers.fake_gpu BACKBONES "OVERRIDE OVERRIDE ..." ...

Tensors without values, on a device that exists only by name. They reveal what a machine without a GPU does not:
tensors of two devices in one operation, and a host that waits for the device (reads a number, or copies between the
two). Prints a line for each such place, and one for each configuration whose steps went through.

A process of its own, because the device's name is given once and for all. Each step runs twice: autocast and a fused
optimizer know "cuda", where a graph for a backward pass wants the real one; that is made on the other.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from losses.backbones import BackboneTerm
from tests.helpers.in_process import composed
from vfi_train.contract import Batch, Prediction
from vfi_train.modules.gradients import propagate_nonfinite
from vfi_train.modules.interpolation_module import InterpolationModule
from vfi_train.training.build import build_module
from vfi_train.training.command import plan_phases, plan_run
from vfi_train.training.plan import TrainingPlan
from vfi_train.training.recipe import batch_shapes

STAND_IN = "stand_in"
ROOT = Path(__file__).parents[2]
OWN = tuple(f"{ROOT / folder}{os.sep}" for folder in ("vfi_train", "losses"))
COPIES = (torch.ops.aten._to_copy, torch.ops.aten.copy_)


class Waits(TorchDispatchMode):
    """Notes what copies between host and device and makes the host wait. Reading a number fails by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        kinds = {leaf.device.type for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, Tensor)}
        if func.overloadpacket in COPIES and len(kinds) > 1 and not kwargs.get("non_blocking"):
            self.places.append(place(traceback.extract_stack()))
        return out


def main(backbones: str, requested: list[str]) -> None:
    """Run the steps of each configuration."""
    torch.backends.cudnn.enabled = False  # its operations want the library
    found: dict[str, list[str]] = {overrides: [] for overrides in requested}
    for device in ("cuda", STAND_IN):
        if device == STAND_IN:
            _setup_privateuseone_for_python_backend(STAND_IN)
            getattr(torch, STAND_IN).get_amp_supported_dtype = list  # autocast calls it, also where it is off
        for overrides in requested:
            for plan in plans([*overrides.split(), f"backbones={backbones}"]):
                try:
                    found[overrides] += step(plan, device)
                except Exception as error:
                    message = str(error).partition("\n")[0]
                    found[overrides].append(f"{place(traceback.extract_tb(error.__traceback__))}: {message}")
    for overrides, places in found.items():
        for line in dict.fromkeys(places) or ["went through"]:
            print(f"{overrides}: {line}")


def plans(overrides: list[str]) -> list[TrainingPlan]:
    """A training's, or those of a curriculum's phases."""
    fixed = [*overrides, "steps_per_epoch=7", "runs=none", "check=true"]
    config = composed(*fixed)
    if config.curriculum is None:
        return [plan_run(config)]
    roots = [f"roots.{dataset}=none" for dataset in config.get("roots", {})] or ["data.root=none"]
    return plan_phases(composed(*fixed, *roots))


def step(plan: TrainingPlan, device: str) -> list[str]:
    """A training step, where a host would wait in it."""
    module = build_module(plan).train()
    module.channels_last = False  # as on a GPU
    found = plan.datasets[0]
    shapes = batch_shapes(found, module.architecture, 2, found.size or (256, 256))
    with FakeTensorMode(allow_non_fake_inputs=True):
        move(module, device)
        contents: dict[str, Any] = {name: torch.empty(shape, device=device) for name, shape in shapes.items()}
        batch: Batch = {**contents, "key": [""] * 2}  # type: ignore[typeddict-item]
        optimizer = module.configure_optimizers()["optimizer"]  # type: ignore[index]
        with Waits() as waits, torch.set_grad_enabled(device == STAND_IN):
            batch = module.prepare(batch)
            with half_precision(device == "cuda"):
                prediction: Prediction = module.predict(batch)
                loss = propagate_nonfinite(module.compute_losses(prediction, batch)["total"])
            if device == STAND_IN:
                loss.backward()
            else:
                update(module, optimizer)
        assert loss.device.type == device
    return waits.places


def move(module: InterpolationModule, device: str) -> None:
    """As `Module.to`, which wants numbers to move."""
    backbones = [term.backbone for term in module.loss.modules() if isinstance(term, BackboneTerm)]
    for part in {one for root in (module, *backbones) for one in root.modules()}:
        for name, parameter in part._parameters.items():
            if parameter is not None:
                there = torch.empty_like(parameter, device=device)
                part._parameters[name] = torch.nn.Parameter(there, parameter.requires_grad)
        for name, buffer in part._buffers.items():
            part._buffers[name] = None if buffer is None else torch.empty_like(buffer, device=device)


def update(module: InterpolationModule, optimizer: Any) -> None:
    """What comes after the backward pass."""
    for parameter in module.architecture.parameters():
        parameter.grad = torch.empty_like(parameter) if parameter.requires_grad else None
    module.gradients.prepare(optimizer, 1.0, "norm", False)
    assert all(group["fused"] for group in optimizer.param_groups)
    optimizer.step()


@contextlib.contextmanager
def half_precision(on: bool) -> Iterator[None]:
    """Autocast of a GPU, which `torch.autocast` switches off where there is none."""
    torch.set_autocast_enabled("cuda", on)
    torch.set_autocast_dtype("cuda", torch.bfloat16)
    torch.set_autocast_cache_enabled(False)  # it would make a graph
    try:
        yield
    finally:
        torch.set_autocast_enabled("cuda", False)


def place(stack: traceback.StackSummary) -> str:
    """The line of the program that a stack ends in."""
    own = [frame for frame in stack if frame.filename.startswith(OWN)]
    last = own[-1] if own else stack[-1]
    return f"{Path(last.filename).name}:{last.lineno}: {last.line}"


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
    sys.stdout.flush()
    os._exit(0)  # autograd's thread for the stand-in sometimes aborts a process that ends otherwise
