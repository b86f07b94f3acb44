"""What tests of several folders need."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torchvision

from losses.backbones import FILES

# Whoever differentiates for the first time after torch.compile ran cannot differentiate in a forked process
# (strategy="ddp_fork"), whatever the devices; so once before any test.
torch.zeros(1, requires_grad=True).sum().backward()


@pytest.fixture(scope="session")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the weights files of all backbones, in their published layout, drawn at random."""
    folder = tmp_path_factory.mktemp("backbones")
    torch.manual_seed(0)
    for name, file in FILES.items():
        features = getattr(torchvision.models, name)(weights=None).features
        torch.save({f"features.{key}": value for key, value in features.state_dict().items()}, folder / file)
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 9 MiB, where a disk can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=9M", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("a disk cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
