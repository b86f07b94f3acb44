"""Switches of a training step: each computes the same gradients."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from tests.helpers.golden_cases import assert_near, frame
from tests.helpers.loss_sets import loss_set
from vfi_train.architectures import create_model
from vfi_train.contract import Batch
from vfi_train.errors import UserError
from vfi_train.modules.interpolation_module import InterpolationModule
from vfi_train.modules.step_options import check_compile
from vfi_train.optim.schedules import Constant

FAMILIES = {
    "ifrnet_tiny": "ifrnet",
    "amt_s": "amt",
    "ema_vfi_small": "ema_vfi",
    "rife": "rife",
    "atm_vfi_lite": "atm_vfi_global",
}


def module(model: str, **switches: object) -> InterpolationModule:
    torch.manual_seed(0)
    make = torch.optim.AdamW
    made = InterpolationModule(create_model(model), loss_set(FAMILIES[model]), make, Constant(), 10, **switches)  # type: ignore[arg-type]
    made.configure_model()
    return made


def batch() -> Batch:
    frame0, target, frame1 = (frame(128, 128, phase) for phase in (0.0, 0.5, 1.0))
    return Batch(
        frame0=frame0, frame1=frame1, target=target, time=torch.full((1, 1, 1, 1), 0.5), flow=torch.ones(1, 4, 128, 128)
    )


def gradients(made: InterpolationModule) -> dict[str, torch.Tensor]:
    made.losses(batch())["total"].backward()
    return {name: p.grad for name, p in made.architecture.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("model", FAMILIES)
def test_gradients_with_recomputed_activations_are_the_same(model: str) -> None:
    kept, again = (gradients(module(model, checkpointing=on, channels_last=False)) for on in (False, True))
    assert kept.keys() == again.keys()
    for name, gradient in kept.items():
        assert torch.equal(again[name], gradient), name


def saved_bytes(made: InterpolationModule) -> int:
    """What autograd keeps between the passes, each storage once."""
    found: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        found[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        made.losses(batch())
    return sum(storage.nbytes() for storage in found.values())


@pytest.mark.parametrize("model", FAMILIES)
def test_recomputing_keeps_less(model: str) -> None:
    kept, again = (saved_bytes(module(model, checkpointing=on)) for on in (False, True))
    assert again < 0.5 * kept


@pytest.mark.parametrize("model", FAMILIES)
def test_gradients_channels_last_are_the_same(model: str) -> None:
    plain, laid = (module(model, channels_last=on) for on in (False, True))
    apart = laid.architecture.contiguous_parts
    named = laid.architecture.named_parameters()
    weights = [p for name, p in named if p.ndim == 4 and name.split(".")[0] not in apart]
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)
    wanted, got = gradients(plain), gradients(laid)
    scale = max(g.abs().max().item() for g in wanted.values())
    for name, gradient in wanted.items():
        assert_near(got[name], gradient, 1e-4 * scale, name)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library of this system returns memory otherwise")
def test_freed_memory_is_kept_for_the_next_tensors() -> None:
    """Pages of 4 KiB, in a process with a heap of its own.

    Of making 16 MiB twenty times the faults; of making 256 MiB what is resident after they were freed, kept and not.
    """
    output = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True).stdout
    returned, kept, resident, resident_after = map(int, output.split())
    assert returned >= 20 * 4096
    assert kept < returned / 2  # the first of them, and where small blocks had come between
    assert resident - resident_after > 0.9 * 2**16


FAULTS = """
import resource, torch
from vfi_train.runtime.devices import keep_freed_memory as keep_memory
for keep in (False, True):
    keep_memory(keep)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(2**22)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
many = [torch.ones(2**22) for _ in range(16)]
del many
for keep in (True, False):
    keep_memory(keep)
    print(open("/proc/self/statm").read().split()[1])
"""


def test_what_cuda_graphs_give_is_copied_before_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU: the calls that make graphs, and losses in memory that the next step writes to."""
    modes, begun = [], []
    memory = torch.zeros(())

    def compile(function: Callable[..., Any], *, dynamic: bool, mode: str | None) -> Callable[..., Any]:
        modes.append((type(function).__name__, dynamic, mode))
        if isinstance(function, torch.nn.Module) and hasattr(function, "encode"):
            return function
        return lambda *args: {"total": memory.copy_(function(*args)["total"].detach())}

    monkeypatch.setattr(torch, "compile", compile)
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: begun.append(True))
    made = module("ifrnet_tiny", compile="cuda_graphs")
    assert modes == [("IFRNet", False, "reduce-overhead"), ("LossSet", False, "reduce-overhead")]
    first = made.losses(batch())["total"]
    other = {**batch(), "target": 1 - batch()["target"]}
    second = made.losses(other)["total"]  # type: ignore[arg-type]
    assert first != second
    assert first == module("ifrnet_tiny").losses(batch())["total"]
    assert len(begun) == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ("cpu", 1, 1),
            "module.compile=cuda_graphs is for CUDA devices, and this training is on cpu: give module.compile=both",
        ),
        (("cuda", 2, 1), "is for one process, and this training has 2: give module.compile=both"),
        (("cuda", 1, 4), "accumulates no gradients, and 4 micro-batches make a step: leave out data.micro_batch_size"),
    ],
)
def test_steps_that_cannot_be_cuda_graphs_are_refused(given: tuple[str, int, int], message: str) -> None:
    check_compile("both", *given)
    with pytest.raises(UserError, match=message):
        check_compile("cuda_graphs", *given)
    check_compile("cuda_graphs", "cuda", 1, 1)


@pytest.mark.slow
def test_compiled_once_for_all_steps() -> None:
    """Also where a weight follows the steps."""
    made = module("ifrnet_tiny", channels_last=False)
    counter = CompileCounterWithBackend("eager")
    losses = torch.compile(made.loss, dynamic=False, backend=counter)
    for step in range(4):
        losses(made.predict(batch()), batch(), step)
    assert counter.frame_count == 1
