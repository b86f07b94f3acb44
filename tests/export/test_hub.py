"""Weights in the layout of the Hugging Face Hub: written, read from a folder and from its cache, and checked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
import yaml
from hydra import compose, initialize_config_module
from safetensors.torch import load_file

from tests.helpers.in_process import read_checkpoint, train_tiny
from vfi_train.architectures import create_model
from vfi_train.errors import UserError
from vfi_train.export.command import export
from vfi_train.weights import load_weights

REVISION = "0123456789abcdef0123456789abcdef01234567"


def export_hub(*overrides: str) -> None:
    with initialize_config_module("conf", version_base="1.3"):
        export(compose("export", overrides=["model=ifrnet_tiny", "format=hub", *overrides]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    export_hub("weights=ifrnet_tiny_synthetic", "license=apache-2.0", f"output={tmp_path / 'tiny'}")
    return tmp_path / "tiny"


@pytest.fixture
def cache(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Hub's cache as its client leaves it after a download, and no way to the network."""
    repository = tmp_path / "cache" / "models--someone--tiny"
    shutil.copytree(folder, repository / "snapshots" / REVISION)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(REVISION)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return repository / "snapshots" / REVISION


def test_a_folder_holds_weights_configuration_and_card(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert len(load_file(folder / "model.safetensors")) == len(create_model("ifrnet_tiny").state_dict())
    metadata = yaml.safe_load((folder / "README.md").read_text().split("---")[1])
    assert metadata["license"] == "apache-2.0"
    assert metadata["library_name"] == "vfi_train"


@pytest.mark.parametrize("name", ["hf://someone/tiny", f"hf://someone/tiny@{REVISION}", "folder"])
def test_it_loads_to_the_bit(name: str, folder: Path, cache: Path) -> None:
    one, other = create_model("ifrnet_tiny"), create_model("ifrnet_tiny")
    load_weights(one, "ifrnet_tiny_synthetic")
    load_weights(other, str(folder) if name == "folder" else name)
    for key, tensor in one.state_dict().items():
        assert torch.equal(other.state_dict()[key], tensor)


def test_a_run_gives_its_recipe_and_versions(tmp_path: Path) -> None:
    run = train_tiny(tmp_path, "trainer.max_steps=1", "validate_every=1", "callbacks.images=null")
    export_hub(f"weights={run}", "license=mit", f"output={tmp_path / 'tiny'}")
    assert (run / "config.yaml").read_text().strip() in (tmp_path / "tiny" / "README.md").read_text()
    found = load_file(tmp_path / "tiny" / "model.safetensors")
    best = read_checkpoint(run / "checkpoints" / "best.ckpt")["state_dict"]
    assert sum(t.double().sum() for t in found.values()) == sum(t.double().sum() for t in best.values())


def test_a_changed_file_is_refused(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="is not the file that was exported"):
        load_weights(create_model("ifrnet_tiny"), folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(UserError, match="was not written by vfi_train"):
        load_weights(create_model("ifrnet_tiny"), folder)


def test_what_is_not_there_is_one_sentence(cache: Path) -> None:
    with pytest.raises(UserError, match=r"weights=hf://someone/other is not in the local cache and can't be fetched"):
        load_weights(create_model("ifrnet_tiny"), "hf://someone/other")
    with pytest.raises(UserError, match="give hf://OWNER/NAME"):
        load_weights(create_model("ifrnet_tiny"), "hf://tiny")
    with pytest.raises(UserError, match=r"choose the variant"):
        load_weights(create_model("ifrnet_s"), "hf://someone/tiny")


def test_a_licence_is_needed_and_nothing_is_overwritten(folder: Path) -> None:
    with pytest.raises(UserError, match="needs the licence"):
        export_hub("weights=ifrnet_tiny_synthetic", f"output={folder.parent / 'new'}")
    assert not (folder.parent / "new").exists()
    with pytest.raises(UserError, match="is not empty"):
        export_hub("weights=ifrnet_tiny_synthetic", "license=mit", f"output={folder}")
