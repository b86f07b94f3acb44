"""Datasets in turn: which batch comes from where, and that it stays a function of (seed, epoch, position)."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import lightning as L
import numpy as np
import pytest
import torch

from datamodules.core.samplers import GlobalBatchSampler
from datamodules.core.samples import Sample
from datamodules.joint import Joint, JointBatches
from tests.helpers.layouts import LAYOUTS, fabricate, joint_data, tiny_block
from tests.helpers.sources import Numbers, NumbersData, Recorder, SaveEverywhere, micro_batches, saved, steps, trainer
from vfi_train.callbacks.validation_metrics import ValidationMetrics
from vfi_train.contract import Prediction
from vfi_train.errors import DataError

Every = Literal["epoch", "step"]


class Named(Numbers):
    """Numbers whose keys tell the dataset, and whose images have its size."""

    def __init__(self, name: str, size: int, side: int) -> None:
        super().__init__(size)
        self.name, self.side = name, side

    def sample(self, index: int, rng: np.random.Generator | None) -> Sample:
        sample = super().sample(index, rng)
        image = np.full((self.side, self.side, 3), index, np.uint8)
        return {**sample, "frame0": image, "frame1": image, "target": image, "key": f"{self.name}{sample['key']}"}


class NamedData(NumbersData):
    def __init__(self, name: str, side: int, **options: Any) -> None:
        super().__init__(**options)
        self.name, self.side = name, side

    def train_source(self) -> Named:
        return Named(self.name, self.train, self.side)

    def val_source(self) -> Named:
        return Named(f"val-{self.name}", self.val, self.side)


def joint(every: Every = "epoch", **options: Any) -> Joint:
    """Three steps of four samples of a, one step of two of b in an epoch of each (some are left over)."""
    datasets = {
        "a": NamedData("a", 4, train=14, batch_size=4),
        "b": NamedData("b", 2, train=3, batch_size=2),
    }
    return Joint(datasets=datasets, every=every, batch_size=4, seed=7, **options)


def run(folder: Path, every: Every, *hooks: str, ckpt: Path | None = None, accumulate: int = 1, **options: Any) -> Any:
    recorder = Recorder()
    module = joint(every, micro_batch_size=4 // accumulate, num_workers=options.pop("num_workers", 0))
    settings = {"max_steps": 15, "accumulate_grad_batches": accumulate, "val_check_interval": 2 * accumulate}
    fit: L.Trainer = trainer(
        folder,
        callbacks=[SaveEverywhere(folder, *hooks)],
        enable_checkpointing=False,
        check_val_every_n_epoch=None,
        **{**settings, **options},
    )
    fit.fit(recorder, datamodule=module, ckpt_path=ckpt)
    return recorder


def letters(recorder: Recorder) -> str:
    """Which dataset each step's samples come from."""
    assert all(len({key[0] for key in keys}) == 1 for keys in steps(recorder).values())
    return "".join(keys[0][0] for _, keys in sorted(steps(recorder).items()))


def test_datasets_alternate_by_epoch(tmp_path: Path) -> None:
    recorder = run(tmp_path, "epoch")
    assert letters(recorder) == "aaabaaabaaabaaa"
    own = [key.partition(":")[0] for _, keys in sorted(steps(recorder).items())[:3] for key in keys]
    assert len(set(own)) == 12  # an epoch of a holds each sample once, less the last partial batch
    assert {len(keys) for keys in micro_batches(recorder)} == {4, 2}


def test_datasets_alternate_by_step(tmp_path: Path) -> None:
    recorder = run(tmp_path, "step")
    assert letters(recorder) == "abababababababa"
    firsts = [keys for _, keys in sorted(steps(recorder).items())]
    own = [{key.partition(":")[0] for key in keys} for keys in firsts[0:6:2]]
    assert len(set.union(*own)) == 12
    augmented = [key for keys in firsts[1::2] for key in keys]
    assert len(set(augmented)) == len(augmented)  # b began again after each step, with other random numbers


@pytest.mark.parametrize("every", ["epoch", "step"])
def test_each_epoch_of_a_part_is_the_dataset_alone(every: Every) -> None:
    """The order within each dataset is that of its own batches."""
    parts = [GlobalBatchSampler(14, 4, 4, 3), GlobalBatchSampler(3, 2, 2, 3)]
    batches = JointBatches(parts, every, lambda: (0, 0))
    got = [list(batches.micro_batches(epoch)) for epoch in range(3)]
    assert [len(round_) for round_ in got] == [len(batches)] * 3 == [4 if every == "epoch" else 6] * 3
    flat = [batch for round_ in got for batch in round_]
    a = [batch for batch in flat if batch[0][1] < 14]
    b = [[(epoch, index - 14) for epoch, index in batch] for batch in flat if batch[0][1] >= 14]
    assert a == [batch for epoch in range(3) for batch in parts[0].micro_batches(epoch)]
    assert b == [batch for epoch in range(len(b)) for batch in parts[1].micro_batches(epoch)]


