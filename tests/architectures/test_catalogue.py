"""What every architecture of the catalogue keeps: a new one is tested by being listed."""

from __future__ import annotations

import copy
import dataclasses
import functools
import io
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.helpers.golden_cases import assert_near, frame
from vfi_train.architectures import Architecture, create_model, list_models
from vfi_train.architectures.base import count_parameters
from vfi_train.contract import Prediction
from vfi_train.inference.interpolator import Interpolator
from vfi_train.weights import load_published, published_state_dict

# A file for each family. Parameters were measured on the published networks, teachers counted (`ifrnet_tiny`,
# `ifrnet_context` and ATM-VFI at any time, `_t`, are ours). bfloat16: mean and largest difference of a frame under
# autocast; twice what was measured.
EXPECTED = {path.stem: json.loads(path.read_text()) for path in Path(__file__).with_name("expected").glob("*.json")}


def expected(family: str, *keys: str, got: object) -> Any:
    """An entry of a family's file; where there is none, the test says what to add."""
    value: Any = EXPECTED.get(family, {})
    for key in keys:
        if key not in value:
            pytest.fail(
                f"tests/architectures/expected/{family}.json has no entry {'/'.join(keys)}; this network: {got}"
            )
        value = value[key]
    return value


@functools.cache
def outline(name: str) -> Architecture:
    """The architecture without numbers in it, at no cost."""
    with torch.device("meta"):
        return create_model(name)


def smallest_of_each_class() -> list[str]:
    """The tests with many calls take one network of each class."""
    found: dict[type, tuple[int, str]] = {}
    for name in list_models():
        model = outline(name)
        entry = (count_parameters(model), name)
        found[type(model)] = min(entry, found.get(type(model), entry))
    return sorted(name for _, name in found.values())


ALL, CLASSES = list_models(), smallest_of_each_class()


@pytest.fixture(scope="module")
def model(request: pytest.FixtureRequest) -> Iterator[Architecture]:
    """Built once, used by all tests of one name, then dropped."""
    torch.manual_seed(0)
    built = create_model(request.param).eval()
    yield built
    assert not built.training, "a test left the shared model in training mode"


whole_catalogue = pytest.mark.parametrize("model", ALL, indirect=True)
each_class = pytest.mark.parametrize("model", CLASSES, indirect=True)


