"""A folder that the Hugging Face Hub takes as it is: weights without code, their configuration, a model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData
from safetensors.torch import save_file

from datamodules.storage.atomic_write import atomic_folder
from vfi_train.architectures import Architecture
from vfi_train.architectures.base import count_parameters
from vfi_train.errors import UserError
from vfi_train.runtime.file_hash import hash_file
from vfi_train.weights import published_state_dict
from vfi_train.weights.hub import CONFIG, TENSORS


def write_hub_folder(
    model: Architecture, block: Mapping[str, Any], source: Path, folder: Path, license_name: str | None
) -> None:
    """Write model.safetensors (published names), config.json and README.md.

    Args:
        model: the network, its weights loaded.
        block: its configuration.
        source: the file that the weights were read from; in a run, the card has the run's recipe, data and scores.
        folder: to make.
        license_name: as the Hub writes it: apache-2.0, mit, cc-by-nc-4.0, ...

    Raises:
        UserError: the folder holds something, or no licence is given.
    """
    if license_name is None:
        raise UserError(
            "format=hub needs the licence of the weights for their card: give license=apache-2.0, mit, cc-by-nc-4.0, "
            "... (docs/models.md has those of published weights)"
        )
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty: choose another output=...")
    with atomic_folder(folder) as partial:
        tensors = {name: tensor.cpu().contiguous() for name, tensor in published_state_dict(model).items()}
        save_file(tensors, partial / TENSORS, metadata={"format": "pt"})
        config = {
            "library_name": "vfi_train",
            "library_version": version("vfi_train"),
            "family": model.family,
            "model": dict(block),
            "parameters": count_parameters(model),
            "weights_sha256": hash_file(partial / TENSORS),
        }
        (partial / CONFIG).write_text(json.dumps(config, indent=1) + "\n")
        (partial / "README.md").write_text(model_card(folder.name, config, find_run(source), license_name))


def find_run(source: Path) -> Path | None:
    """The run that a checkpoint lies in."""
    run = source.parents[1] if source.parent.name == "checkpoints" else None
    return run if run is not None and (run / "config.yaml").is_file() else None


def model_card(name: str, config: Mapping[str, Any], run: Path | None, license_name: str) -> str:
    """The Hub's README.md: metadata, how to use the weights, and what they were trained with and measured at."""
    data = ModelCardData(
        license=license_name, library_name="vfi_train", tags=["video-frame-interpolation", str(config["family"])]
    )
    target = str(config["model"]["_target_"]).rpartition(".")[2]
    lines = [
        "---",
        data.to_yaml(),
        "---",
        "",
        f"# {name}",
        "",
        f"Video frame interpolation: `{target}`, {config['parameters']:,} parameters, RGB in the range 0..1.",
        "",
        "```",
        f"python -m vfi_train.interpolate model={target} weights=hf://OWNER/{name} input=clip.mp4 output=smooth.mp4",
        "```",
        "",
        *(_of_run(run) if run is not None else ["The weights do not come from a run of this framework.", ""]),
    ]
    return "\n".join(lines)


def _of_run(run: Path) -> list[str]:
    lines = []
    if (run / "report.json").is_file():
        report = json.loads((run / "report.json").read_text())
        lines += ["## Scores on the validation samples", "", "| | PSNR (dB) | SSIM |", "| --- | --- | --- |"]
        lines += [f"| {row} | {scores['PSNR']:.2f} | {scores['SSIM']:.4f} |" for row, scores in report.items()] + [""]
    if (run / "provenance.json").is_file():
        provenance = (run / "provenance.json").read_text().strip()
        lines += ["## Data and versions", "", "```json", provenance, "```", ""]
    return [*lines, "## Recipe", "", "```yaml", (run / "config.yaml").read_text().strip(), "```", ""]
