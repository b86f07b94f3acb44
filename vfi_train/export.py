"""`python -m vfi_train.export`: write trained weights in another format."""

from __future__ import annotations

from pathlib import Path

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from vfi_train.architectures import Architecture
from vfi_train.cli import run
from vfi_train.config_targets import check_targets
from vfi_train.errors import UserError, nearest
from vfi_train.weights import load_weights, published_state_dict


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
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.name}.part")
    FORMATS[config.format](model, partial)
    partial.replace(output)
    print(f"{output}: {config.format} weights of {source}")


def write_published(model: Architecture, path: Path) -> None:
    """A plain state dict under the published names, on the CPU."""
    torch.save({name: tensor.cpu().contiguous() for name, tensor in published_state_dict(model).items()}, path)


FORMATS = {"published": write_published}

if __name__ == "__main__":
    run("export", "vfi_train.export:export")
