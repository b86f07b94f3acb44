"""What networks cost: the table, its numbers, the plot, and what cannot be measured."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from PIL import Image

from vfi_train.architectures import create_model
from vfi_train.architectures.base import count_parameters
from vfi_train.config.read_settings import parse_size
from vfi_train.errors import UserError
from vfi_train.profile.command import measure, measure_all, parse_mode, profile, time_calls
from vfi_train.profile.inference_cost import multiply_accumulates

CPU = torch.device("cpu")
TINY = {"ifrnet_tiny": lambda: create_model("ifrnet_tiny")}


def configured(**values: Any) -> DictConfig:
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("profile")
    config.update({"device": "cpu", "warmup": 1, "repeats": 3, **values})
    return config


@pytest.mark.slow
def test_the_table_and_the_plot(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    modes = ["eager", "channels_last+bf16"]
    sizes = [(64, 64), (64, 90)]
    named = [f"{height}x{width}" for height, width in sizes]
    rows = measure_all(TINY, configured(sizes=named, modes=modes, repeats=2, output=str(tmp_path / "p")))
    assert [(row.size, row.mode) for row in rows] == [(size, mode) for size in sizes for mode in modes]
    model = create_model("ifrnet_tiny")
    for row in rows:
        assert row.parameters == count_parameters(model)
        assert row.macs == multiply_accumulates(model, row.size)
        assert 0 < row.low <= row.milliseconds <= row.high
    padded = rows[2]  # 90 columns are padded to 96
    assert padded.macs == pytest.approx(rows[0].macs * 96 / 64, rel=1e-6)
    assert padded.memory > rows[0].memory > 4 * row.parameters / 2**20
    table = (tmp_path / "p.md").read_text()
    assert table.count("| ifrnet_tiny |") == 4
    assert "| ifrnet_tiny | 0.32 | 64x90 |" in table
    assert table.splitlines()[2] in capsys.readouterr().out
    with (tmp_path / "p.csv").open() as file:
        read = list(csv.DictReader(file))
    assert [float(row["milliseconds"]) for row in read] == [row.milliseconds for row in rows]
    with Image.open(tmp_path / "p.png") as image:
        assert len(image.convert("RGB").getcolors(1 << 20)) > 20  # something is drawn


def test_time_is_the_median_after_warming_up() -> None:
    pauses = iter([0.05, 0.03, 0.001, 0.002, 0.003])
    first, *seconds = time_calls(lambda: time.sleep(next(pauses)), warmup=2, repeats=3, device=CPU)
    assert first >= 0.05
    for measured, slept in zip(seconds, (0.001, 0.002, 0.003), strict=True):
        assert slept <= measured <= slept + 0.02


def test_what_cannot_run_is_a_row_too() -> None:
    row = measure("amt_s", create_model("amt_s"), (64, 10**8), (), CPU, 1, 0, 1)  # the frames take 77 GB
    assert (row.milliseconds, row.failure) == (None, "out of memory")
    assert row.cells()[5] == "out of memory"
    assert row.macs > 1e15


@pytest.mark.slow
@pytest.mark.long
def test_a_compiled_network_is_measured_after_compiling() -> None:
    row = measure("ifrnet_tiny", create_model("ifrnet_tiny"), (64, 64), ("compiled",), CPU, 1, 1, 3)
    assert row.failure == ""
    assert row.first > 20 * row.milliseconds / 1000


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: parse_size("720p", "sizes: 720p"), "sizes: 720p is not HEIGHTxWIDTH"),
        (lambda: parse_mode("bf61"), "bf61 is not known: did you mean 'bf16'"),
        (lambda: measure_all(TINY, configured(device="tpu")), "device=tpu is not here"),
        (lambda: measure_all(TINY, configured(repeats=0)), "repeats=0 is not an integer of 1 or more"),
    ],
)
def test_mistakes_end_in_one_sentence(call: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        call()


def test_the_command_measures_what_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with initialize_config_module("conf", version_base="1.3"):
        overrides = [
            "model=[ifrnet_tiny,ifrnet_s]",
            "+model.reference=true",
            "sizes=[32x32]",
            "device=cpu",
            "repeats=1",
        ]
        config = compose("profile", overrides=overrides, return_hydra_config=True)
    monkeypatch.setattr(HydraConfig.instance(), "cfg", config)
    rows = profile(config)
    assert [row.model for row in rows] == ["ifrnet_tiny", "ifrnet_s"]
    assert rows[1].parameters == count_parameters(create_model("ifrnet_s", reference=True))
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)
    with initialize_config_module("conf", version_base="1.3"):
        HydraConfig.instance().set_config(compose("profile", return_hydra_config=True))
    with pytest.raises(UserError, match="there is nothing to measure: give model=NAME"):
        profile(config)
