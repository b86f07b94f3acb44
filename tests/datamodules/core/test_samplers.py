"""Batches are a function of seed, epoch and position: whatever the processes, workers and accumulation."""

from __future__ import annotations

import itertools
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from datamodules.core.collate import collate
from datamodules.core.samplers import GlobalBatchSampler, ShardedEvalSampler, split_batch
from datamodules.core.samples import SeededDataset
from datamodules.joint import JointSource
from tests.helpers.sources import Numbers, NumbersData
from vfi_train.errors import DataError


def micro_batches(
    per_device: int,
    rank: int = 0,
    world: int = 1,
    *,
    size: int = 100,
    seed: int = 7,
    epoch: int = 3,
    done: int = 0,
) -> list[list[tuple[int, int]]]:
    batches = GlobalBatchSampler(size, 24, per_device, seed, rank, world, position=lambda: (epoch, done))
    batches.begin()
    assert len(batches) == size // 24 * 24 // (per_device * world)  # the full epoch, wherever it starts
    return list(batches)


def global_batches(world: int, per_device: int, *, size: int = 100, epoch: int = 3, done: int = 0) -> list[set]:
    """The sets of samples of each optimizer step of an epoch."""
    accumulate = 24 // (world * per_device)
    ranks = [micro_batches(per_device, rank, world, size=size, epoch=epoch, done=done) for rank in range(world)]
    micro = [[pair for rank in ranks for pair in rank[j]] for j in range(len(ranks[0]))]
    assert all(len(set(m)) == world * per_device for m in micro)
    return [set(itertools.chain.from_iterable(micro[k : k + accumulate])) for k in range(0, len(micro), accumulate)]


@pytest.mark.parametrize(("world", "per_device"), [(1, 24), (1, 6), (2, 12), (2, 3), (3, 8), (4, 1), (24, 1)])
def test_a_global_batch_is_the_same_set_on_any_number_of_processes(world: int, per_device: int) -> None:
    assert global_batches(world, per_device) == global_batches(1, 24)


def test_an_epoch_holds_each_sample_once_less_the_last_partial_batch() -> None:
    batches = global_batches(2, 6)
    assert [len(b) for b in batches] == [24] * 4
    indices = [index for batch in batches for _, index in batch]
    assert len(set(indices)) == 96
    assert set(indices) < set(range(100))


