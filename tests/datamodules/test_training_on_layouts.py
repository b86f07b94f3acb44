"""A small network trained and validated for a few steps on every layout that trains, by a plain Lightning Trainer."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule

from losses.base import LossSet
from losses.charbonnier import Charbonnier
from losses.distillation import FlowDistillation
from tests.helpers.layouts import LAYOUTS, data, fabricate, joint_data, tiny_block
from tests.helpers.sources import trainer
from vfi_train.architectures import create_model
from vfi_train.modules.interpolation_module import InterpolationModule
from vfi_train.optim.schedules import WarmupCosine

CASES: dict[str, tuple[str, dict[str, Any]]] = {  # what is trained on, options
    "vimeo90k": ("vimeo90k", {"flow": True}),
    "vimeo_septuplet": ("vimeo_septuplet", {"variant": "T"}),
    "vimeo_septuplet with maps": ("vimeo_septuplet", {"variant": "D", "maps": "ifrnet"}),
    "vimeo90k with maps": ("vimeo90k_maps", {"variant": "D", "maps": "ifrnet"}),
    "x4k1000fps": ("x4k1000fps", {}),
    "gopro": ("gopro", {}),
    "adobe240": ("adobe240", {}),
    "gopro groups": ("gopro", {"item": "group"}),
    "co3d": ("co3d", {"val_transforms": [{"_target_": "datamodules.transforms.Resize", "size": 32}]}),
}


class Noting(InterpolationModule):
    """Records the losses of all steps and the shapes of predictions and targets in validation."""

    totals: list[float]
    predictions: list[tuple[torch.Size, torch.Size]]

    def on_fit_start(self) -> None:
        self.totals, self.predictions = [], []

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = super().training_step(batch, batch_idx)
        self.totals.append(float(loss.detach()))
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        result = super().validation_step(batch, batch_idx)
        self.predictions.append((result["prediction"].frame.shape, batch["target"].shape))
        return result


def fit(module: Any, folder: Path, steps: int = 3) -> Noting:
    torch.manual_seed(0)
    terms: dict[str, Any] = {"charbonnier": Charbonnier()}
    if module.gives_flow:
        terms["distillation"] = FlowDistillation()
    network = Noting(
        create_model("ifrnet_tiny"),
        LossSet(terms),
        partial(torch.optim.AdamW, lr=1e-3),
        WarmupCosine(floor=1e-4),
        steps,
    )
    before = {name: value.clone() for name, value in network.named_parameters()}
    options: dict[str, Any] = {"max_steps": steps, "val_check_interval": steps, "check_val_every_n_epoch": None}
    trainer(folder, limit_val_batches=2, **options).fit(network, datamodule=module)
    assert isinstance(network, LightningModule)
    assert any(not torch.equal(before[name], value) for name, value in network.named_parameters())
    return network


def test_every_layout_that_trains_is_a_case() -> None:
    assert {name for name, _ in CASES.values()} == {name for name, layout in LAYOUTS.items() if layout.trains}


@pytest.mark.parametrize("case", CASES)
def test_a_network_trains_on_it(case: str, tmp_path: Path) -> None:
    name, options = CASES[case]
    module = data(name, fabricate(name, tmp_path), **options)
    network = fit(module, tmp_path)
    assert len(network.totals) == 3
    assert all(math.isfinite(loss) and loss > 0 for loss in network.totals)
    assert network.predictions
    assert all(shape == wanted for shape, wanted in network.predictions)


def test_a_network_trains_on_two_datasets_in_turn(tmp_path: Path) -> None:
    roots = {name: fabricate(name, tmp_path) for name in ("vimeo90k", "x4k1000fps")}
    blocks = [o for name, root in roots.items() for o in tiny_block(name, f"datasets.{name}", root)]
    sizes = ["data.batch_size=2", "data.datasets.x4k1000fps.batch_size=1", "data.every=step", "data.num_workers=0"]
    network = fit(joint_data(*blocks, *sizes), tmp_path, steps=4)
    assert len(network.totals) == 4
    assert network.predictions[0][1] == (2, 3, 64, 96)
