"""LPIPS against torchmetrics' own implementation, with the same weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision

from losses import LossSet
from losses.backbones import FILES
from losses.learned import LPIPS
from tests.goldens import golden
from tests.helpers.golden_cases import frame
from vfi_train.contract import Batch, Prediction
from vfi_train.errors import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A torch cache whose AlexNet is filled with made-up numbers."""
    path = tmp_path_factory.mktemp("torch") / "hub" / "checkpoints"
    path.mkdir(parents=True)
    with torch.device("meta"):
        tensors = torchvision.models.alexnet(weights=None).state_dict()
    filled = {}
    for name, tensor in tensors.items():
        kind = "bias" if "bias" in name else "weight"
        if name.startswith("features"):
            filled[name] = torch.from_numpy(golden.fill(name, tuple(tensor.shape), kind, gain=2**0.5))
        else:
            filled[name] = torch.zeros(1).expand(tensor.shape)
    torch.save(filled, path / FILES["alexnet"])
    return path


def test_it_is_what_torchmetrics_computes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(folder.parent))
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    x, y = frame(64, 96, 0.0, 3, 2), frame(64, 96, 1.0, 3, 2)
    expected = LearnedPerceptualImagePatchSimilarity("alex", normalize=True)(x, y).item()
    term = LPIPS(net="alex")
    assert expected > 0.01
    assert term(Prediction(frame=x), Batch(target=y)).item() == pytest.approx(expected, rel=1e-5)
    turned = LPIPS(net="alex", reverse_channels=True)
    assert turned(Prediction(frame=x.flip(1)), Batch(target=y.flip(1))).item() == pytest.approx(expected, rel=1e-5)
    assert term(Prediction(frame=y), Batch(target=y)).item() == 0


def test_its_network_is_frozen_and_in_no_checkpoint(folder: Path) -> None:
    losses = LossSet({"lpips": LPIPS(net="alex", folder=folder)})
    assert losses.state_dict() == {}
    assert list(losses.parameters()) == []
    image = frame(64, 64, 0.0, 4).requires_grad_()
    losses(Prediction(frame=image), Batch(target=frame(64, 64, 1.0, 4)))["total"].backward()
    assert image.grad.abs().sum() > 0


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^the LPIPS loss needs vgg16-397923af\.pth, which is .* folder by backbones="):
        LPIPS(net="vgg", folder=tmp_path)
    with pytest.raises(ValueError, match="net=resnet is none of alex, vgg, squeeze"):
        LPIPS(net="resnet")
