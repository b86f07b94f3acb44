"""The perceptual term against EMA-VFI's CO3D fork and ATM-VFI's trainer, and what it does to checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from losses import LossSet
from losses.backbones import FILES
from losses.perceptual import RECIPES, Perceptual
from losses.vgg import normalised, vgg_layers
from tests.goldens import golden
from tests.helpers.golden_cases import frame, load
from tests.helpers.loss_sets import loss_set
from vfi_train.contract import Batch, Prediction
from vfi_train.errors import UserError

CASE = load("functions_EMA-VFI", "co3d_perceptual")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the golden's weights in torchvision's file."""
    path = tmp_path_factory.mktemp("vgg")
    tensors = golden.state_dict(CASE.info["manifest"], gain=2**0.5)
    torch.save({name: torch.from_numpy(values) for name, values in tensors.items()}, path / FILES["vgg16"])
    return path


def pair() -> tuple[Prediction, Batch]:
    return Prediction(frame=frame(96, 96, 0.0, 21)), Batch(target=frame(96, 96, 1.0, 21))


def test_terms_are_the_published_ones(folder: Path) -> None:
    prediction, batch = pair()
    values = CASE.info["values"]
    term = Perceptual(folder=folder)
    features, target = term.features(prediction.frame), term.features(batch["target"])
    blocks = [(x - y).abs().mean().item() for x, y in zip(features, target, strict=True)]
    assert blocks == pytest.approx(values["content_layers"], rel=1e-5)
    assert term(prediction, batch).item() == pytest.approx(values["content"], rel=1e-5)
    term.style = 1.0
    assert term(prediction, batch).item() == pytest.approx(values["with_style"], rel=1e-5)
    assert set(LossSet({"vgg": term})(prediction, batch)) == {"vgg_content", "vgg_style", "total"}


def test_the_published_mixture(folder: Path) -> None:
    prediction, batch = pair()
    losses = loss_set("ema_vfi_perceptual", f"backbones={folder}")
    prediction.merged = [batch["target"]]  # adds nothing
    assert losses(prediction, batch)["total"].item() == pytest.approx(CASE.info["values"]["mixed"], rel=1e-5)


def test_terms_are_atm_vfis(vgg19: Path) -> None:
    values = load("functions_ATM-VFI", "losses").info["values"]
    prediction, batch = Prediction(frame=frame(64, 96, 0.0, 8, 2)), Batch(target=frame(64, 96, 0.5, 8, 2))
    prediction.merged, prediction.residual = [batch["target"]], torch.zeros_like(prediction.frame)
    losses = loss_set("atm_vfi_perceptual", f"backbones={vgg19}", "~loss.terms.warping", "~loss.terms.laplacian")
    got = losses(prediction, batch)
    assert got["perceptual_content"].item() == pytest.approx(0.05 * values["vgg_perceptual_unweighted"], rel=1e-5)
    assert got["perceptual_style"].item() == pytest.approx(5e-9 * values["vgg_style_unweighted"], rel=1e-4)


def test_rifes_recipe_compares_the_layers_that_it_names(vgg19: Path) -> None:
    layers = vgg_layers("vgg19", 30, vgg19)
    x, y = frame(32, 48, 0.0, 3), frame(32, 48, 1.0, 3)
    expected = 0.0
    weights = {1: 0.1 / 2.6, 6: 0.1 / 4.8, 11: 0.1 / 3.7, 20: 0.1 / 5.6, 29: 1 / 1.5}
    a, b = normalised(x), normalised(y)
    for number, layer in enumerate(layers):
        a, b = layer(a), layer(b)
        if number in weights:
            expected += weights[number] * (a - b).abs().mean().item()
    term = Perceptual(recipe="rife", folder=vgg19)
    assert term(Prediction(frame=x), Batch(target=y)).item() == pytest.approx(expected, rel=1e-5)


def test_fields_are_weighted_and_lists_summed(folder: Path) -> None:
    prediction, batch = pair()
    prediction.merged = [prediction.frame, batch["target"]]
    term = Perceptual(folder=folder, fields={"frame": 1, "merged": 0.5})
    assert term(prediction, batch).item() == pytest.approx(1.5 * CASE.info["values"]["content"], rel=1e-5)
    prediction.merged = [prediction.frame[..., ::2, ::2]]
    with pytest.raises(ValueError, match=r"prediction\.merged has \(1, 3, 48, 48\): take the field out"):
        term(prediction, batch)


def test_turned_channels(folder: Path) -> None:
    prediction, batch = pair()
    term = Perceptual(folder=folder, reverse_channels=True)
    turned = term(Prediction(frame=prediction.frame.flip(1)), Batch(target=batch["target"].flip(1)))
    assert turned.item() == pytest.approx(CASE.info["values"]["content"], rel=1e-5)


def test_the_backbone_is_frozen_and_in_no_checkpoint(folder: Path) -> None:
    owner = nn.ModuleDict({"loss": LossSet({"perceptual": Perceptual(folder=folder)})})
    assert owner.state_dict() == {}
    assert list(owner.parameters()) == []
    assert list(owner.buffers()) == []
    assert owner.double()
    term = owner["loss"].terms["perceptual"]
    prediction, batch = pair()
    image = prediction.frame.double().requires_grad_()
    value = term(Prediction(frame=image), Batch(target=batch["target"].double()))
    assert value.dtype == torch.float64  # the backbone went along
    assert value.item() == pytest.approx(CASE.info["values"]["content"], rel=1e-5)
    value.backward()
    assert image.grad.abs().sum() > 0
    assert not any(p.requires_grad or p.grad is not None for p in term.backbone.parameters())


def test_a_missing_or_wrong_file_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        UserError,
        match=r"^the perceptual loss needs vgg16-397923af\.pth, which is not in .*: run `python -m vfi_train\.prepare",
    ):
        Perceptual(folder=tmp_path)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    with pytest.raises(UserError, match=r"needs vgg19-dcbb9e9d\.pth, which is not in .*hub/checkpoints: run"):
        Perceptual(recipe="atm_vfi")
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / FILES["vgg16"])
    with pytest.raises(UserError, match=r"does not hold torchvision's vgg16 weights"):
        Perceptual(folder=tmp_path)


def test_unknown_recipes_and_styles_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no perceptual recipe 'ema_vfi'; did you mean 'ema_vfi_co3d'"):
        Perceptual(recipe="ema_vfi")
    with pytest.raises(ValueError, match=r"recipe 'rife' has no style part"):
        Perceptual(recipe="rife", style=1)


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_the_structure_is_torchvisions(name: str, tmp_path: Path) -> None:
    with torch.device("meta"):
        theirs = getattr(torchvision.models, name)(weights=None).features
    saved = {f"features.{k}": torch.zeros(1).expand(v.shape) for k, v in theirs.state_dict().items()}
    torch.save(saved, tmp_path / FILES[name])
    ours = vgg_layers(name, len(theirs), tmp_path)
    assert [type(layer) for layer in ours] == [type(layer) for layer in theirs]
    assert max(stop for r in RECIPES.values() for _, stop in r.slices if r.backbone == name) <= len(ours)
