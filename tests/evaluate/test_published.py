"""Published numbers: the file, and the verdict on a difference."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

import conf
from tests.helpers.evaluation import composed, evaluated, result
from vfi_train.evaluate.console_table import published_lines
from vfi_train.evaluate.options import protocol_names, read_protocol
from vfi_train.evaluate.protocol import choose_protocol, resolve
from vfi_train.evaluate.published import blocks, distances, find
from vfi_train.evaluate.results import Result

CONF = Path(conf.__file__).parent
MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
STATED = [  # as the repositories state them
    ("ifrnet_l", "vimeo90k", "test", {"psnr": "36.20", "ssim": "0.9808"}),
    ("ifrnet", "middlebury", "other", {"psnr": "37.50", "ssim": "0.9861", "ie": "1.946"}),
    ("ifrnet", "gopro", "test", {"psnr": "29.84", "ssim": "0.920"}),
    ("amt_s", "snu_film", "extreme", {"psnr": "25.30"}),
    ("ema_vfi", "xiph", "4k_crop", {"psnr": "34.67", "ssim": "0.907"}),
    ("ema_vfi_small_t", "x_test", "4k", {"psnr": "30.89"}),
    ("atm_vfi_lite", "snu_film", "medium", {"psnr": "35.91", "ssim": "0.9794"}),
    ("rife", "vimeo90k", "test", {"psnr": "35.615", "ssim": "0.9779"}),
    ("rife_m", "hd_4x", "544p", {"psnr": "22.96"}),
    ("rife", "snu_film", "hard", {}),
    ("ebme", "ucf101", "test", {"psnr": "35.30", "ssim": "0.969"}),
    ("ebme_h", "x_test", "4k", {"psnr": "28.72", "ssim": "0.889"}),
]


@pytest.mark.parametrize(("model", "benchmark", "split", "expected"), STATED)
def test_numbers_are_those_of_the_repositories(
    model: str, benchmark: str, split: str, expected: dict[str, str]
) -> None:
    assert {column: number.text for column, number in find(model, benchmark, split).items()} == expected


def test_every_number_belongs_to_a_network_a_split_and_a_protocol_that_measures_it() -> None:
    composed()
    for block in blocks():
        protocol = read_protocol(block["protocol"])
        assert block["split"] in OmegaConf.load(CONF / "benchmark" / f"{block['benchmark']}.yaml").splits
        for model, texts in block["results"].items():
            assert model in MODELS
            assert protocol.is_own(model) or not protocol.own  # a second measurement
            settings = resolve(protocol, block["benchmark"], block["split"], model)
            assert set(block["columns"]) <= set(settings.metrics)
            assert len(texts) == len(block["columns"])


def test_every_network_has_one_protocol_of_its_own() -> None:
    composed()
    protocols = [read_protocol(name) for name in protocol_names()]
    for model in MODELS:
        own = {protocol.name for protocol in protocols if protocol.is_own(model)} - {"co3d"}
        assert len(own) == 1, (model, own)
    assert choose_protocol(protocols, "ema_vfi_small_t", "co3d").name == "co3d"
    assert choose_protocol(protocols, "rife_m", "xiph").name == "common"  # RIFE's authors did not measure Xiph


def test_a_second_protocol_has_numbers_of_its_own() -> None:
    def psnr(*protocol: str) -> str:
        return find("ebme_h", "vimeo90k", "test", *protocol)["psnr"].text

    assert [psnr(), psnr("ebme"), psnr("ebme_star"), psnr("common")] == ["36.06", "36.06", "36.19", "36.06"]
    star, plain = (resolve(read_protocol(name), "x_test", "4k", "ebme_h").as_dict() for name in ("ebme_star", "ebme"))
    assert (plain["padding"], plain["padding_side"], plain["model"], plain["tta"]) == (
        0.5, "right_bottom", {"levels": 7}, False,
    )  # fmt: skip
    assert star == {**plain, "protocol": "ebme_star", "tta": "flip_hw"}


def vimeo(
    psnr: float, count: int = 3782, protocol: str = "ifrnet", settings: dict | None = None, **about: str
) -> Result:
    r = result("ifrnet", np.full(count, psnr), **(settings or {}))
    r.benchmark, r.split, r.protocol, r.expected = "vimeo90k", "test", protocol, 3782
    vars(r).update(about)
    r.broken = []
    return r


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [
        (35.80, "within rounding"),
        (35.8049, "within rounding"),
        (35.7951, "within rounding"),
        (35.8051, "within tolerance (rounding, other hardware)"),
        (35.8149, "within tolerance (rounding, other hardware)"),  # half a hundredth, and a hundredth for the hardware
        (35.7851, "within tolerance (rounding, other hardware)"),
        (35.816, "out of tolerance (better) by the same protocol"),
        (35.49, "out of tolerance (worse) by the same protocol"),
    ],
)
def test_the_verdict(ours: float, verdict: str) -> None:
    distance = distances(vimeo(ours))["psnr"]
    assert distance.verdict() == verdict
    assert distance.difference == pytest.approx(ours - 35.80)
    assert verdict in published_lines(vimeo(ours))[0]


FROM_IFRNET = "differs from the published ifrnet in: "


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"count": 100}, "100 of 3782 samples"),
        ({"precision": "bf16"}, "precision bf16"),
        ({"backend": "openvino"}, "backend openvino, precision fp32"),
        (
            {"protocol": "ifrnet (tta=flip_hw)", "settings": {"tta": "flip_hw"}},
            f"protocol ifrnet (tta=flip_hw) {FROM_IFRNET}tta flip_hw, not False",
        ),
        (
            {"protocol": "rife", "settings": {
                "metrics": {"psnr": {"rounded": True, "luma": True}}, "scale": 0.5,
                "padding_multiple": [32, 32], "average": "sequence",
            }},
            f"protocol rife {FROM_IFRNET}average sequence, not image; padding_multiple [32, 32], not as the network "
            "takes it; scale 0.5, not 1.0; PSNR rounded, luma, not plain",
        ),
    ],
)  # fmt: skip
def test_another_measurement_is_not_compared(other: dict, reason: str) -> None:
    composed()
    distance = distances(vimeo(35.80, **other))["psnr"]
    assert distance.verdict() == f"not comparable: {reason}"


def test_a_protocol_of_another_name_that_measures_alike_is_compared() -> None:
    composed()
    settings = resolve(read_protocol("common"), "vimeo90k", "test", "ifrnet", metrics=["psnr"]).as_dict()
    assert distances(vimeo(35.80, protocol="common", settings=settings))["psnr"].verdict() == "within rounding"


def test_the_same_frames_under_every_protocol(tmp_path: Path, roots: dict[str, Path]) -> None:
    """Each as by itself, with what it does otherwise than the first; networks are not compared with themselves."""
    given = ["model=ifrnet_tiny", "model._target_=tests.helpers.toy_benchmark.ifrnet", "num_examples=0", "name=x"]
    given += ["benchmark=ucf101", f"root={roots['ucf101']}"]
    found = evaluated(tmp_path / "all", *given, "protocol=all")
    names = ["common", "ifrnet", "amt", "ema_vfi", "atm_vfi", "rife", "rife4", "ebme", "ebme_star"]
    assert [r.label for r in found] == [f"ifrnet_tiny by {name}" for name in names]
    by_name = {r.protocol: r for r in found}
    for name in ("ema_vfi", "rife4"):
        (alone,) = evaluated(tmp_path / name, *given, f"protocol={name}")
        assert by_name[name].averages() == alone.averages()
    assert by_name["ifrnet"].averages() == by_name["common"].averages() != by_name["rife"].averages()
    assert by_name["ifrnet"].notes == ["ifrnet measures here as common does"]
    assert by_name["rife"].notes == [
        "rife differs from common in: padding_multiple 32, not as the network takes it; "
        "channels bgr, not as the network takes it; PSNR rounded, not plain; SSIM rounded, not plain"
    ]
    assert json.loads((tmp_path / "all" / "x" / "results.json").read_text())["comparisons"] == []
    with_all = OmegaConf.load(CONF / "protocol" / "all.yaml").names
    assert sorted(with_all) == protocol_names()