def test_each_epoch_has_its_own_order_and_each_seed_too() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return [index for batch in micro_batches(24, size=48, seed=seed, epoch=epoch) for _, index in batch]

    orders = [order(seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert all(sorted(o) == list(range(48)) for o in orders)
    assert all(a != b for a, b in itertools.combinations(orders, 2))
    assert order(1, 1) == orders[3]


@pytest.mark.parametrize("done", [1, 7, 15])
def test_the_middle_of_an_epoch_is_its_rest(done: int) -> None:
    assert micro_batches(6, done=done) == micro_batches(6)[done:]


def test_a_dataset_smaller_than_a_batch_is_refused() -> None:
    with pytest.raises(ValueError, match=r"5 samples.*data\.batch_size=8"):
        GlobalBatchSampler(5, 8, 8, 0)


@pytest.mark.parametrize(("size", "world", "batch"), [(11, 2, 3), (11, 4, 2), (3, 4, 2), (8, 1, 8), (7, 3, 1)])
def test_held_out_samples_come_exactly_once(size: int, world: int, batch: int) -> None:
    loaders = [ShardedEvalSampler(size, batch, rank, world) for rank in range(world)]
    assert all(len(list(loader)) == len(loader) for loader in loaders)
    seen = [index for loader in loaders for b in loader for _, index in b]
    assert sorted(seen) == list(range(size))


@pytest.mark.parametrize(
    ("batch_size", "world", "micro_batch_size", "expected"),
    [
        (24, 1, None, (24, 1)),
        (24, 4, None, (6, 1)),
        (24, 4, 6, (6, 1)),
        (24, 4, 3, (3, 2)),
        (24, 1, 8, (8, 3)),
        (24, 4, 100, (6, 1)),
    ],
)
def test_split_batch(batch_size: int, world: int, micro_batch_size: int | None, expected: tuple) -> None:
    assert split_batch(batch_size, world, micro_batch_size) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((24, 5), r"^data\.batch_size=24 does not divide by 5 devices: choose a multiple of 5$"),
        ((24, 2, 5), r"12 samples for each of 2 devices.*micro_batch_size=5: choose 4$"),
        ((0, 1), r"data\.batch_size=0 is not"),
        ((8, 1, 0), r"data\.micro_batch_size=0 is not"),
    ],
)
def test_split_batch_refuses_what_does_not_divide(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split_batch(*arguments)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_give_the_same_stream_as_none(workers: int) -> None:
    streams = []
    for number in (0, workers):
        data = NumbersData(batch_size=4, num_workers=number, seed=11)
        data.setup()
        loader = data.train_dataloader()
        streams.append([[batch["key"] for batch in loader] for _ in range(3)])  # three epochs
    assert streams[0] == streams[1]
    assert streams[0][0] != streams[0][1]


def test_random_numbers_depend_on_seed_epoch_and_index_alone() -> None:
    samples = SeededDataset(Numbers(9), seed=2)
    expected = np.random.default_rng((2, 5, 7)).random()
    assert samples[(5, 7)]["key"] == f"7:{expected:.12f}"
    assert samples[(None, 7)]["key"] == "7:held-out"


def test_collate_keeps_uint8_and_shapes_times_and_maps() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (4, 5, 3), dtype=np.uint8)
    flow = rng.standard_normal((4, 5, 4)).astype(np.float32)
    sample = {"frame0": image, "frame1": image, "target": image, "time": 0.25, "flow": flow, "key": "a"}
    batch = collate([sample, sample])
    assert batch["frame0"].dtype == torch.uint8
    assert batch["frame0"].shape == (2, 3, 4, 5)
    assert np.array_equal(batch["frame0"][1].permute(1, 2, 0).numpy(), image)
    assert batch["time"].tolist() == [[[[0.25]]], [[[0.25]]]]
    assert batch["time"].dtype == batch["flow"].dtype == torch.float32
    assert np.array_equal(batch["flow"][0].permute(1, 2, 0).numpy(), flow)
    assert batch["key"] == ["a", "a"]
    distance = {**sample, "time": np.full((4, 5), 0.5, np.float32)}
    assert collate([distance, distance])["time"].shape == (2, 1, 4, 5)


def test_images_of_different_sizes_are_one_sentence() -> None:
    small, large = ({"frame0": np.zeros((n, n, 3), np.uint8), "time": 0.5, "key": f"size{n}"} for n in (4, 6))
    with pytest.raises(DataError, match=r"size4 ... size6 .*\(4, 4, 3\), \(6, 6, 3\)"):
        collate([small, large])


class Broken(Numbers):
    def sample(self, index: int, rng: np.random.Generator | None) -> dict:
        raise DataError(f"sample {index}: file /x/im1.png is missing")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_missing_file_is_one_sentence_also_out_of_a_worker(workers: int) -> None:
    data = NumbersData(batch_size=4, num_workers=workers)
    data.train_source = lambda: Broken(8)  # type: ignore[method-assign]
    data.setup()
    with pytest.raises(DataError, match=r"^sample \d: file /x/im1\.png is missing$"):
        next(iter(data.train_dataloader()))


def test_opencv_has_no_threads_that_a_forked_worker_would_wait_for() -> None:
    assert cv2.getNumThreads() == 1


class SomeBroken(Numbers):
    """Samples 3, 4 and 9 cannot be read."""

    def sample(self, index: int, rng: np.random.Generator | None) -> dict:
        if index in (3, 4, 9):
            raise DataError(f"sample {index}: file /x/im{index}.png is missing")
        return super().sample(index, rng)


def skipping(workers: int = 0, **options: Any) -> NumbersData:
    data = NumbersData(batch_size=4, num_workers=workers, seed=11, on_error="skip", **options)
    data.train_source = lambda: SomeBroken(12)  # type: ignore[method-assign]
    data.setup()
    return data


