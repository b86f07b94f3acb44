"""The metrics callback: exact means over images, on one process and on two uneven ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torchmetrics.image import PeakSignalNoiseRatio

from tests.helpers.validation import MeanModule, joined, samples, trainer
from vfi_train.callbacks.validation_metrics import KNOWN, ValidationMetrics
from vfi_train.errors import UserError
from vfi_train.metrics import interpolation_error, psnr, ssim3d


def expected(function) -> float:
    batch = joined(samples())
    return function((batch["frame0"] + batch["frame1"]) / 2, batch["target"]).mean().item()


@pytest.mark.parametrize("devices", [1, 2])
def test_means_over_images(tmp_path: Path, devices: int) -> None:
    strategy = "ddp_fork" if devices == 2 else "auto"
    t = trainer(tmp_path, [ValidationMetrics(("psnr", "ssim", "ie"))], devices=devices, strategy=strategy)
    t.validate(MeanModule(), verbose=False)
    got = t.callback_metrics
    assert got["val/psnr"].item() == pytest.approx(expected(psnr), abs=1e-5)
    assert got["val/ssim"].item() == pytest.approx(expected(ssim3d), abs=1e-6)
    assert got["val/ie"].item() == pytest.approx(expected(interpolation_error), abs=1e-5)


def test_each_validation_begins_anew(tmp_path: Path) -> None:
    t = trainer(tmp_path, [ValidationMetrics(("psnr",))])
    for _ in range(2):
        t.validate(MeanModule(), verbose=False)
        assert t.callback_metrics["val/psnr"].item() == pytest.approx(expected(psnr), abs=1e-5)


def test_metrics_of_torchmetrics_may_join(tmp_path: Path) -> None:
    t = trainer(tmp_path, [ValidationMetrics((), others={"joint_psnr": PeakSignalNoiseRatio(data_range=1.0)})])
    t.validate(MeanModule(), verbose=False)
    batch = joined(samples())
    error = ((batch["frame0"] + batch["frame1"]) / 2 - batch["target"]).square().mean()
    assert t.callback_metrics["val/joint_psnr"].item() == pytest.approx(-10 * torch.log10(error).item(), abs=1e-4)


def test_all_known_metrics_declare_their_direction() -> None:
    assert {name for name, make in KNOWN.items() if make().higher_is_better is False} == {"ie", "loss"}
    assert all(make().higher_is_better is not None for make in KNOWN.values())


def test_unknown_names_are_told_with_the_nearest() -> None:
    with pytest.raises(UserError, match="no metric is called 'pnsr': did you mean 'psnr'"):
        ValidationMetrics(("pnsr",))
    with pytest.raises(UserError, match=r"no metric 'lpips': give lpips_alex \(what lpips was\), lpips_vgg or "):
        ValidationMetrics(("psnr", "lpips"))


def test_lpips_is_the_packages(backbones: Path) -> None:
    import lpips

    network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()
    weights = torch.load(next(backbones.glob("alexnet*.pth")), weights_only=True)
    for number, layer in enumerate([layer for part in network.net.children() for layer in part]):
        for name, parameter in layer.named_parameters():
            parameter.data = weights[f"features.{number}.{name}"]
    images = torch.rand(2, 3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    metric = ValidationMetrics(("lpips_alex",), backbones=backbones).metrics["lpips_alex"]
    for part in (slice(0, 1), slice(1, 3)):
        metric.update(*images[:, part])
    with torch.no_grad():
        expected = network(2 * images[0] - 1, 2 * images[1] - 1).mean()
    assert metric.compute().item() == pytest.approx(expected.item(), abs=1e-6)
