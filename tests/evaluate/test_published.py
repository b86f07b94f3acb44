"""Published numbers: the file, and the verdict on a difference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

import conf
from tests.helpers.evaluation import composed, result
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
    assert choose_protocol([read_protocol("amt")], "ifrnet", "xiph").name == "amt"


def test_a_second_protocol_has_numbers_of_its_own() -> None:
    def psnr(*protocol: str) -> str:
        return find("ebme_h", "vimeo90k", "test", *protocol)["psnr"].text

    assert [psnr(), psnr("ebme"), psnr("ebme_star"), psnr("common")] == ["36.06", "36.06", "36.19", "36.06"]
    star, plain = (resolve(read_protocol(name), "x_test", "4k", "ebme_h").as_dict() for name in ("ebme_star", "ebme"))
    assert (plain["padding"], plain["padding_side"], plain["model"], plain["tta"]) == (
        0.5, "right_bottom", {"levels": 7}, False,
    )  # fmt: skip
    assert star == {**plain, "protocol": "ebme_star", "tta": "flip_hw"}


def vimeo(psnr: float, count: int = 3782, protocol: str = "ifrnet", **settings: str) -> Result:
    r = result("ifrnet", np.full(count, psnr))
    r.benchmark, r.split, r.protocol, r.expected = "vimeo90k", "test", protocol, 3782
    vars(r).update(settings)
    r.broken = []
    return r


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [
        (35.80, "within tolerance"),
        (35.8149, "within tolerance"),  # half a hundredth of rounding, and a hundredth for other hardware
        (35.7851, "within tolerance"),
        (35.816, "out of tolerance (better)"),
        (35.49, "out of tolerance (worse)"),
    ],
)
def test_the_verdict(ours: float, verdict: str) -> None:
    distance = distances(vimeo(ours))["psnr"]
    assert distance.verdict() == verdict
    assert distance.difference == pytest.approx(ours - 35.80)
    assert verdict in published_lines(vimeo(ours))[0]


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"count": 100}, "100 of 3782 samples"),
        ({"protocol": "common"}, "protocol common, the published one is ifrnet"),
        ({"protocol": "ifrnet (tta=flip_hw)"}, "protocol ifrnet (tta=flip_hw), the published one is ifrnet"),
        ({"precision": "bf16"}, "precision bf16"),
        ({"backend": "openvino"}, "backend openvino, precision fp32"),
    ],
)
def test_another_measurement_is_not_compared(other: dict, reason: str) -> None:
    distance = distances(vimeo(35.80, **other))["psnr"]
    assert distance.verdict() == f"not comparable: {reason}"
