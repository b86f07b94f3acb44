"""What a loss cannot be computed of is refused before there is data: for all networks, losses, and sizes of crops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import conf
from datamodules.synthetic import Synthetic
from losses import LossSet
from tests.helpers.commands import exit_status, files_below
from tests.helpers.loss_sets import loss_set
from vfi_train.config.build_network import build_network
from vfi_train.config.compose import compose_config
from vfi_train.errors import UserError
from vfi_train.inference.padding import padded_size
from vfi_train.modules.forward import predict
from vfi_train.training.build import check_loss_inputs
from vfi_train.training.recipe import DataRecipe, batch_shapes

CONF = Path(conf.__file__).parent
MODELS, LOSSES = (sorted(path.stem for path in (CONF / group).glob("*.yaml")) for group in ("model", "loss"))
WITH_BACKBONE = {"atm_vfi_perceptual", "ema_vfi_perceptual", "rife4_perceptual", "rife_lpips"}
SIZES = ((64, 64), (128, 256))
OF_FAMILIES = {"amt_s", "atm_vfi_lite", "ema_vfi_small", "ebme", "ifrnet_context", "rife", "rife_v4_25"}


def marks_of(model: str) -> list[pytest.MarkDecorator]:
    """One network is fast, one of each family slow, and the others are for `make test-long`."""
    if model == "ifrnet_tiny":
        return []
    return [pytest.mark.slow] if model in OF_FAMILIES else [pytest.mark.slow, pytest.mark.long]


@pytest.fixture(scope="module")
def loss_sets() -> dict[str, LossSet]:
    return {name: loss_set(name) for name in LOSSES if name not in WITH_BACKBONE}


def refused_at_first_step(loss_sets: dict[str, LossSet], network: Any, data: DataRecipe) -> set[str]:
    """The losses that a batch of this dataset cannot be trained with, by computing them, with shapes only."""
    found = set()
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        shapes = batch_shapes(data, network, 1, data.size or (0, 0))
        batch: Any = {name: torch.empty(shape) for name, shape in shapes.items()}
        prediction = predict(network, batch)
        for name, losses in loss_sets.items():
            try:
                losses(prediction, batch)
            except UserError:
                found.add(name)
    return found


@pytest.mark.parametrize("model", [pytest.param(name, marks=marks_of(name)) for name in MODELS])
def test_the_check_refuses_what_the_first_step_would(model: str, loss_sets: dict[str, LossSet]) -> None:
    network = build_network(compose_config("train", [f"model={model}"])).eval()
    for size in SIZES:
        data = DataRecipe(Synthetic, None, 1, padded_size(size, network), flow=size == SIZES[0])
        refused = set()
        for name, losses in loss_sets.items():
            try:
                check_loss_inputs(losses, network, data)
            except UserError:
                refused.add(name)
        assert refused == refused_at_first_step(loss_sets, network, data)


VIMEO = ("model=ifrnet_tiny", "data=vimeo90k", "data.root=nowhere", "data.flow=true", "logger=csv")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("loss=rife", "the loss term 'distillation' reads prediction.teacher"),
        (
            "data.transforms=[{_target_: datamodules.transforms.RandomCrop, size: 40}]",
            "IFRNet takes heights and widths that are multiples of 16",
        ),
        ("loss.terms.census.patch=999", "the census loss takes two images of one shape, at least 999 pixels a side"),
        ("+loss.terms.census.border=9", "the border of a census loss of 7x7 pixels is 0 to 3; got 9"),
        ("loss=ema_vfi_perceptual backbones=nowhere", "loss.terms.perceptual: the perceptual loss needs vgg16-"),
        ("loss=ifrnet", "there is no folder data.root=nowhere"),  # a good one: the data is next
    ],
)
def test_a_training_refuses_them_before_its_data(
    words: str, said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = [words] if "{" in words else words.split()
    assert exit_status("vfi_train", *VIMEO, *given, cwd=tmp_path) == 2
    assert capfd.readouterr().err.startswith(f"error: {said}")
    assert files_below(tmp_path) == set()
