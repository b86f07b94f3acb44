"""What tests of several loss terms need."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision

from losses.backbones import FILES
from tests.goldens import golden


@pytest.fixture(scope="session")
def vgg19(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with VGG19's features filled as ATM-VFI's goldens have them."""
    path = tmp_path_factory.mktemp("vgg19")
    with torch.device("meta"):
        features = torchvision.models.vgg19(weights=None).features
    tensors = {}
    for name, tensor in features.state_dict().items():
        key = f"features.{name}"
        values = golden.fill(key, tuple(tensor.shape), "bias" if "bias" in name else "weight", gain=2**0.5)
        tensors[key] = torch.from_numpy(values)
    torch.save(tensors, path / FILES["vgg19"])
    return path
