"""Published ATM-VFI checkpoints in every layout that the repository's history has."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.goldens import golden
from tests.helpers.golden_cases import GOLDENS
from vfi_train.architectures import create_model
from vfi_train.weights import load_published, published_state_dict

VARIANTS = ("atm_vfi_base", "atm_vfi_lite")


@functools.cache
def published(variant: str) -> Mapping[str, Tensor]:
    tensors = golden.state_dict(golden.load_manifest(GOLDENS / variant), gain=1.35)
    return {name: torch.from_numpy(values) for name, values in tensors.items()}


def buffers() -> dict[str, Tensor]:
    """What a published network computes and saves beside its weights, once it has run."""
    shifted = ("feat_enhance_transformer.1", "local_motion_atmformer.1", "global_motion_atmformer.1")
    coordinates = {
        f"{branch}_motion_atmformer.{i}.attn.relative_coord": torch.zeros(1, 1, 2, n, n)
        for branch, n in (("local", 64), ("global", 144))
        for i in range(2)
    }
    masks = {f"{block}.attn_mask": torch.full((1, 4, 4), -torch.inf) for block in shifted}
    return coordinates | masks | {f"{block}.HW": torch.tensor([4096.0]) for block in shifted}


@pytest.mark.parametrize("variant", VARIANTS)
def test_round_trip_is_exact(variant: str) -> None:
    model = create_model(variant)
    load_published(model, published(variant))
    again = published_state_dict(model)
    expected = published(variant)
    assert again.keys() == expected.keys()
    assert len(again) == 232
    assert all(torch.equal(again[name], tensor) for name, tensor in expected.items())


def test_manifest_names_are_ours_and_the_coordinate_tables() -> None:
    manifest = {entry["name"] for entry in golden.load_manifest(GOLDENS / "atm_vfi_lite")}
    ours = published_state_dict(create_model("atm_vfi_lite")).keys()
    assert manifest - ours == {name for name in buffers() if "relative_coord" in name}
    assert ours <= manifest


@pytest.mark.parametrize("layout", ["checkpoint", "bare", "parallel", "early names"])
def test_published_layouts(layout: str, tmp_path: Path) -> None:
    tensors = {**published("atm_vfi_lite"), **buffers()}
    early = {
        "local_motion_atmformer.": "local_motion_transformer.",
        "global_motion_atmformer.": "global_motion_transformer.",
        "upsample_pyramid.": "upsamples.",
    }
    if layout == "early names":
        for today, then in early.items():
            tensors = {name.replace(today, then): tensor for name, tensor in tensors.items()}
    if layout == "parallel":
        tensors = {f"module.{name}": tensor for name, tensor in tensors.items()}
    content: dict[str, object] = dict(tensors)
    if layout == "checkpoint":
        moments = {"step": torch.tensor(3.0), "exp_avg": torch.zeros(2), "exp_avg_sq": torch.zeros(2)}
        content = {
            "model_state_dict": tensors,
            "optimizer_state_dict": {"state": {0: moments}, "param_groups": [{"lr": 1e-5, "params": [0]}]},
            "meta_data": {"epoch": 254, "args": ["--global_motion"]},
            "train_metric": {"loss": [0.1]},
            "val_metric": {"psnr": [36.3847]},
        }
    path = tmp_path / "atm-vfi-lite.pt"
    torch.save(content, path)
    model = create_model("atm_vfi_lite")
    load_published(model, path)
    loaded = published_state_dict(model)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in published("atm_vfi_lite").items())


def test_another_variant_is_refused() -> None:
    with pytest.raises(ValueError, match="have another shape"):
        load_published(create_model("atm_vfi_base"), published("atm_vfi_lite"))


def test_a_missing_tensor_is_named() -> None:
    tensors = dict(published("atm_vfi_lite"))
    del tensors["global_motion_mlp.2.bias"]
    with pytest.raises(ValueError, match=r"1 tensors are missing \(global_estimator\.head\.2\.bias\)"):
        load_published(create_model("atm_vfi_lite"), tensors)