@pytest.mark.parametrize("every", ["epoch", "step"])
@pytest.mark.parametrize(("accumulate", "after"), [(1, 1), (2, 1), (2, 2), (1, 2)])
def test_resumed_from_each_checkpoint(tmp_path: Path, every: Every, accumulate: int, after: int) -> None:
    """Also with another number of accumulated micro-batches, and from the middle of a step, which begins again."""
    full = steps(run(tmp_path, every, "on_train_batch_end", accumulate=accumulate))
    assert sorted(full) == list(range(15))
    checkpoints = saved(tmp_path, "on_train_batch_end")
    assert len(checkpoints) == 15 * accumulate
    for done, path in checkpoints[:: 2 if accumulate == 1 else 3]:
        rest = steps(run(tmp_path / "rest", every, ckpt=path, accumulate=after))
        assert rest == {step: keys for step, keys in full.items() if step >= done // accumulate}, f"after {done}"


@pytest.mark.parametrize("hook", ["on_validation_end", "on_train_epoch_end"])
def test_resumed_from_checkpoints_of_other_moments(tmp_path: Path, hook: str) -> None:
    full = micro_batches(run(tmp_path, "epoch", hook))
    checkpoints = saved(tmp_path, hook)
    assert len(checkpoints) >= 4
    for done, path in checkpoints:
        assert micro_batches(run(tmp_path / "rest", "epoch", ckpt=path, num_workers=int(done == 4))) == full[done:]


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_each_validation_set(world: int) -> None:
    """Each sample once over all processes, whose shares differ by one at most."""
    sets = {"x": NamedData("c", 3, val=4, batch_size=1), "y": NamedData("d", 5, val=5, batch_size=1)}
    module = joint(val_split=sets)
    module.setup()
    shares = []
    for rank in range(world):
        module.trainer = SimpleNamespace(world_size=world, global_rank=rank)  # type: ignore[assignment]
        shares.append([index for batch in module.val_batches(2) for _, index in batch])
    assert sorted(index for share in shares for index in share) == list(range(9))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize(("world", "per_device"), [(2, 2), (1, 2), (2, 1)])
@pytest.mark.parametrize("every", ["epoch", "step"])
def test_a_global_batch_is_the_same_on_any_number_of_processes(every: Every, world: int, per_device: int) -> None:
    def flat(world: int, per_device: int) -> list[set[tuple[int, int]]]:
        accumulate = 4 // (world * per_device)
        sizes = ((14, 4), (9, 4))
        ranks = []
        for rank in range(world):
            parts = [GlobalBatchSampler(size, b, b // accumulate // world, 1, rank, world) for size, b in sizes]
            ranks.append(list(JointBatches(parts, every, lambda: (0, 0)).micro_batches(2)))
        micro = [set().union(*(set(rank[j]) for rank in ranks)) for j in range(len(ranks[0]))]
        return [set().union(*micro[k : k + accumulate]) for k in range(0, len(micro), accumulate)]

    assert flat(world, per_device) == flat(1, 4)


def test_one_dataset_is_validated_on(tmp_path: Path) -> None:
    recorder = run(tmp_path, "epoch", max_steps=2)
    assert recorder.validated == [f"val-a{i}:held-out" for i in range(5)]
    module = joint(val_split=NamedData("c", 3, val=2, batch_size=1, val_batch_size=1))
    module.setup()
    assert [batch["key"] for batch in module.val_dataloader()] == [["val-c0:held-out"], ["val-c1:held-out"]]


class White(L.LightningModule):
    """Predicts white images."""

    def validation_step(self, batch: Any, batch_idx: int) -> dict[str, Any]:
        return {"prediction": Prediction(torch.ones_like(batch["target"])), "batch": batch}


def test_several_sets_are_validated_on(tmp_path: Path) -> None:
    """Each image is one grey level, i of 255: the PSNR of white is -20 log10(1 - i / 255)."""
    sets = {
        "x": NamedData("c", 3, val=2, batch_size=1, val_batch_size=1),
        "y": NamedData("d", 5, val=3, batch_size=1),
    }
    module = joint(val_split=sets, val_batch_size=2)
    module.setup()
    keys = [batch["key"] for batch in module.val_dataloader()]
    x, y = ([f"{name}{i}:held-out" for i in range(3)] for name in ("x/val-c", "y/val-d"))
    assert keys == [x[:1], x[1:2], y[:2], y[2:]]  # batches are of one set, and as large as it says
    (found,) = L.Trainer(
        accelerator="cpu", logger=False, callbacks=[ValidationMetrics(["psnr"])], default_root_dir=tmp_path,
        enable_progress_bar=False, enable_model_summary=False,
    ).validate(White(), datamodule=joint(val_split=sets), verbose=False)  # fmt: skip
    scores = -20 * np.log10(1 - np.arange(3) / 255)
    assert found["val/psnr_x"] == pytest.approx(scores[:2].mean(), abs=1e-5)
    assert found["val/psnr_y"] == pytest.approx(scores.mean(), abs=1e-5)
    assert found["val/psnr"] == pytest.approx((scores[:2].sum() + scores.sum()) / 5, abs=1e-5)


def test_batch_sizes_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^data\.batch_size=4 must be that of .*data\.datasets\.b\.batch_size=2$"):
        Joint(datasets={"b": NamedData("b", 2, batch_size=2)}, batch_size=4)
    with pytest.raises(ValueError, match=r"^data\.datasets is empty"):
        Joint(datasets={}, batch_size=4)
    with pytest.raises(ValueError, match=r"^data\.every=week is none of epoch, step$"):
        joint("week")  # type: ignore[arg-type]
    module = joint(micro_batch_size=1)  # four micro-batches of a; b's two samples give none
    module.setup()
    with pytest.raises(ValueError, match=r"^data\.datasets\.b\.batch_size=2 does not divide by 1 devices and 4 acc"):
        module.train_dataloader()


def test_a_dataset_smaller_than_its_batch_is_named() -> None:
    datasets = {"a": NamedData("a", 4, train=8, batch_size=4), "b": NamedData("b", 2, train=3, batch_size=4)}
    module = Joint(datasets=datasets, batch_size=4)
    module.setup()
    with pytest.raises(ValueError, match=r"^data\.datasets\.b: the training set has 3 samples"):
        module.train_dataloader()


def test_atm_vfis_joint_phase_on_its_layouts(tmp_path: Path) -> None:
    """Vimeo90K and X-TRAIN with a crop and a batch size each, validated on SNU-FILM's hard split."""
    roots = {name: fabricate(name, tmp_path) for name in ("vimeo90k", "x4k1000fps", "snu_film")}
    module = joint_data(
        *tiny_block("vimeo90k", "datasets.vimeo90k", roots["vimeo90k"]),
        f"data.datasets.x4k1000fps.root={roots['x4k1000fps']}",
        "data.datasets.x4k1000fps.transforms.1.size=48",
        "data.batch_size=2",
        "data.datasets.x4k1000fps.batch_size=1",
        "data.num_workers=0",
        "+data@data.val_split=snu_film",
        "data.val_split.split=hard",
        f"data.val_split.root={roots['snu_film']}",
    )
    assert LAYOUTS["vimeo90k"].clips == 3
    assert module.datasets["x4k1000fps"].gaps == list(range(2, 33))
    assert not module.arbitrary_time
    module.setup()
    shapes = [tuple(batch["frame0"].shape) for batch in module.train_dataloader()]
    assert shapes == [(2, 3, 32, 32)] + [(1, 3, 48, 48)] * 3
    val_split = [batch["key"][0] for batch in module.val_dataloader()]
    assert [key.split("/")[0] for key in val_split] == ["hard"] * 3
    assert torch.is_tensor(next(iter(module.val_dataloader()))["target"])


def test_published_batch_sizes_are_the_configured_ones() -> None:
    module = joint_data()
    assert [data.batch_size for data in module.datasets.values()] == [20, 6]
    crops = [t.height for d in module.datasets.values() for t in d.transforms.transforms if hasattr(t, "height")]
    assert crops == [256, 448]


def test_what_is_missing_is_named_by_its_block(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^data\.datasets\.vimeo90k\.root is not set: give the folder vimeo_triplet"):
        joint_data().check()
    root = fabricate("vimeo90k", tmp_path)
    with pytest.raises(DataError, match=r"^there is no folder data\.datasets\.x4k1000fps\.root=gone: give the folder"):
        joint_data(f"data.datasets.vimeo90k.root={root}", "data.datasets.x4k1000fps.root=gone").check()
    (root / "sequences/00001/0001/im2.png").unlink()
    with pytest.raises(DataError, match=r"^sample 00001/0001: \S+ is missing from data\.datasets\.vimeo90k\.root: "):
        joint_data(f"data.datasets.vimeo90k.root={root}").check()
