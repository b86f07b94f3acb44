"""What a configuration beside weights may run: this package's classes, and nothing else unless it is trusted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.helpers.in_process import composed
from vfi_train.config.trust import check_trusted
from vfi_train.contract import Batch
from vfi_train.errors import UserError
from vfi_train.evaluate.networks import model_of_run
from vfi_train.replay import replay

FOREIGN = [
    {"_target_": "os.system", "command": "touch {marker}"},
    {"_target_": "planted.Network"},
    {"_target_": "losses.base.torch.load", "f": "x"},
    {"_target_": "losses.backbones.torch.nn.Linear"},
    {"_target_": "datamodules.storage.atomic_write.write_text", "path": "{marker}", "text": "x"},
    {"_target_": "vfi_train.architectures.registry.create_model", "name": "ifrnet_s"},
    {"_target_": "vfi_train.architectures.ifrnet.ifrnet_s", "x": {"_target_": "builtins.eval"}},
    {"_target_": "vfi_train.architectures.ifrnet.ifrnet_s", "x": [["${oc.create:{_target_:os.getcwd}}"]]},
    {"_target_": "vfi_train.architectures.ifrnet.ifrnet_s", "x": "${oc.env:HOME}"},
]


@pytest.fixture(autouse=True)
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that leaves a file when it is imported; returns the file."""
    marker = tmp_path / "marker"
    (tmp_path / "planted.py").write_text(f"open({str(marker)!r}, 'w').close()\nclass Network: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "planted", raising=False)
    return marker


@pytest.mark.parametrize("block", FOREIGN, ids=lambda block: block["_target_"])
def test_code_from_elsewhere_is_refused_and_not_imported(block: dict[str, Any], tmp_path: Path, planted: Path) -> None:
    run = tmp_path / "runs" / "found"
    run.mkdir(parents=True)
    text = yaml.safe_dump({"model": block}).replace("{marker}", str(planted))
    (run / "config.yaml").write_text(text)
    with pytest.raises(UserError, match=r"config.yaml says model\.\S+=.*give trust=true"):
        model_of_run("found", str(run.parent))
    assert not planted.exists()
    assert model_of_run("found", str(run.parent), trust=True).config == yaml.safe_load(text)["model"]


@pytest.mark.parametrize("name", ["experiment=quickstart", "experiment=amt_s_vimeo", "experiment=rife_v4_25_finetune"])
def test_what_our_recipes_write_is_accepted(name: str) -> None:
    from omegaconf import OmegaConf

    config: Any = OmegaConf.to_container(composed(name), resolve=True)
    for block in ("model", "loss"):
        check_trusted(config[block], block, Path("config.yaml"), trust=False)


@pytest.mark.parametrize("block", ["model", "loss"])
def test_a_fault_file_runs_no_code(block: str, tmp_path: Path, planted: Path) -> None:
    config: Any = {
        "model": {"_target_": "vfi_train.architectures.ifrnet.ifrnet_tiny"},
        "loss": {"_target_": "losses.LossSet", "terms": {}},
    }
    config[block] = {"_target_": "planted.Network", "terms": {}}
    path = tmp_path / "fault.pt"
    batches: list[Batch] = []
    torch.save(
        {"step": 1, "position": 0, "processes": 1, "batches": batches, "state_dict": {}, "config": yaml.dump(config)},
        path,
    )
    from omegaconf import OmegaConf

    given = OmegaConf.create(
        {"file": str(path), "trust": False, "backbones": None, "device": "cpu", "weights": None, "runs": "runs"}
    )
    with pytest.raises(UserError, match=rf"fault.pt says {block}\._target_=planted.Network, and that may run any code"):
        replay(given)
    assert not planted.exists()
