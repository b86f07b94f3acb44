"""Batches on their way to a device: on a GPU beside the steps, without waiting."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from datamodules.core.transfer import Transfer
from tests.helpers.fake_gpu import Waits

GPU = torch.device("cuda", 0)


def batch() -> dict[str, Any]:
    return {
        "frame0": torch.arange(12, dtype=torch.uint8).view(1, 3, 2, 2),
        "time": torch.full((1, 1, 1, 1), 0.5),
        "key": ["a"],
    }


def test_on_a_cpu_a_batch_stays_as_it_is() -> None:
    given = batch()
    moved = Transfer()(given, torch.device("cpu"))
    assert all(
        moved[name] is value or torch.equal(moved[name], value) for name, value in given.items() if name != "key"
    )
    assert moved["key"] == ["a"]


class Events:
    """A GPU's streams by name, and what is done on and with them in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[str] = []
        self.made = 0
        self.current = "computing"
        events = self

        class Stream:
            def __init__(self, device: Any = None, name: str = "copying") -> None:
                self.name = name
                events.made += name == "copying"

            def wait_stream(self, other: Stream) -> None:
                events.seen.append(f"{self.name} waits for {other.name}")

        @contextlib.contextmanager
        def stream(chosen: Stream) -> Iterator[None]:
            before, events.current = events.current, chosen.name
            yield
            events.current = before

        monkeypatch.setattr(torch.cuda, "Stream", Stream)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream(name=events.current))
        monkeypatch.setattr(torch.cuda, "stream", stream)
        record = lambda tensor, chosen: events.seen.append(f"{tuple(tensor.shape)} is read on {chosen.name}")  # noqa: E731
        monkeypatch.setattr(torch.Tensor, "record_stream", record)
        to = torch.Tensor.to

        def noted(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
            events.seen.append(f"{tuple(tensor.shape)} is copied on {events.current}")
            return to(tensor, *args, **kwargs)

        monkeypatch.setattr(torch.Tensor, "to", noted)


def test_on_a_gpu_it_is_copied_beside_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU that exists only by name."""
    events, transfer = Events(monkeypatch), Transfer()
    with FakeTensorMode(allow_non_fake_inputs=True), Waits() as waits:
        for _ in range(2):
            moved = transfer(batch(), GPU)
    assert events.seen[: len(events.seen) // 2] == [
        "(1, 3, 2, 2) is copied on copying",
        "(1, 1, 1, 1) is copied on copying",
        "computing waits for copying",
        "(1, 3, 2, 2) is read on computing",
        "(1, 1, 1, 1) is read on computing",
    ]
    assert events.made == 1  # for all batches
    assert moved["frame0"].device == GPU
    assert waits.places == []


@pytest.mark.gpu
def test_copies_beside_the_steps_hold_the_right_numbers() -> None:
    """Memory of a batch that is read late is not written to by later copies."""
    transfer, totals, wanted = Transfer(), [], []
    for number in range(50):
        given = torch.full((64, 3, 256, 256), number % 7, dtype=torch.uint8).pin_memory()
        moved = transfer({"frame0": given}, GPU)["frame0"]
        torch.cuda._sleep(1_000_000)  # the step before it is still under way
        totals.append(moved.sum(dtype=torch.float64))
        wanted.append(float(given[0, 0, 0, 0]) * given.numel())
        del moved
    assert torch.stack(totals).tolist() == wanted