def side(model: Architecture) -> int:
    """The smallest side that the network takes."""
    step = max(model.size_multiple, model.full_size_multiple)
    return -(-model.min_size // step) * step


def pair(model: Architecture, height: int = 0, width: int = 0, batch: int = 1) -> tuple[Tensor, Tensor]:
    height, width = height or side(model), width or side(model)
    return frame(height, width, 0.0, 2, batch), frame(height, width, 1.0, 2, batch)


def tensors(prediction: Prediction) -> Iterator[Tensor]:
    for field in dataclasses.fields(prediction):
        value = getattr(prediction, field.name)
        for x in value if isinstance(value, list) else [value]:
            if isinstance(x, Prediction):
                yield from tensors(x)
            elif isinstance(x, Tensor):
                yield x


def assert_same(got: Prediction, expected: Prediction, tolerance: float = 0) -> None:
    for one, other in zip(tensors(got), tensors(expected), strict=True):
        assert_near(one, other, tolerance)


# --- the complete catalogue


@pytest.mark.parametrize("name", ALL)
def test_a_name_begins_with_its_module(name: str) -> None:
    """So that `create_model` imports no other family."""
    module = type(outline(name)).__module__.removeprefix("vfi_train.architectures.").partition(".")[0]
    assert name.startswith(module)


@pytest.mark.parametrize("name", ALL)
def test_number_of_parameters(name: str) -> None:
    count = count_parameters(outline(name))
    assert count == expected(outline(name).family, "parameters", name, got=count)


@whole_catalogue
def test_forward_and_backward_are_finite_and_reach_every_parameter(model: Architecture) -> None:
    trained = copy.deepcopy(model).train()
    got = trained(*pair(model), 0.5, target=frame(side(model), side(model), 0.5, 2))
    assert got.frame.shape == (1, 3, side(model), side(model))
    assert all(x.isfinite().all() for x in tensors(got))
    teacher = 0 if got.teacher is None else got.teacher.frame.mean()
    (got.frame.mean() + teacher).backward()
    gradients = {name: p.grad for name, p in trained.named_parameters()}
    assert [name for name, g in gradients.items() if g is None] == []
    assert [name for name, g in gradients.items() if not g.isfinite().all()] == []


# --- one network of each class: calls


@each_class
@torch.no_grad()
def test_many_times_from_one_encoding_equal_separate_calls(model: Architecture) -> None:
    frames = pair(model)
    times = [0.25, 0.5, 0.75] if model.arbitrary_time else [0.5, 0.5]
    encoding = model.encode(*frames)
    for time in times:
        decoded = model.decode(encoding, torch.full((1, 1, 1, 1), time))
        assert_same(decoded, model(*frames, time))


@each_class
@torch.no_grad()
def test_a_batch_equals_its_samples(model: Architecture) -> None:
    frame0, frame1 = pair(model, batch=2)
    times = torch.tensor([0.3, 0.6] if model.arbitrary_time else [0.5, 0.5]).view(2, 1, 1, 1)
    together = model(frame0, frame1, times)
    for i in range(2):
        single = model(frame0[i : i + 1], frame1[i : i + 1], times[i : i + 1])
        assert_near(together.frame[i : i + 1], single.frame, 1e-5)


@each_class
@torch.no_grad()
def test_the_same_call_gives_the_same_bits_and_leaves_the_frames_alone(model: Architecture) -> None:
    frames = pair(model)
    kept = [f.clone() for f in frames]
    assert_same(model(*frames), model(*frames))
    assert all(torch.equal(a, b) for a, b in zip(frames, kept, strict=True))


@each_class
@torch.no_grad()
def test_time_changes_the_prediction_or_is_refused(model: Architecture) -> None:
    frames = pair(model)
    if model.arbitrary_time:
        assert (model(*frames, 0.25).frame - model(*frames, 0.75).frame).abs().max() > 1e-5
    else:
        with pytest.raises(ValueError, match=r"only the middle frame .* got time 0.25"):
            model(*frames, 0.25)
    with pytest.raises(ValueError, match=r"got time 1.5|from 0 to 1; got 1.5"):
        model(*frames, 1.5)


@each_class
@torch.no_grad()
def test_maps_and_references_are_taken_or_refused(model: Architecture) -> None:
    frames, size = pair(model), side(model)
    plane = torch.full((1, 1, size, size), 0.3)
    if model.takes_time_map:
        assert_same(model(*frames, plane), model(*frames, 0.3), 1e-6)
    else:
        with pytest.raises(ValueError, match="one time per sample, not a map"):
            model(*frames, plane)
    reference = {"reference": frame(size, size, 0.1, 2), "reference_time": plane / 3}
    if model.takes_reference:
        assert (model(*frames, plane, **reference).frame - model(*frames, plane).frame).abs().max() > 1e-6
    else:
        with pytest.raises(ValueError, match="takes no reference frame"):
            model(*frames, 0.5, **reference)


@each_class
@torch.no_grad()
def test_context_is_taken_or_refused(model: Architecture) -> None:
    """Without it the nearest frames stand for it."""
    frames, size = pair(model), side(model)
    context = {"before": frame(size, size, -1.0, 2), "after": frame(size, size, 2.0, 2)}
    if model.takes_context:
        assert (model(*frames, **context).frame - model(*frames).frame).abs().max() > 1e-6
        assert_same(model(*frames, before=frames[0], after=frames[1]), model(*frames))
        with pytest.raises(ValueError, match="frames before and after of the two frames' shape"):
            model(*frames, after=context["after"][..., :-1])
    else:
        with pytest.raises(ValueError, match="takes two frames, none before or after them"):
            model(*frames, **context)


@each_class
@torch.no_grad()
def test_frames_of_any_size_go_through_padding(model: Architecture) -> None:
    size = side(model)
    for height, width in ((max(size - 3, 1), size + 5), (1, 2)):
        frame0, frame1 = frame(height, width, 0.0, 2), frame(height, width, 1.0, 2)
        got = Interpolator(model).predict(frame0, frame1)
        assert got.frame.shape == frame0.shape
        assert got.frame.isfinite().all()
        assert got.frame.min() >= 0
        assert got.frame.max() <= 1


@each_class
@torch.no_grad()
def test_sizes_are_enforced_with_a_clear_message(model: Architecture) -> None:
    name, size = type(model).__name__, side(model)
    with pytest.raises(ValueError, match=f"{name} takes .* multiples of .*; got {size}x{size + 1}: pad"):
        model(*pair(model, size, size + 1))
    with pytest.raises(ValueError, match=f"{name} takes frames of at least {model.min_size} pixels a side; got 1x"):
        model(*pair(model, 1, size))
    with pytest.raises(ValueError, match=f"{name} takes two frames of one shape B 3 H W; got"):
        model(pair(model)[0], pair(model, size, 2 * size)[1])


@each_class
@torch.no_grad()
def test_frames_of_two_shapes_one_after_the_other_equal_fresh_models(model: Architecture) -> None:
    """Both have one area, so that nothing that is cached only by area passes."""
    size = side(model)
    wide, tall = pair(model, size, 2 * size), pair(model, 2 * size, size)
    first, second = copy.deepcopy(model), copy.deepcopy(model)
    expected = [first(*wide), second(*tall)]
    assert_same(model(*wide), expected[0])
    assert_same(model(*tall), expected[1])
    assert_same(model(*wide), expected[0])


# --- one network of each class: weights


@each_class
@torch.no_grad()
def test_weights_go_to_another_model_and_through_the_published_names(model: Architecture) -> None:
    expected = model(*pair(model))
    for load in (torch.nn.Module.load_state_dict, load_published):
        other = another(model)
        assert (other(*pair(model)).frame - expected.frame).abs().max() > 1e-6
        load(other, model.state_dict() if load is not load_published else published_state_dict(model))
        assert_same(other(*pair(model)), expected)


def another(model: Architecture) -> Architecture:
    """A model of the same shape with other weights."""
    other = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(1)
    for p in other.parameters():
        p.copy_(p * (1 + 0.5 * torch.randn(p.shape, generator=generator)))
    return other


@each_class
@torch.no_grad()
def test_pickles_and_copies_give_the_same_bits(model: Architecture) -> None:
    expected = model(*pair(model))  # whatever a call keeps must survive, too
    assert_same(pickle.loads(pickle.dumps(model))(*pair(model)), expected)
    assert_same(copy.deepcopy(model)(*pair(model)), expected)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    kept = torch.load(file, weights_only=True)
    assert all(torch.equal(kept[name], tensor) for name, tensor in model.state_dict().items())


# --- one network of each class: kinds of numbers


@pytest.mark.slow  # where bfloat16 is emulated
@each_class
@torch.no_grad()
def test_bfloat16_autocast_stays_close(model: Architecture) -> None:
    exact = model(*pair(model))
    with torch.autocast("cpu", torch.bfloat16):
        got = model(*pair(model))
    assert all(x.isfinite().all() for x in tensors(got))
    difference = (got.frame.float() - exact.frame).abs()
    measured = [float(difference.mean()), float(difference.max())]
    mean, largest = expected(model.family, "bfloat16", got=f"mean and largest difference {measured}, to be doubled")
    assert difference.mean() <= mean
    assert difference.max() <= largest


@each_class
@torch.no_grad()
def test_channels_last_gives_the_same_numbers(model: Architecture) -> None:
    other = copy.deepcopy(model).to(memory_format=torch.channels_last)
    frames = [f.contiguous(memory_format=torch.channels_last) for f in pair(model)]
    assert_near(other(*frames).frame, model(*pair(model)).frame, 1e-5)


@each_class
@torch.no_grad()
def test_float64_works(model: Architecture) -> None:
    got = copy.deepcopy(model).double()(*(f.double() for f in pair(model)))
    assert got.frame.dtype == torch.float64
    assert_near(got.frame, model(*pair(model)).frame, 1e-5)
