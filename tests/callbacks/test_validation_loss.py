"""The loss of validation samples: closed forms, a plain loop over the samples of a run, and what is refused."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from datamodules.joint import Joint
from losses import LossSet
from losses.charbonnier import L1, L2
from tests.helpers.in_process import composed, planned, read_checkpoint, rows, train_tiny
from tests.helpers.mean_networks import Mean
from tests.helpers.sources import NumbersData, trainer
from vfi_train.callbacks.validation_metrics import ValidationMetrics
from vfi_train.errors import UserError
from vfi_train.modules.forward import padded
from vfi_train.modules.interpolation_module import InterpolationModule
from vfi_train.optim.schedules import Constant
from vfi_train.training.build import build_data, build_module
from vfi_train.training.command import train
from vfi_train.weights import load_weights

RUN = ("trainer.max_steps=2", "validate_every=2", "data.val_samples=5", "data.val_batch_size=2")
ON = ("callbacks.metrics.names=[psnr,loss]", "callbacks.best.monitor=val/loss", "callbacks.best.mode=min")


class Bright(Mean):
    """Predicts white."""

    def decode(self, *args: Any, **kwargs: Any) -> Any:
        prediction = super().decode(*args, **kwargs)
        prediction.frame = torch.ones_like(prediction.frame)
        return prediction


def validated(folder: Path, network: Mean, data: Any, **options: Any) -> dict[str, float]:
    """What is logged of L1 / 2 + L2; image i is the grey level i of 255 of 2x2 pixels, and has to be padded."""
    network.weight = torch.nn.Parameter(torch.zeros(()))
    losses = LossSet({"l1": L1(0.5), "l2": L2()})
    module = InterpolationModule(network, losses, partial(torch.optim.SGD, lr=0.1), Constant(), 1)
    fit = trainer(folder, callbacks=[ValidationMetrics(["psnr", "loss"])], **options)
    fit.validate(module, datamodule=data, verbose=False)
    return {name: float(value) for name, value in fit.callback_metrics.items()}


def wanted(count: int) -> np.ndarray:
    error = 1 - np.arange(count) / 255
    return error / 2 + error**2


def test_each_image_counts_once(tmp_path: Path) -> None:
    """Batches of 3, 3 and 1; on two processes of 3 and 1, and of 3."""
    data = partial(NumbersData, val=7, batch_size=2, val_batch_size=3)
    one = validated(tmp_path, Bright(), data())
    assert one["val/loss"] == pytest.approx(wanted(7).mean(), rel=1e-6)
    two = validated(tmp_path, Bright(), data(), devices=2, strategy="ddp_fork")
    assert two["val/loss"] == pytest.approx(one["val/loss"], rel=1e-6)


def test_each_of_several_sets_has_its_loss(tmp_path: Path) -> None:
    """Batches are of one set, and as large as it says."""
    sets: dict[str, Any] = {
        "x": NumbersData(val=2, batch_size=1, val_batch_size=1),
        "y": NumbersData(val=5, batch_size=1),
    }
    data = Joint(datasets={"a": NumbersData(batch_size=3)}, val_split=sets, batch_size=3)
    got = validated(tmp_path, Bright(), data)
    assert [len(batch["key"]) for batch in data.val_dataloader()] == [1, 1, 3, 2]
    assert got["val/loss_x"] == pytest.approx(wanted(2).mean(), rel=1e-6)
    assert got["val/loss_y"] == pytest.approx(wanted(5).mean(), rel=1e-6)
    assert got["val/loss"] == pytest.approx((wanted(2).sum() + wanted(5).sum()) / 7, rel=1e-6)


def test_a_run_logs_what_a_plain_loop_gives(tmp_path: Path) -> None:
    """IFRNet's losses, two of which read labels and what it computes of the target; of an average, too."""
    run = train_tiny(tmp_path, *RUN, *ON, "callbacks=ema", "callbacks.ema.decay=0.5")
    last = rows(run)[-1]
    assert last["val/loss"] != last["val/loss_ema"]
    plan = planned("experiment=quickstart", "data.val_samples=5", "data.batch_size=4", "data.size=32")
    data = build_data(plan)
    data.setup()
    for name, weights in (("val/loss", "last.ckpt"), ("val/loss_ema", "last.ckpt:ema")):
        module = build_module(plan)
        load_weights(module.architecture, str(run / "checkpoints" / weights))
        module.eval()
        losses = []
        for batch in data.val_dataloader():
            batch = data.on_after_batch_transfer(batch)
            for i in range(len(batch["target"])):
                one = {key: value[i : i + 1] for key, value in batch.items()}
                frames = (one["frame0"], one["frame1"], one["time"])
                with torch.no_grad():
                    prediction = module.architecture(*frames, target=one["target"])
                    losses.append(float(module.loss(prediction, one, 2)["total"]))
        assert len(losses) == 5
        assert float(last[name]) == pytest.approx(np.mean(losses), rel=1e-5)
    best = [
        state
        for name, state in read_checkpoint(run / "checkpoints" / "best.ckpt")["callbacks"].items()
        if "val/loss" in name
    ]
    assert float(best[0]["best_model_score"]) == pytest.approx(float(last["val/loss"]))


def test_images_are_padded_by_their_borders() -> None:
    image = torch.rand(1, 3, 20, 28)
    batch: Any = {
        "frame0": image,
        "frame1": image,
        "target": image,
        "time": torch.full((1, 1, 1, 1), 0.5),
        "key": ["a"],
    }
    got = padded(batch, Mean())
    assert torch.equal(got["target"], F.pad(image, (2, 2, 2, 2), mode="replicate"))
    assert got["time"].shape == (1, 1, 1, 1)
    assert got["key"] == ["a"]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["data=vimeo_septuplet", "model=ifrnet", "data.flow=true", *ON],
            r"^callbacks\.metrics\.names has loss, whose term 'distillation' reads flow labels, which the validation "
            "samples of VimeoSeptuplet do not have",
        ),
        (["data=vimeo_septuplet", "model=ifrnet", "loss=ifrnet_unlabelled", *ON], r"data\.root is not set"),
        (["data=vimeo90k", "data.flow=true", *ON], r"data\.root is not set"),
        ([*ON[:2]], r"^callbacks\.best\.monitor=val/loss with callbacks\.best\.mode=max would keep the worst: give "),
        ([*ON[1:]], r"^callbacks\.best\.monitor=val/loss is not logged: did you mean"),
    ],
)
def test_mistakes(tmp_path: Path, overrides: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        train(composed("logger=csv", *overrides, f"runs={tmp_path}"))
    assert not any(tmp_path.iterdir())