@pytest.mark.parametrize("workers", [0, 2])
def test_broken_samples_are_passed_over_and_counted(workers: int, capsys: pytest.CaptureFixture[str]) -> None:
    data, full = skipping(workers), NumbersData(train=12, batch_size=4, seed=11)
    full.setup()
    for epoch in range(2):
        batches = [data.on_after_batch_transfer(batch) for batch in data.train_dataloader()]
        expected = [key for batch in full.train_dataloader() for key in batch["key"]]
        for got, there in zip([key for batch in batches for key in batch["key"]], expected, strict=True):
            index = there.split(":")[0]
            after = {"3": 5, "4": 5, "9": 10}.get(index)
            tries = {"3": 2, "4": 1, "9": 1}.get(index)
            if after is None:
                assert got == there
            else:  # the next full sample, with random numbers of its own
                assert got == f"{after}:{np.random.default_rng((11, epoch, int(index), tries)).random():.12f}"
        assert all("skipped" not in batch for batch in batches)
    assert sorted(data.skipped) == [f"sample {i}: file /x/im{i}.png is missing" for i in (3, 4, 9)]
    said = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in said] == [f"skipped a sample, {n} of at most 10" for n in (1, 2, 3)]


@pytest.mark.parametrize("workers", [0, 1])
def test_more_broken_samples_than_allowed_stop(workers: int) -> None:
    data = skipping(workers, max_errors=2)
    with pytest.raises(DataError, match=r"^more than data\.max_errors=2 .* sample \d: file /x/im\d\.png is missing$"):
        _ = [data.on_after_batch_transfer(batch) for batch in data.train_dataloader()]
    strict = skipping(workers, max_errors=1)  # samples 3 and 4 lie side by side
    with pytest.raises(DataError, match=r"missing$"):
        _ = [strict.on_after_batch_transfer(batch) for batch in strict.train_dataloader()]


def test_broken_held_out_samples_always_stop() -> None:
    data = skipping()
    data._sources = {"val": SomeBroken(5)}
    with pytest.raises(DataError, match=r"^sample 3: file"):
        list(data.val_dataloader())


def test_what_takes_a_broken_samples_place_is_of_its_own_dataset() -> None:
    """Datasets that are trained on in turn crop to other sizes: a batch cannot mix them."""
    joint = JointSource([Numbers(3), SomeBroken(5)])
    assert [joint.after(index) for index in range(8)] == [1, 2, 0, 4, 5, 6, 7, 3]
    drawn = SeededDataset(joint, 0, skips=2)[(0, 6)]  # samples 3 and 4 of the second are broken: its first is next
    assert isinstance(drawn, dict)
    assert drawn["key"].startswith("0:")
    assert drawn["skipped"] == [f"sample {i}: file /x/im{i}.png is missing" for i in (3, 4)]


def test_an_unknown_way_with_errors_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^data\.on_error=ignore is neither raise nor skip$"):
        NumbersData(batch_size=4, on_error="ignore")


def test_frames_become_float_after_the_transfer() -> None:
    data = NumbersData(batch_size=4)
    data.setup()
    batch = next(iter(data.val_dataloader()))
    frame = data.on_after_batch_transfer(batch)["frame0"]
    assert frame.dtype == torch.float32
    assert frame[:, 0, 0, 0].tolist() == pytest.approx([i / 255 for i in range(4)], abs=1e-7)


def test_overfitting_trains_and_validates_on_the_same_few_samples() -> None:
    data = NumbersData(batch_size=4, overfit=2, seed=3)
    data.setup()
    loader = data.train_dataloader()
    trained = {key for _ in range(2) for batch in loader for key in batch["key"]}
    validated = [key for batch in data.val_dataloader() for key in batch["key"]]
    assert len(validated) == len(set(validated)) == 2
    assert trained == set(validated)


def test_sizes_are_unknown_before_setup() -> None:
    data = NumbersData(batch_size=4)
    with pytest.raises(RuntimeError, match="call setup"):
        _ = data.train_size
    data.setup()
    assert (data.train_size, data.val_size) == (22, 5)
