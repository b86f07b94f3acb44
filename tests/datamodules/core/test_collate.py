"""From samples to a batch, and from a worker process to the main one: nothing changes on the way."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from datamodules.core import shared_memory
from datamodules.core.collate import collate
from datamodules.core.fast_copy import fast_copy, joined
from datamodules.core.loader import TrainLoader
from datamodules.core.samplers import GlobalBatchSampler
from datamodules.core.samples import SeededDataset
from datamodules.storage.atomic_write import is_process_alive
from tests.helpers.sources import NumbersData


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float16])
def test_every_view_is_pasted_as_it_reads(dtype: Any, channels: int) -> None:
    full = np.random.default_rng(0).integers(0, 256, (13, 17, channels)).astype(dtype)
    full.setflags(write=False)
    views = {}
    for up, left, turned, backwards, part in itertools.product((1, -1), (1, -1), (0, 1), (1, -1), (0, 3)):
        view = full[::up, ::left][..., ::backwards][part : part + 8, 1 : 12 - part]
        views[up, left, turned, backwards, part] = view.swapaxes(0, 1) if turned else view
    views |= {"every other row": full[::2], "every other column": full[:, ::2], "one pixel": full[4:5, 5:6]}
    views |= {"a row": full[3:4, ::-1], "a column": full[::-1, 2:3], "turned": np.rot90(full[2:9, 3:5], 3)}
    if channels > 1:
        views["fewer channels"] = full[..., :1]
    for name, view in views.items():
        place = np.full(view.shape, 7, dtype)
        fast_copy(view, place)
        np.testing.assert_array_equal(place, view, err_msg=str(name))


def test_two_flows_are_joined_whatever_their_layout_in_memory() -> None:
    flows = np.random.default_rng(1).standard_normal((2, 5, 7, 3)).astype(np.float32)
    flows.setflags(write=False)
    for pair in (flows[..., :2], flows[:, ::-1, :, :2], np.ascontiguousarray(flows[..., :2])):
        np.testing.assert_array_equal(joined(list(pair)), np.concatenate(list(pair), axis=2))


class Images:
    """Sample i: images, flow and a distance map of random numbers that depend only on i."""

    def __len__(self) -> int:
        return 60

    def sample(self, index: int, rng: np.random.Generator | None) -> dict[str, Any]:
        numbers = np.random.default_rng(index)
        frames = {n: numbers.integers(0, 256, (5, 7, 3), np.uint8) for n in ("frame0", "frame1", "target")}
        flow, distance = numbers.standard_normal((5, 7, 4)).astype(np.float32), numbers.random((5, 7), np.float32)
        return {**frames, "flow": flow, "time": distance, "key": str(index)}


def expected(name: str, indices: list[int]) -> np.ndarray:
    arrays = [Images().sample(index, None)[name] for index in indices]
    return np.stack([(array if array.ndim == 3 else array[..., None]).transpose(2, 0, 1) for array in arrays])


def assert_true(batch: Any) -> None:
    indices = [int(key) for key in batch["key"]]
    for name in ("frame0", "frame1", "target", "flow", "time"):
        np.testing.assert_array_equal(batch[name].numpy(), expected(name, indices), err_msg=name)


def loader(workers: int, **options: Any) -> TrainLoader:
    batches = GlobalBatchSampler(60, 3, 3, seed=0)
    samples = SeededDataset(Images(), 0)
    return TrainLoader(samples, batch_sampler=batches, num_workers=workers, collate_fn=collate, **options)


def test_batches_out_of_workers_hold_what_they_should_while_their_memory_is_used_again() -> None:
    """Kept ones, too: complete, or as a part of one of their tensors."""
    kept, parts = [], []
    for number, batch in enumerate(loader(2)):
        assert_true(batch)
        if number % 3 == 0:
            kept.append(batch)
        elif number % 3 == 1:
            parts.append((batch["key"][2], batch["target"][2, 1]))
    assert len(kept) == len(parts) == 7
    for batch in kept:
        assert_true(batch)
    for key, part in parts:
        np.testing.assert_array_equal(part.numpy(), expected("target", [int(key)])[0, 1])


def test_a_worker_sends_the_same_few_slots_again() -> None:
    before = set(shared_memory._received)
    batches = iter(loader(1, prefetch_factor=2))
    count = sum(1 for _ in batches)
    assert count == 20
    assert len(set(shared_memory._received) - before) <= 4  # two wait, one is looked at, one is filled


def test_the_memory_of_workers_that_have_ended_is_let_go() -> None:
    for _ in range(3):
        list(loader(1))
    ours = [slot for slot in shared_memory._received if is_process_alive(slot[0])]
    assert len(shared_memory._received) - len(ours) <= shared_memory.MAX_SLOTS  # of the latest loader at most
    assert shared_memory._ours == []  # the main process sends nothing


def test_an_epoch_left_in_the_middle_does_no_harm_to_the_next() -> None:
    twice = loader(2, persistent_workers=True)
    for number, batch in enumerate(twice):
        assert_true(batch)
        if number == 4:
            break
    for batch in twice:
        assert_true(batch)


def test_more_batches_than_a_worker_keeps_memory_for() -> None:
    batches = list(loader(1))
    assert len(batches) == 20 > shared_memory.MAX_SLOTS
    for batch in batches:
        assert_true(batch)


def test_images_are_float_planes_of_their_own_on_the_device() -> None:
    data = NumbersData(batch_size=3)
    raw = collate([Images().sample(index, None) for index in range(3)])
    batch = data.on_after_batch_transfer(raw)
    for name in ("frame0", "flow", "time"):
        assert batch[name].is_contiguous()
        assert batch[name].dtype == torch.float32
        assert batch[name].untyped_storage().nbytes() == batch[name].numel() * 4  # saving it saves no neighbours
    np.testing.assert_array_equal(batch["frame0"].numpy(), expected("frame0", [0, 1, 2]).astype(np.float32) / 255)
    np.testing.assert_array_equal(batch["flow"].numpy(), expected("flow", [0, 1, 2]))
