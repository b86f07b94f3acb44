"""`python -m vfi_train.replay FILE`: repeats a training step that was not finite and finds the first such tensor.

The file holds the batches, the weights and the configuration (see `callbacks/nan_guard.py`); no data is needed.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from losses import LossSet
from vfi_train.architectures import Architecture
from vfi_train.config.build_network import build_network
from vfi_train.config.program import run
from vfi_train.config.read_settings import read_settings
from vfi_train.config.trust import check_trusted
from vfi_train.contract import Batch
from vfi_train.errors import UserError
from vfi_train.modules.forward import in_network_order, predict, seed_rng
from vfi_train.ranges import Text
from vfi_train.runtime.devices import find_device
from vfi_train.training.recipe import takes
from vfi_train.weights import load_weights
from vfi_train.weights.checksums import check_archive
from vfi_train.weights.load import NETWORK_PREFIX
from vfi_train.weights.safe_load import safe_load

KEYS = {"step", "position", "processes", "batches", "state_dict", "config"}


@dataclass(frozen=True)
class Settings:
    """The keys of conf/replay.yaml."""

    file: Text
    weights: str | None
    backbones: str | None
    device: str | None
    runs: Text
    trust: bool


def replay(config: DictConfig) -> None:
    """Repeat the step of `config.file`; print its losses and the first tensor that is not finite."""
    settings = read_settings(Settings, config)
    path = Path(settings.file)
    kept = read_fault(path)
    training = yaml.safe_load(kept["config"])
    for name in ("model", "loss"):
        check_trusted(training[name], name, path, settings.trust)
    terms = [term for term in training["loss"]["terms"].values() if term is not None]
    for term in terms if settings.backbones is not None else ():
        if takes(term, "folder"):
            term["folder"] = settings.backbones
    device = find_device(settings.device or "auto")
    network = build_network(training).to(device).train()
    tensors = {k: v for k, v in kept["state_dict"].items() if k.startswith(NETWORK_PREFIX)}
    network.load_state_dict({k.removeprefix(NETWORK_PREFIX): v for k, v in tensors.items()})
    if settings.weights is not None:
        load_weights(network, settings.weights, settings.runs)
    losses: LossSet = instantiate(training["loss"], _convert_="all").to(device)
    console = Console()
    for number, batch in enumerate(kept["batches"]):
        batch = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in batch.items()}
        seed_rng(training["seed"], kept["position"] + number * kept["processes"])
        values, culprit = run_again(network, losses, batch, kept["step"] - 1, str(training["trainer"]["precision"]))
        console.print(f"step {kept['step']}, batch {number + 1} of {len(kept['batches'])}", highlight=False)
        console.print(f"samples: {', '.join(batch['key'])}", highlight=False, soft_wrap=True)
        console.print(_table(values))
        result = f"first that is not finite: {culprit}" if culprit else "everything is finite here"
        console.print(result, highlight=False, soft_wrap=True)


def run_again(
    network: Architecture, losses: LossSet, batch: Any, step: int, precision: str
) -> tuple[dict[str, float], str | None]:
    """The forward and backward pass of a batch.

    Args:
        network: with the weights of that moment, on the batch's device.
        losses: the loss set.
        batch: in RGB, as from the dataset.
        step: optimizer steps done before.
        precision: Lightning's; its 16 and bf16 kinds run under autocast.

    Returns:
        Each loss term and their total, and what was not finite first, in the order of computation: an entry of the
        batch, a weight, the output of a module, a loss term, the gradient of a module's output, a weight's gradient.
    """
    seen: list[str] = []
    entries = {f"batch.{name}": value for name, value in batch.items() if isinstance(value, Tensor)}
    seen += _not_finite(entries)
    seen += _not_finite({f"the weight {name}": p for name, p in network.named_parameters()})
    handles = [module.register_forward_hook(_watch(name, seen)) for name, module in _leaves(network)]
    half = {"bf16": torch.bfloat16, "16": torch.float16}.get(precision.partition("-")[0])
    kind = batch["target"].device.type
    try:
        with torch.autocast(kind, half or torch.bfloat16, enabled=half is not None):
            ordered: Batch = in_network_order(batch, network)
            values = losses(predict(network, ordered), ordered, step)
    finally:
        for handle in handles:
            handle.remove()
    seen += _not_finite({f"the loss term {name}": value for name, value in values.items()})
    if values["total"].isfinite():
        values["total"].backward()
        gradients = {f"the gradient of {name}": p.grad for name, p in network.named_parameters() if p.grad is not None}
        seen += _not_finite(gradients)
    return {name: value.item() for name, value in values.items()}, seen[0] if seen else None


def read_fault(path: Path) -> dict[str, Any]:
    """The content of a file in a run's folder `faults`.

    Raises:
        UserError: the file does not exist, or has other content.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}: give one of a run's folder faults")
    check_archive(path)
    content = safe_load(path)
    if not isinstance(content, dict) or not content.keys() >= KEYS or not content["config"]:
        raise UserError(f"{path} holds no training step: give a file of a run's folder faults")
    return content


def _watch(name: str, seen: list[str]) -> Any:
    """A hook that checks a module's output and its gradient."""

    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        for tensor in tree_leaves(output):
            if isinstance(tensor, Tensor) and tensor.is_floating_point():
                seen.extend(_not_finite({f"the output of {name} ({type(module).__name__})": tensor}))
                if tensor.requires_grad:
                    tensor.register_hook(
                        lambda gradient: seen.extend(_not_finite({f"the gradient at the output of {name}": gradient}))
                    )

    return hook


def _leaves(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    return ((name, module) for name, module in network.named_modules() if not any(module.children()))


def _not_finite(tensors: dict[str, Tensor]) -> list[str]:
    """A description of each tensor with entries that are not finite."""
    found = []
    for name, tensor in tensors.items():
        bad = (~tensor.detach().isfinite()).nonzero()
        if len(bad):
            place = f" at {bad[0].tolist()}" if tensor.ndim else ""
            found.append(f"{name}: {len(bad):,} of {tensor.numel():,} values, the first{place}")
    return found


def _table(values: dict[str, float]) -> Table:
    table = Table()
    table.add_column("loss term")
    table.add_column("weighted", justify="right")
    for name, value in values.items():
        table.add_row(name, f"{value:.6g}" if math.isfinite(value) else f"[red]{value}[/]")
    return table


def file_first(arguments: list[str]) -> list[str]:
    """The command line with a bare file as `file=`."""
    return [f"file={argument}" if _is_bare_file(argument) else argument for argument in arguments]


def _is_bare_file(argument: str) -> bool:
    return argument.endswith(".pt") and not ("=" in argument and argument.partition("=")[0].isidentifier())


if __name__ == "__main__":
    sys.argv[1:] = file_first(sys.argv[1:])
    run("replay", "vfi_train.replay:replay")
