"""`dry_run=true` and `check=true`: a recipe as a table, and whether all is there."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from losses import LossSet
from losses.backbones import FILES
from losses.charbonnier import L1
from tests.helpers.in_process import TINY, composed, planned
from tests.helpers.marks import some_slow
from tests.helpers.pages import DOCS
from vfi_train.architectures import Architecture, Encoding
from vfi_train.callbacks.published_reference import milestones
from vfi_train.config.differences import differing_keys
from vfi_train.contract import Prediction
from vfi_train.errors import UserError
from vfi_train.profile.training_cost import state_per_parameter, training_memory
from vfi_train.training import preflight as preflight_module
from vfi_train.training.build import build_losses, build_trainable
from vfi_train.training.command import train
from vfi_train.training.dry_run import (
    describe_dataset,
    describe_length,
    describe_recipe,
    memory_on_device,
    sparkline,
)
from vfi_train.training.preflight import preflight, try_all, try_memory
from vfi_train.training.recipe import validated_on
from vfi_train.training.rehearsal import rehearse


def described(*overrides: str) -> dict[str, str]:
    return dict(describe_recipe(planned(*overrides)))


def test_a_published_recipe_as_it_is_published() -> None:
    rows = described("experiment=emavfi_small_vimeo", "trainer.devices=4", "callbacks=ema")
    assert "PSNR 36.07 dB" in rows["published"]
    assert rows["network"] == "ema_vfi_small: 14,489,815 parameters, all train"
    assert (
        rows["data"]
        == "Vimeo90K, tri_trainlist.txt 51,312 triplets, tri_testlist.txt 3,782 triplets, images of 256x256"
    )
    assert rows["batch"] == "32 per optimizer step: 8 on each of 4 devices"
    assert rows["length"].startswith("480,900 optimizer steps (300 epochs of 1,603 steps: 51,312 triplets)")
    assert rows["validation"] == "every 4,809 steps, on Vimeo90K"
    assert rows["losses"] == "1 laplacian (Laplacian) + 0.5 merged (Laplacian)"
    assert rows["learning rate"].splitlines()[1] == "WarmupCosine: 0 first, 0.0002 at most, 2e-05 last"
    assert rows["precision"] == "32-true, average of the weights: ema"
    # Beside activations: weights, gradients, two moments and an average, 14.49 M numbers of 4 bytes each.
    total, activations = (float(number) for number in re.findall(r"([\d.]+) GiB", rows["memory"]))
    assert total - activations == pytest.approx(5 * 14.49e6 * 4 / 2**30, abs=0.11)


@pytest.mark.parametrize(
    ("experiment", "data", "length"),
    [  # as the comments of the recipes reckon: 95 % of the list, and what a batch does not fill is left out
        ("amt_s_d_septuplet", "VimeoSeptuplet [D], ", "(400 epochs of 2,557 steps: 61,381 septuplets)"),
        ("rife_vimeo", "Vimeo90K, ", "(300 epochs of 761 steps: 48,746 triplets)"),
        ("rife_tr_septuplet", "VimeoSeptuplet [TR], ", "(300 epochs of 959 steps: 61,381 septuplets)"),
        ("ifrnet_gopro", "GoPro, train 22 videos, test 11 videos, ", "600 epochs, counted from the data"),
        ("emavfi_small_t_co3d", "CO3D, objects 88, ", "200 epochs, counted from the data"),
    ],
)
def test_epochs_are_those_of_the_recipe(experiment: str, data: str, length: str) -> None:
    plan = planned(f"experiment={experiment}")
    assert describe_dataset(plan.datasets[0]).startswith(data)
    assert length in describe_length(plan)


LEARNED = re.findall(r"^\| `(\w+)` \|.*?\| ([\d,]+) \| \d+ \| ([\d.]+) /", (DOCS / "learning.md").read_text(), re.M)


@pytest.mark.parametrize(("name", "steps", "psnr"), LEARNED)
def test_measured_recipes_have_a_milestone(name: str, steps: str, psnr: str) -> None:
    """At their end, around the number of docs/learning.md."""
    plan = planned(f"experiment={name}")
    assert plan.published is not None
    ((step, low, high),) = milestones(plan.published["milestones"])
    assert (step, (low + high) / 2) == (plan.steps, pytest.approx(float(psnr)))
    assert f"{plan.steps:,}" == steps


def test_a_milestone_is_shown() -> None:
    assert described("experiment=quickstart")["expected"] == "val/psnr of 36.83 to 37.83 dB at step 900"


def test_several_validation_sets_are_seen() -> None:
    sets = ("+data@data.val_split.snu_film=snu_film", "+data@data.val_split.vimeo90k=vimeo90k")
    plan = planned("data=joint", "model=atm_vfi_lite", "loss=atm_vfi_global", *sets)
    assert validated_on(plan.config["data"]) == "SNUFilm and Vimeo90K"


def test_what_is_overridden_is_seen() -> None:
    weight = "loss.terms.census.weight={_target_: losses.schedule.PiecewiseLinear, points: [[0, 0], [9, 0.5]]}"
    rows = described(
        "experiment=ifrnet_gopro", "freeze=['encoder.*']", "trainer.gradient_clip_val=2", weight,
        "parameter_groups=[{match: '*.bias', weight_decay: 0, lr_factor: 2}]",
    )  # fmt: skip
    assert rows["length"] == "600 epochs, counted from the data at the start"
    assert rows["batch"] == "8 per optimizer step: 8 on one device (56 targets)"
    assert "tensors train" in rows["network"]
    assert "gradients clipped to norm 2" in rows["optimizer"]
    assert "*.bias: rate x 2, weight decay 0" in rows["optimizer"]
    assert "(0 at 0 to 0.5 at 9) census (Census)" in rows["losses"]


def test_a_dry_run_writes_nothing_and_prints_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(composed("experiment=ifrnet_vimeo", "dry_run=true", f"runs={tmp_path / 'runs'}"))
    output = capsys.readouterr().out
    assert "ifrnet_vimeo: nothing is trained" in output
    assert "641,400 optimizer steps" in output
    assert not (tmp_path / "runs").exists()


def test_bars() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7, 8]) == "▁▂▃▄▅▆▇██"
    assert sparkline([2, 2]) == "██"
    assert sparkline([0.0, 0.0]) == "▁▁"


# --- memory


class Blend(Architecture):
    """A convolution and a sigmoid."""

    family = "blend"

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(6, 3, 1)

    def encode(self, frame0: torch.Tensor, frame1: torch.Tensor, *, scale: float = 1.0) -> Encoding:
        return Encoding(frame0, frame1, scale)

    def decode(self, encoding: Encoding, time: torch.Tensor, **_: object) -> Prediction:
        return Prediction(frame=self.layer(torch.cat((encoding.frame0, encoding.frame1), 1)).sigmoid())


def test_memory_of_a_network_that_can_be_reckoned_by_hand() -> None:
    shapes = {name: (2, 3, 8, 16) for name in ("frame0", "frame1", "target")} | {"time": (2, 1, 1, 1)}
    make = torch.optim.AdamW
    memory = training_memory(Blend(), LossSet({"l1": L1()}), make, shapes, averages=1)
    weights = 4 * (6 * 3 + 3)
    assert memory.parameters == memory.gradients == memory.averages == weights
    assert memory.optimizer == 2 * weights
    # The convolution's input, the sigmoid's output, and the difference whose sign the loss needs.
    assert memory.activations == 4 * 2 * 8 * 16 * (6 + 3 + 3)
    twice = training_memory(Blend(), LossSet({"l1": L1()}), make, {k: (4, *s[1:]) for k, s in shapes.items()})
    assert twice.activations == 2 * memory.activations


def test_what_optimizers_remember() -> None:
    assert state_per_parameter(torch.optim.AdamW) == 2
    assert state_per_parameter(lambda p: torch.optim.SGD(p, lr=0.1)) == 0
    assert state_per_parameter(lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)) == 1


# --- is all there?


def findings(*overrides: str) -> dict[str, tuple[bool, str]]:
    return {finding.name: (finding.good, finding.text) for finding in try_all(planned(*overrides))}


def test_a_recipe_that_may_start(tmp_path: Path) -> None:
    found = findings(*TINY, f"runs={tmp_path / 'runs'}")
    assert all(good for good, _ in found.values()), found
    assert found["data"][1] == "40 training and 4 validation samples; the first and last can be read"
    assert "a training batch takes at least" in found["memory"][1]
    assert found["rehearsal"][1] == "1 step of one sample, a validation and a checkpoint went through"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "environ",
    [
        {"TORCHELASTIC_RUN_ID": "x", "RANK": "0"},
        {
            "SLURM_JOB_ID": "1",
            "SLURM_STEP_ID": "0",
            "SLURM_NTASKS": "2",
            "SLURM_NTASKS_PER_NODE": "2",
            "SLURM_PROCID": "0",
        },
    ],
    ids=["torchrun", "srun"],
)
def test_it_is_rehearsed_by_the_first_of_several_processes(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}
    for name, value in {**environ, **started}.items():
        monkeypatch.setenv(name, value)
    found = findings(*TINY, f"runs={tmp_path}", "trainer.devices=2", "trainer.accelerator=cpu")
    assert all(good for good, _ in found.values()), found
    assert "DDPStrategy, 2 x cpu" in found["trainer"][1]
    assert "went through" in found["rehearsal"][1]


def test_a_joint_training_is_rehearsed_on_each_of_its_datasets(tmp_path: Path) -> None:
    scenes = {"_target_": "datamodules.synthetic.Synthetic", "batch_size": 4, "size": 32, "train_samples": 8}
    data = {"_target_": "datamodules.joint.Joint", "batch_size": 4, "datasets": {"a": scenes, "b": scenes}}
    plan = planned(*TINY, f"runs={tmp_path}")
    config = {**plan.config, "data": data}
    assert rehearse(dataclasses.replace(plan, config=config, datasets=plan.datasets * 2), tmp_path) == 2
    assert list(tmp_path.iterdir()) == []


def test_datasets_are_trained_on_in_the_order_in_which_they_are_written() -> None:
    """And another order is another training."""
    sets = ("+data@data.datasets.z=synthetic", "+data@data.datasets.a=synthetic", "~data.datasets.x4k1000fps")
    config = planned("data=joint", "model=atm_vfi_lite", "loss=atm_vfi_global", *sets).config
    assert list(config["data"]["datasets"]) == ["vimeo90k", "z", "a"]
    again = {**config, "data": {**config["data"], "datasets": dict(sorted(config["data"]["datasets"].items()))}}
    assert differing_keys(config, again) == ["data.datasets: vimeo90k, z, a -> a, vimeo90k, z"]


@pytest.mark.parametrize(
    ("overrides", "trial", "said"),
    some_slow(
        [
            (("optimizer_state=nothing",), "weights", "is no file, no run in"),
            (("data.train_samples=2",), "data", "fewer than one batch"),
            (("data.val_samples=1", "trainer.devices=2", "trainer.accelerator=cpu"), "data", "cannot be shared by 2"),
            (("trainer.strategy=dpp",), "trainer", "strategy"),
            (("trainer.gradient_clip_algorithm=nom",), "trainer", "is none of norm, value"),
            (("callbacks.metrics.names=[psnr,foo]",), "trainer", "no metric is called 'foo'"),
            (("callbacks=ema", "callbacks.ema.decay=2"), "trainer", "decay of the average 'ema'"),
            (("callbacks.best.monitor=val/snr",), "rehearsal", "callbacks.best.monitor=val/snr is not logged"),
        ],
        every=2,
    ),
)
def test_what_would_end_the_training_is_found(
    overrides: tuple[str, ...], trial: str, said: str, tmp_path: Path
) -> None:
    given = {override.partition("=")[0] for override in overrides}
    tiny = [override for override in TINY if override.partition("=")[0] not in given]
    found = findings(*tiny, *overrides, f"runs={tmp_path / 'runs'}")
    assert [name for name, (good, _) in found.items() if not good] == [trial]
    assert said in found[trial][1]
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_batch_beyond_the_memory_is_refused_with_one_that_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def needed(micro_batch_size: int) -> float:
        plan = planned(*options, f"data.micro_batch_size={micro_batch_size}")
        found = memory_on_device(plan, build_trainable(plan), build_losses(plan))
        assert found is not None
        return found.total

    options = [option.replace("batch_size=4", "batch_size=16") for option in (*TINY, f"runs={tmp_path}")]
    plan = planned(*options)
    for fitting in (8, 2):
        monkeypatch.setattr(preflight_module, "free_memory", lambda device, n=fitting: needed(n) + 1)
        with pytest.raises(UserError, match=rf"where .* are free: data.micro_batch_size={fitting} fits"):
            try_memory(plan)
        assert "at least" in try_memory(planned(*options, f"data.micro_batch_size={fitting}"))
    monkeypatch.setattr(preflight_module, "free_memory", lambda device: needed(1) - 1)
    with pytest.raises(UserError, match=r"not even one sample fits; module\.checkpointing=true takes less"):
        try_memory(plan)


def test_everything_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(2**30, 2**30 - 9, 9))
    for name, value in {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "2"}.items():
        monkeypatch.setenv(name, value)
    found = findings(
        "experiment=rife_vimeo", "loss=rife_lpips", "trainer.accelerator=gpu", "trainer.devices=3", "weights=nothing",
        f"data.root={tmp_path / 'nowhere'}",
    )  # fmt: skip
    failed = {name: text for name, (good, text) in found.items() if not good}
    assert "there is no folder data.root" in failed["data"]
    assert "data.batch_size=64 does not divide by 3 devices" in failed["batch"]
    assert FILES["vgg16"] in failed["losses"]
    assert "weights=nothing is no file" in failed["weights"]
    if not torch.cuda.is_available():
        assert "PyTorch finds no GPU here" in failed["devices"]
    assert "has 0 MiB free" in failed["disk"]
    assert "Python was started without srun" in failed["SLURM"]


def test_a_crop_that_the_network_does_not_take_is_found(tmp_path: Path) -> None:
    found = findings(*TINY, "data.size=40", f"runs={tmp_path}")
    assert not found["memory"][0]
    assert "multiples of" in found["memory"][1]


def test_the_exit_status_is_one_if_something_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    preflight(planned(*TINY, "check=true", f"runs={tmp_path}"))
    with pytest.raises(SystemExit) as raised:
        train(composed(*TINY, "check=true", f"runs={tmp_path}", "weights=nothing"))
    assert raised.value.code == 1
    assert "FAILS" in capsys.readouterr().out
