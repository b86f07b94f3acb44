"""What tests of several folders need."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision

from losses.backbones import FILES


@pytest.fixture(scope="session")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the weights files of all backbones, in their published layout, drawn at random."""
    folder = tmp_path_factory.mktemp("backbones")
    torch.manual_seed(0)
    for name, file in FILES.items():
        features = getattr(torchvision.models, name)(weights=None).features
        torch.save({f"features.{key}": value for key, value in features.state_dict().items()}, folder / file)
    return folder
