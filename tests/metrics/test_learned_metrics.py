"""LPIPS by network and DISTS: the numbers of the packages `lpips` and `dists-pytorch` on the same images."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from losses.backbones import FILES, backbone_weights
from losses.learned import NETWORKS
from tests.goldens.golden import fill, frame
from vfi_train.errors import UserError
from vfi_train.evaluate.scorer import Scorer
from vfi_train.metrics import DISTS, LPIPS
from vfi_train.metrics.functional import round_to_8_bit

# dists-pytorch 0.1 with `vgg_file`'s weights, on `images`.
DISTS_PYTORCH = [0.05951052904129028, 0.10802441835403442, 0.07419359683990479]


def images() -> tuple[Tensor, Tensor]:
    """Moved, of another texture, and of less contrast: 3 3 72 96."""
    a, b = (
        torch.cat([torch.from_numpy(frame(72, 96, phase, seed)) for phase, seed in places])
        for places in (((0.0, 7), (0.0, 71), (0.5, 9)), ((3.0, 7), (0.0, 72), (0.5, 9)))
    )
    b[2] = 0.7 * b[2] + 0.1
    return a, b


@pytest.fixture(scope="module")
def vgg_file(backbones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with VGG-16's weights in closed form."""
    folder = tmp_path_factory.mktemp("vgg")
    filled = {
        f"features.{key}": torch.from_numpy(
            fill(f"features.{key}", tuple(value.shape), key.rpartition(".")[2], 1.4)  # type: ignore[arg-type]
        )
        for key, value in backbone_weights("vgg16", backbones).items()
    }
    torch.save(filled, folder / FILES["vgg16"])
    return folder


def test_dists_is_that_of_its_authors_package(vgg_file: Path) -> None:
    a, b = images()
    assert Scorer({"dists": {}}, vgg_file)(a, b)["dists"] == pytest.approx(DISTS_PYTORCH, abs=1e-6)
    metric = DISTS(vgg_file)
    metric.update(a[:1], b[:1])  # one image, whose number torchmetrics gives without a dimension
    metric.update(a[1:], b[1:])
    assert metric.compute().item() == pytest.approx(sum(DISTS_PYTORCH) / 3, abs=1e-6)
    rounded = Scorer({"dists": {"rounded": True}}, vgg_file)(a, b)["dists"]
    assert rounded == pytest.approx(Scorer({"dists": {}}, vgg_file)(round_to_8_bit(a), b)["dists"], abs=1e-7)
    assert Scorer({"dists": {}}, vgg_file)(a, a)["dists"] == pytest.approx([0, 0, 0], abs=1e-5)


@pytest.mark.slow
def test_each_lpips_is_the_packages_with_its_own_network(backbones: Path) -> None:
    a, b = images()
    got = Scorer({f"lpips_{net}": {} for net in NETWORKS}, backbones)(a, b)
    for net in NETWORKS:
        network = package(net, backbones)
        with torch.no_grad():
            expected = network(2 * a - 1, 2 * b - 1).flatten()
        assert got[f"lpips_{net}"] == pytest.approx(expected.tolist(), abs=1e-6)
        assert LPIPS(net, backbones).score(a, b).tolist() == pytest.approx(expected.tolist(), abs=1e-6)
    assert len({round(values[0], 4) for values in got.values()}) == 3


def package(net: str, backbones: Path) -> Any:
    """The package's network with the weights of a folder."""
    import lpips

    network = lpips.LPIPS(net=net, pnet_rand=True, verbose=False).eval()
    weights = backbone_weights(NETWORKS[net], backbones)
    for part in network.net.children():
        for number, layer in part.named_children():
            for name, parameter in layer.named_parameters():
                parameter.data = weights[f"{number}.{name}"]
    return network


@pytest.mark.parametrize("make", [DISTS, LPIPS, partial(LPIPS, "vgg")])
def test_missing_weights_are_named(make: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^the metric (dists|lpips_alex|lpips_vgg) needs \S+\.pth, which is not in "):
        make(folder=tmp_path)
