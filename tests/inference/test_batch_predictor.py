"""Pairs as batches: times, precision, and memory that runs out (see also interpolate/test_frame_stream.py)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.helpers.videos import Blend, pan
from vfi_train.errors import UserError
from vfi_train.inference.batch_predictor import BatchPredictor, ImagePair, tf32
from vfi_train.inference.interpolator import Interpolator

CPU = "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate"


class Limited(Blend):
    """Runs out of memory for more than `most` pairs from its second frame on."""

    def __init__(self, most: int, error: Exception) -> None:
        super().__init__()
        self.most, self.error = most, error

    def decode(self, encoding, time, **extras):
        if self.frames and len(encoding.frame0) > self.most:
            raise self.error
        return super().decode(encoding, time, **extras)


def image_pairs(*times: list) -> list[ImagePair]:
    return [ImagePair(*pan(2, seed=seed), own) for seed, own in enumerate(times)]


def expected(pair: ImagePair, k: int) -> np.ndarray:
    time = np.asarray(pair.times[k])[..., None]
    return ((1 - time) * pair.frame0 + time * pair.frame1).transpose(2, 0, 1) / 255


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError(CPU)])
def test_pairs_go_on_one_by_one_where_the_batch_does_not_fit(error: Exception) -> None:
    pairs = image_pairs([0.25, 0.5, 0.75], [0.1, 0.5, 0.9])
    found = list(BatchPredictor(Interpolator(Limited(1, error))).predict(pairs))
    assert [list(indices) for indices, _ in found] == [[0, 1], [0], [0], [1], [1]]  # the first frames are not repeated
    taken = [0, 0]
    for indices, frames in found:
        for index, frame in zip(indices, frames, strict=True):
            assert np.abs(frame.numpy() - expected(pairs[index], taken[index])).max() < 1e-5
            taken[index] += 1
    assert taken == [3, 3]


def test_a_pair_that_does_not_fit_is_an_error_without_tiles() -> None:
    predictor = BatchPredictor(Interpolator(Limited(0, RuntimeError(CPU))))
    with pytest.raises(UserError, match="the memory does not hold a pair of frames of 64x96: take another device"):
        list(predictor.predict(image_pairs([0.25, 0.5])))


def test_other_errors_are_raised() -> None:
    predictor = BatchPredictor(Interpolator(Limited(0, RuntimeError("a bug"))))
    with pytest.raises(RuntimeError, match="a bug"):
        list(predictor.predict(image_pairs([0.25, 0.5])))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_images_of_all_types_are_scaled_to_one(dtype: type) -> None:
    levels = {np.uint8: 255, np.uint16: 65535}.get(dtype, 1)
    images = [np.full((4, 6, 3), 0.2 * levels, dtype), np.full((4, 6, 3), levels, dtype)]
    tensor = BatchPredictor(Interpolator(Blend())).to_tensor(images)
    assert tensor.shape == (2, 3, 4, 6)
    assert tensor.dtype == torch.float32
    assert tensor[:, 0, 0, 0].tolist() == pytest.approx([0.2, 1.0])


def test_tf32_is_restored() -> None:
    before = torch.backends.cuda.matmul.allow_tf32
    with tf32(not before):
        assert torch.backends.cuda.matmul.allow_tf32 is not before
    assert torch.backends.cuda.matmul.allow_tf32 is before
