"""Every protocol on every benchmark that it measures: averages equal a direct computation from the files.

The published scripts are written a second time here and in `tests/helpers/direct_evaluation.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

import conf
from tests.helpers import direct_evaluation as direct
from tests.helpers.direct_evaluation import ie, predicted, psnr, psnr_skimage, samples, ssim, ssim_skimage
from tests.helpers.evaluation import composed
from tests.helpers.marks import some_slow
from vfi_train.config.selection import configured
from vfi_train.evaluate.options import protocol_names, read_protocol
from vfi_train.evaluate.results import Result

CONF = Path(conf.__file__).parent
TURN = (-2, -1)
PLAIN = {"psnr": psnr, "ssim": ssim}
ROUNDED = {"psnr": partial(psnr, rounded=True), "ssim": partial(ssim, rounded=True)}
IE = {"ie": ie}
SKIMAGE = {"psnr": psnr_skimage, "ssim": ssim_skimage}
LUMA = {"psnr": partial(psnr, rounded=True, luma=True)}
SNU = ("easy", "medium", "hard", "extreme")
HD = ("544p", "720p", "1080p")

Columns = dict[str, Callable[..., float]]
CASES: list[tuple[str, str, str, str, dict[str, Any], Columns]] = [
    # IFRNet
    ("ifrnet", "ifrnet", "vimeo90k", "test", {}, PLAIN),
    ("ifrnet", "ifrnet", "ucf101", "test", {}, PLAIN),
    *(("ifrnet", "ifrnet", "snu_film", s, {"multiple": 20, "scale": 0.8}, PLAIN) for s in SNU),
    ("ifrnet", "ifrnet", "middlebury", "other", {"canvas": True}, {**PLAIN, **IE}),
    ("ifrnet", "ifrnet", "gopro", "test", {}, PLAIN),
    ("ifrnet", "ifrnet", "adobe240", "test", {}, PLAIN),
    # AMT
    ("amt", "amt_s", "vimeo90k", "test", {}, PLAIN),
    ("amt", "amt_s", "ucf101", "test", {}, PLAIN),
    *(("amt", "amt_s", "snu_film", s, {"multiple": 20, "scale": 0.8}, PLAIN) for s in SNU),
    *(("amt", "amt_s", "xiph", s, {"multiple": 32, "scale": 0.5}, PLAIN) for s in ("2k", "4k_crop")),
    ("amt", "amt_s", "gopro", "test", {}, PLAIN),
    ("amt", "amt_s", "adobe240", "test", {}, PLAIN),
    # EMA-VFI
    ("ema_vfi", "ema_vfi", "vimeo90k", "test", {"bgr": True, "flip_hw": TURN, "multiple": 32}, PLAIN),
    ("ema_vfi", "ema_vfi_small", "vimeo90k", "test", {"bgr": True, "multiple": 32}, PLAIN),
    ("ema_vfi", "ema_vfi", "ucf101", "test", {"bgr": True, "flip_hw": TURN, "multiple": 32}, ROUNDED),
    *(
        ("ema_vfi", "ema_vfi", "snu_film", s, {"bgr": True, "flip_hw": TURN, "multiple": 32, "scale": 0.5}, PLAIN)
        for s in SNU
    ),
    ("ema_vfi", "ema_vfi", "middlebury", "other", {"bgr": True, "flip_hw": TURN, "multiple": 32}, IE),
    *(
        ("ema_vfi", "ema_vfi", "xiph", s, {"bgr": True, "flip_hw": TURN, "multiple": 16, "scale": 0.5}, SKIMAGE)
        for s in ("2k", "4k_crop")
    ),
    ("ema_vfi", "ema_vfi_t", "x_test", "2k", {"bgr": True, "flip_hw": TURN, "multiple": 32, "scale": 0.5}, ROUNDED),
    ("ema_vfi", "ema_vfi_small_t", "x_test", "4k", {"bgr": True, "multiple": 32, "scale": 0.25}, ROUNDED),
    *(("ema_vfi", "ema_vfi_t", "hd_4x", s, {"flip_hw": TURN, "multiple": 32}, LUMA) for s in HD),
    # ATM-VFI
    ("atm_vfi", "atm_vfi_base", "vimeo90k", "test", {"dim": True}, PLAIN),
    ("atm_vfi", "atm_vfi_base", "ucf101", "test", {"dim": True}, ROUNDED),
    *(("atm_vfi", "atm_vfi_base", "snu_film", s, {"multiple": 64}, PLAIN) for s in SNU),
    *(("atm_vfi", "atm_vfi_base", "xiph", s, {"multiple": 32}, PLAIN) for s in ("2k", "4k_crop")),
    # RIFE
    ("rife", "rife", "vimeo90k", "test", {"bgr": True, "multiple": 32}, ROUNDED),
    ("rife", "rife", "ucf101", "test", {"bgr": True, "multiple": 32}, ROUNDED),
    ("rife", "rife", "atd12k", "test", {"bgr": True, "multiple": 32}, ROUNDED),
    ("rife", "rife", "middlebury", "other", {"bgr": True, "canvas": True}, IE),
    ("rife", "rife", "hd_2x", "all", {"multiple": 32}, LUMA),
    *(("rife", "rife_m", "hd_4x", s, {"multiple": 32}, LUMA) for s in HD),
    # RIFE 4
    ("rife4", "rife_v4_25", "vimeo90k", "test", {"multiple": 128, "fill": 0.0}, PLAIN),
    *(
        ("rife4", "rife_v4_25", b, s, {"multiple": multiple, "fill": 0.0, "scale": scale}, PLAIN)
        for b in ("x_test", "x_test_2x")
        for s, multiple, scale in (("2k", 128, 1.0), ("4k", 256, 0.5))
    ),
    # EBME: multiples of 2^(levels + 1)
    *(
        (protocol, "ebme_h", b, s, {"bgr": True, "multiple": multiple, "fill": 0.5, "flip_hw": flips}, PLAIN)
        for protocol, flips in (("ebme", None), ("ebme_star", TURN))
        for b, s, multiple in (
            *(("vimeo90k", "test", 16), ("ucf101", "test", 16), *(("snu_film", s, 64) for s in SNU)),
            *(("x_test", "2k", 128), ("x_test", "4k", 256)),
        )
    ),
    # CO3D
    ("co3d", "ema_vfi_small_t", "co3d", "test", {"bgr": True, "multiple": 32}, {"psnr": psnr}),
    # Equal terms: RIFE's order is BGR
    ("common", "rife", "vimeo90k", "test", {"bgr": True}, PLAIN),
    ("common", "ifrnet", "atd12k", "test", {}, PLAIN),
    ("common", "ifrnet", "davis", "all", {}, PLAIN),
    *(("common", "ifrnet", "snu_film_arb", s, {}, PLAIN) for s in ("x4", "x8", "x16")),
    *(("common", "ifrnet", "xiph", s, {"scale": 0.5}, PLAIN) for s in ("2k", "4k_crop")),
    *(
        ("common", "ifrnet", b, s, {"scale": scale}, PLAIN)
        for b in ("x_test", "x_test_2x")
        for s, scale in (("2k", 0.5), ("4k", 0.25))
    ),
]
SEPTUPLETS: list[tuple[str, str, str, dict[str, Any], bool]] = [  # kind of time; whether PSNR is of rounded images
    ("interpany", "rife_t", "number", {"bgr": True}, False),
    ("interpany", "rife_d", "map5", {"bgr": True}, True),
    ("interpany", "rife_tr", "uniform", {"bgr": True, "steps": 2}, True),
    ("interpany", "rife_dr", "map9", {"bgr": True, "steps": 2}, True),
    ("interpany", "ifrnet_d", "map5", {"bgr": True}, False),
    ("interpany", "ifrnet_r", "uniform", {"bgr": True, "steps": 2}, False),
    ("interpany", "amt_s_dr", "map5", {"bgr": True, "steps": 2}, False),
    ("interpany", "ema_vfi_dr", "map5", {"bgr": True, "steps": 2}, False),
    ("interpany_uniform", "rife_d", "uniform", {"bgr": True}, True),
    ("interpany_uniform", "amt_s_dr", "uniform", {"bgr": True, "steps": 2}, False),
]


def averaged(rows: list[tuple[str, dict[str, float]]], by_sequence: bool) -> dict[str, float]:
    """The mean over rows, or over sequences of the mean over their rows."""
    columns = rows[0][1]
    if not by_sequence:
        return {c: float(np.mean([row[c] for _, row in rows])) for c in columns}
    names = {name for name, _ in rows}
    return {c: float(np.mean([np.mean([r[c] for n, r in rows if n == name]) for name in names])) for c in columns}


def assert_equal(result: Result, expected: dict[str, float], count: int) -> None:
    assert len(result.samples) == count
    assert not result.broken
    got = result.averages()
    assert set(got) >= set(expected)
    for column, value in expected.items():
        assert got[column] == pytest.approx(value, abs={"psnr": 2e-4, "ie": 1e-4}.get(column, 2e-6)), column


@pytest.mark.parametrize(
    ("protocol", "model", "benchmark", "split", "options", "columns"),
    some_slow(CASES, every=2),
    ids=["-".join(case[:4]) for case in CASES],
)
def test_averages_are_those_of_a_direct_computation(
    protocol: str,
    model: str,
    benchmark: str,
    split: str,
    options: dict[str, Any],
    columns: Columns,
    measured: Callable[..., Result],
    roots: dict[str, Path],
) -> None:
    result = measured(protocol, model, benchmark, split)
    rows = []
    for s in samples(benchmark, split, roots[configured("benchmark", benchmark).data]):
        prediction = predicted(s, **options)
        rows.append((s.sequence, {name: score(prediction, s.target) for name, score in columns.items()}))
    assert_equal(result, averaged(rows, benchmark.startswith("hd") and protocol != "common"), len(rows))
    assert set(result.columns) == set(columns)
    assert result.protocol == protocol


@pytest.mark.parametrize(("protocol", "model", "time", "options", "rounded"), SEPTUPLETS)
def test_septuplets_are_measured_as_in_each_variants_script(
    protocol: str,
    model: str,
    time: str,
    options: dict[str, Any],
    rounded: bool,
    measured: Callable[..., Result],
    roots: dict[str, Path],
    alex: Any,
) -> None:
    result = measured(protocol, model, "vimeo_septuplet", "test")
    by_8_bit = model != "rife_t" and not model.startswith("ema_vfi")
    rows = []
    for s in samples("vimeo_septuplet", "test", roots["vimeo_septuplet"], time):
        prediction = predicted(s, **options)
        seen = np.round(prediction * 255) / 255 if by_8_bit else prediction
        columns = {
            "psnr": psnr(prediction, s.target, rounded=rounded),
            "ssim": ssim(prediction, s.target, rounded=rounded),
            "lpips_alex": alex(2 * direct.tensor(seen) - 1, 2 * direct.tensor(s.target) - 1).item(),
        }
        rows.append(("", columns))
    assert_equal(result, averaged(rows, False), 5)
    assert np.isnan(result.averages()["niqe"])  # an image of 48x64 has no two blocks of 96x96


@pytest.fixture(scope="module")
def alex(backbones: Path) -> Any:
    """LPIPS: the package's own network with the weights in that folder."""
    import lpips

    network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    weights = torch.load(next(backbones.glob("alexnet-*.pth")), weights_only=True)
    features = [layer for block in network.net.children() for layer in block]
    for number, layer in enumerate(features):
        for name, parameter in layer.named_parameters():
            parameter.data = weights[f"features.{number}.{name}"]
    return network.eval()


def test_every_benchmark_of_every_protocol_is_among_the_cases() -> None:
    covered = {case[:1] + case[2:4] for case in CASES}
    covered |= {(name, "vimeo_septuplet", "test") for name, *_ in SEPTUPLETS}
    stated = set()
    composed()
    for name in protocol_names():
        for benchmark in read_protocol(name).benchmarks:
            if benchmark != "*":
                splits = OmegaConf.load(CONF / "benchmark" / f"{benchmark}.yaml").splits
                stated |= {(name, benchmark, str(split)) for split in splits}
    assert stated <= covered
