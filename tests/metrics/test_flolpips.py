"""FloLPIPS in closed form: LPIPS where nothing moves otherwise, and only of the pixels that do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from losses.learned import distance_maps, lpips_network
from tests.helpers.layouts import frame
from vfi_train.evaluate.columns import described
from vfi_train.evaluate.scorer import Scorer
from vfi_train.metrics import flolpips as module
from vfi_train.metrics.flolpips import flolpips, weighted_distance
from vfi_train.metrics.motion import Image, dis_flow

SIZE = (64, 512)


@pytest.fixture(scope="module")
def network(backbones: Path) -> nn.Module:
    return lpips_network("alex", backbones)


def spoiled(images: list[Image], columns: slice) -> list[Image]:
    """The images with noise in these columns."""
    rng = np.random.default_rng(0)
    found = [image.copy() for image in images]
    for image in found:
        image[:, columns] = rng.integers(0, 256, image[:, columns].shape, np.uint8)
    return found


def lpips(first: Image, second: Image, backbones: Path) -> float:
    images = (torch.from_numpy(image.copy()).permute(2, 0, 1)[None] / 255 for image in (first, second))
    return Scorer({"lpips_alex": {}}, backbones)(*images)["lpips_alex"][0]


def test_with_equal_flows_it_is_lpips(backbones: Path, network: nn.Module) -> None:
    """Both sequences stand still, each with another texture."""
    predicted, true = frame(3, 0, SIZE), frame(4, 0, SIZE)
    assert np.abs(dis_flow(predicted, predicted)).max() == 0
    expected = lpips(predicted, true, backbones)
    assert expected > 0.01
    assert flolpips([predicted] * 3, [true] * 3, network) == pytest.approx([expected] * 2, abs=1e-6)


def test_equal_sequences_have_none(network: nn.Module) -> None:
    moved = [frame(3, shift, SIZE) for shift in (0, 4, 8)]
    assert flolpips(moved, moved, network) == [0, 0]


def test_only_pixels_that_move_otherwise_count(
    backbones: Path, network: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noise on the right; flows that differ on the left, whose features it does not reach, or on the right."""
    true = [frame(3, 0, SIZE)] * 2
    predicted = spoiled(true, slice(384, None))
    error = np.zeros((*SIZE, 2), np.float32)

    def flow(first: Image, second: Image) -> np.ndarray:
        return error if first is predicted[1] else np.zeros_like(error)

    monkeypatch.setattr(module, "dis_flow", flow)
    whole = lpips(predicted[1], true[1], backbones)
    assert flolpips(predicted, true, network) == [pytest.approx(whole, abs=1e-6)]
    error[:, :128] = 3
    assert flolpips(predicted, true, network) == [pytest.approx(0, abs=1e-6)]
    error[:] = 0
    error[:, 384:] = 3
    (right,) = flolpips(predicted, true, network)
    assert right > 2 * whole
    error[:, 384:] = 0.5  # the weights are relative
    assert flolpips(predicted, true, network) == [pytest.approx(right, abs=1e-6)]


def test_flows_are_those_from_a_frame_to_the_one_before_it(network: nn.Module) -> None:
    predicted, true = ([frame(texture, shift, (96, 160)) for shift in (0, 2, 7)] for texture in (3, 5))
    expected = []
    for k in (1, 2):
        flows = [dis_flow(frames[k], frames[k - 1]) for frames in (predicted, true)]
        error = np.hypot(*np.moveaxis(flows[0] - flows[1], -1, 0))
        images = (torch.from_numpy(frames[k].copy()).permute(2, 0, 1)[None] / 127.5 - 1 for frames in (predicted, true))
        with torch.no_grad():
            expected.append(weighted_distance(distance_maps(network, *images), error))
    assert flolpips(predicted, true, network) == pytest.approx(expected, abs=1e-6)


def test_layers_are_weighted_in_their_own_resolution() -> None:
    """Constant maps give their sum, whatever the weights; maps of halves give the halves that are weighted."""
    weights = np.random.default_rng(0).gamma(1, 1, (64, 128)).astype(np.float32)
    constant = [torch.full((1, 1, 16, 32), 0.25), torch.full((1, 1, 3, 7), 0.5)]
    assert weighted_distance(constant, weights) == pytest.approx(0.75, abs=1e-9)
    halves = [torch.zeros(1, 1, 16, 32), torch.zeros(1, 1, 4, 8)]
    for values, number in zip(halves, (2.0, 3.0), strict=True):
        values[..., : values.shape[-1] // 2] = number
    left, single = np.zeros((2, 64, 128), np.float32)
    left[:, :32] = 1
    single[5, 3] = 1  # one pixel, between those that plain bilinear resizing reads
    for part in (left, single):
        assert weighted_distance(halves, part) == pytest.approx(5, abs=1e-9)
        assert weighted_distance(halves, part[:, ::-1].copy()) == pytest.approx(0, abs=1e-9)
    assert weighted_distance(halves, 0 * left) == pytest.approx(2.5, abs=1e-9)


def test_its_distances_are_those_of_lpips(network: nn.Module) -> None:
    torch.manual_seed(0)
    images = torch.rand(2, 2, 3, 72, 96) * 2 - 1
    maps = distance_maps(network, *images)
    assert [tuple(values.shape[2:]) for values in maps] == [(17, 23), (8, 11), (3, 5), (3, 5), (3, 5)]
    means = torch.stack([values.mean(dim=(1, 2, 3)) for values in maps]).sum(dim=0)
    assert means.tolist() == pytest.approx(network(*images).flatten().tolist(), abs=1e-6)


def test_the_row_says_which_flow_and_which_network(backbones: Path) -> None:
    true = [frame(3, shift, (64, 96)) for shift in (0, 4, 8, 12)]
    predicted = spoiled(true, slice(40, 60))
    scorer = Scorer({"flolpips_dis": {}}, backbones)
    got = scorer.sequence(true[0], true[3], predicted[1:3], true[1:3])
    network = lpips_network("alex", backbones)
    assert got == {"flolpips_dis": flolpips([true[0], *predicted[1:3]], true[:3], network)}
    about = described("flolpips_dis", {})
    assert (about["direction"], about["range"], about["crop"]) == ("lower is better", "0 to infinity", "none")
    assert about["backbone"] == "alexnet (alexnet-owt-7be5be79.pth)"
    assert "flow by OpenCV DIS (medium), not by PWC-Net" in about["method"]
