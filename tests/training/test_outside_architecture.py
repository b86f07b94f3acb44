"""A new architecture takes new files only: a toy from outside of the package trains through the ordinary path."""

from __future__ import annotations

import csv
from pathlib import Path

from tests.helpers.programs import train

TOY = '''
"""A network that learns to blend two frames."""
import torch
from torch import nn
from vfi_train.architectures import Architecture, Encoding, register_model
from vfi_train.contract import Prediction


@register_model
def toy(width=4):
    return Toy(width)


class Toy(Architecture):
    family = "toy"
    size_multiple = 2
    min_size = 2
    arbitrary_time = True

    def __init__(self, width):
        super().__init__()
        self.rates = [rate.item() for rate in torch.linspace(0, 1, 3)]  # numbers are read while it is built
        self.layers = nn.Sequential(nn.Conv2d(6, width, 3, padding=1), nn.PReLU(), nn.Conv2d(width, 1, 3, padding=1))

    def encode(self, frame0, frame1, *, scale=1.0):
        return Encoding(frame0, frame1, scale)

    def decode(self, encoding, time, *, target=None, reference=None, reference_time=None):
        mask = torch.sigmoid(self.layers(torch.cat((encoding.frame0, encoding.frame1), 1)) + 1 - 2 * time)
        merged = mask * encoding.frame0 + (1 - mask) * encoding.frame1
        return Prediction(frame=merged, merged=[merged], mask=[mask])
'''
MODEL = """_target_: toy_network.toy
width: 4
"""
LOSS = """_target_: losses.LossSet
terms:
  charbonnier: {_target_: losses.charbonnier.Charbonnier}
  census: {_target_: losses.census.Census}
"""


def test_a_toy_network_trains_from_its_own_files(tmp_path: Path) -> None:
    (tmp_path / "toy_network.py").write_text(TOY)
    for name, text in (("model/toy.yaml", MODEL), ("loss/toy.yaml", LOSS)):
        path = tmp_path / "my_conf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    result = train(
        f"hydra.searchpath=[file://{tmp_path / 'my_conf'}]", "model=toy", "loss=toy", "data.size=32",
        "data.train_samples=32", "data.val_samples=4", "trainer.max_steps=6", "validate_every=3", "log_every=1",
        "logger=csv", cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    with (tmp_path / "runs" / "toy_synthetic" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert rows[0]["train/loss_census"] != rows[-1]["train/loss_census"]
    # A blend that is nearly the mean scores nearly as the mean: 31.6 dB on the default scenes.
    assert 20 < float(rows[-1]["val/psnr"]) < 40
