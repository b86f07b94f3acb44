"""`python -m vfi_train.weights.ship RUN NAME`: make a finished run's best checkpoint part of the package.

Writes half-precision safetensors and a card (recipe, steps, seed, curve) into `vfi_train/weights/shipped`.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import torch
import yaml

from vfi_train.weights.checksums import write_safetensors
from vfi_train.weights.load import BEST, NETWORK_PREFIX, shipped_folder
from vfi_train.weights.published_checkpoint import read_checkpoint


def ship(run: Path, name: str) -> Path:
    """Write `NAME.safetensors` and `NAME.md` from a finished run; the weights' path."""
    checkpoint = read_checkpoint(run / "checkpoints" / BEST)
    tensors = {
        key.removeprefix(NETWORK_PREFIX): tensor.to(torch.float16).contiguous()
        for key, tensor in checkpoint["state_dict"].items()
        if key.startswith(NETWORK_PREFIX)
    }
    path = shipped_folder() / f"{name}.safetensors"
    write_safetensors(tensors, path, {"format": "pt", "step": str(checkpoint["global_step"])})
    path.with_suffix(".md").write_text(card(run, name, checkpoint["global_step"]))
    return path


def card(run: Path, name: str, step: int) -> str:
    """What a user of the weights must know, as Markdown."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    report: dict[str, Any] = json.loads((run / "report.json").read_text())
    with (run / "metrics.csv").open(newline="") as file:
        curve = [(row["step"], row["val/psnr"], row["val/ssim"]) for row in csv.DictReader(file) if row.get("val/psnr")]
    optimizer, schedule, data = config["optimizer"], config["schedule"], config["data"]
    experiment = run.name.partition("-")[0]
    start = "from scratch" if config["weights"] is None else f"from `weights={config['weights']}`"
    time = ["- takes the time as a distance map"] if data.get("maps") else []
    time += ["- any time from 0 to 1"] if data.get("times") == "uniform" and not time else []
    lines = [
        f"# {name}",
        "",
        f"Trained {start} by this project on scenes that it draws itself (`data=synthetic`); licence: Apache-2.0.",
        "They know the motion of such scenes, up to a few pixels: for trying, testing and fine-tuning.",
        "",
        f"- architecture: `{config['model']['_target_'].rpartition('.')[2]}`, weights in half precision, RGB",
        *time,
        f"- recipe: `conf/experiment/{experiment}.yaml`, {config['trainer']['max_steps']:,} steps, batch "
        f"{data['batch_size']} of {data['size']}x{data['size']}, {optimizer['_target_'].rpartition('.')[2]}, "
        f"learning rate {optimizer['lr']:g} to {schedule['floor']:g}, {schedule['warmup_steps']} steps of warm-up, "
        f"seed {config['seed']}; these are the weights of step {step:,}",
        "- losses: "
        + ", ".join(f"{term} x {block.get('weight', 1)}" for term, block in config["loss"]["terms"].items()),
        "",
        f"Held-out samples ({data['val_samples']}, full precision):",
        "",
        "| | PSNR (dB) | SSIM |",
        "| --- | --- | --- |",
        *(f"| {row} | {scores['PSNR']:.2f} | {scores['SSIM']:.4f} |" for row, scores in report.items()),
        "",
        "The curve:",
        "",
        "| step | PSNR (dB) | SSIM |",
        "| --- | --- | --- |",
        *(f"| {at} | {float(psnr):.2f} | {float(ssim):.4f} |" for at, psnr, ssim in curve),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument("name", help="the name that weights=NAME will take")
    arguments = parser.parse_args()
    print(ship(arguments.run, arguments.name))
