"""RAFT with published weights against the published network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.goldens import golden
from tests.helpers.golden_cases import GOLDENS, assert_near, load
from vfi_train.errors import UserError
from vfi_train.prepare.raft import load_raft, raft_flow

CASE = load("functions_RIFE", "raft_flow")
FRAMES = [torch.from_numpy(x) for x in golden.frames(128, 136, 3)]


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    manifest = json.loads((GOLDENS / "functions_RIFE" / "raft_manifest.json").read_text())
    tensors = golden.state_dict(manifest, CASE.info["gain"], CASE.info["salt"])
    return {name: torch.from_numpy(value) for name, value in tensors.items()}


@pytest.fixture(scope="module")
def raft(weights: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Read from a file as it is published: with a prefix, and with the norms of the shortcuts twice."""
    twice = {n.replace("downsample.1", "norm3"): t for n, t in weights.items() if "downsample.1" in n}
    path = tmp_path_factory.mktemp("raft") / "raft-things.pth"
    torch.save({f"module.{name}": tensor for name, tensor in (weights | twice).items()}, path)
    return load_raft(path)


@pytest.mark.parametrize(("updates", "array", "tolerance"), [(20, "flow20", 2e-5), (3, "flow3", 1e-5)])
def test_flow_equals_the_published_one(raft: Any, updates: int, array: str, tolerance: float) -> None:
    assert_near(raft_flow(raft, *FRAMES, updates), CASE.tensor(array), tolerance, array)


def test_odd_sides_are_padded_evenly_and_cropped_back(raft: Any) -> None:
    frame0, frame1 = (torch.from_numpy(x) for x in golden.frames(130, 141, 4))
    full = raft_flow(raft, *(F.pad(x, (1, 2, 3, 3), mode="replicate") for x in (frame0, frame1)), 1)
    got = raft_flow(raft, frame0, frame1, 1)
    assert got.shape == (1, 2, 130, 141)
    assert torch.equal(got, full[..., 3:133, 1:142])


def test_labels_under_autocast_are_those_of_float32(raft: Any) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        got = raft_flow(raft, *FRAMES, 3)
    assert got.dtype == torch.float32
    assert_near(got, CASE.tensor("flow3"), 1e-5)


def test_weights_in_the_names_of_torchvision_load_as_well(raft: Any, tmp_path: Path) -> None:
    torch.save(raft.state_dict(), tmp_path / "raft_large.pth")
    again = load_raft(tmp_path / "raft_large.pth")
    assert not again.training
    for name, tensor in raft.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def test_mistakes_are_one_sentence(raft: Any, weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no file .*none\.pth: give the path of raft-things\.pth"):
        load_raft(tmp_path / "none.pth")
    part = {name: tensor for name, tensor in weights.items() if not name.startswith("fnet.conv1")}
    torch.save(part, tmp_path / "part.pth")
    with pytest.raises(ValueError, match=r"part\.pth does not fit RAFT: 2 tensors are missing \(feature_encoder"):
        load_raft(tmp_path / "part.pth")
    with pytest.raises(ValueError, match=r"at least 128x128; got \(1, 3, 127, 200\) and \(1, 3, 127, 200\)"):
        raft_flow(raft, *torch.zeros(2, 1, 3, 127, 200), 1)
    with pytest.raises(ValueError, match="at least one update; got 0"):
        raft_flow(raft, *FRAMES, 0)
