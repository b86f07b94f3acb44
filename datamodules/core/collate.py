"""Samples become a batch: one allocation, one copy of each sample's pixels.

In a worker process the memory is shared, so that the batch moves to the main process without another copy. Images
stay uint8 and channels-last in memory (H W 3; their shape is B 3 H W) until they are on the device.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import get_worker_info

from datamodules.core.fast_copy import fast_copy
from datamodules.core.samples import Sample
from datamodules.core.shared_memory import SharedBatch
from vfi_train.contract import FRAMES, TIMES, Batch
from vfi_train.errors import DataError

IMAGES = (*FRAMES, "flow")
ALIGNMENT = 64  # bytes


def collate(samples: list[Sample]) -> Batch:
    """The samples (see `SampleSource`) as a batch; frames keep their dtype.

    In a worker process it is a `SharedBatch`, which arrives as the batch. Where broken samples were skipped, the
    batch holds the reasons under "skipped".

    Raises:
        DataError: they differ in size.
    """
    fields, size = _layout(samples)
    texts = {"key": [sample["key"] for sample in samples]}
    skipped = [reason for sample in samples for reason in sample.get("skipped", ())]
    label = (fields, texts | {"skipped": skipped} if skipped else texts)
    if get_worker_info() is None:
        contents = np.empty(size, np.uint8).data
        _fill(contents, fields, samples)
        return _batch(contents, label)
    batch = SharedBatch(size, _batch, label)
    _fill(batch.contents, fields, samples)
    return batch  # type: ignore[return-value]


class Field(NamedTuple):
    """Where an entry of the batch lies in its memory."""

    offset: int
    dtype: str
    shape: tuple[int, ...]  # B H W C

    def array(self, contents: memoryview) -> NDArray:
        """The entry."""
        return np.frombuffer(contents, self.dtype, int(np.prod(self.shape)), self.offset).reshape(self.shape)


def _layout(samples: list[Sample]) -> tuple[dict[str, Field], int]:
    """Where each entry goes, and the size of all in bytes."""
    fields: dict[str, Field] = {}
    end = 0
    for name in (name for name in samples[0] if name in IMAGES or name in TIMES):
        kinds = {(np.shape(s[name]), np.float32 if name in TIMES else s[name].dtype) for s in samples}
        if len(kinds) > 1:
            raise DataError(
                f"the samples {samples[0]['key']} ... {samples[-1]['key']} have {name} of different sizes "
                f"{sorted(shape for shape, _ in kinds)}, which one batch cannot hold: crop them to one size, or use "
                "batches of 1"
            )
        ((shape, kind),) = kinds
        dtype = np.dtype(kind)
        shape = (len(samples), *(shape or (1, 1)))  # a time for all pixels
        fields[name] = Field(end, dtype.str, shape if len(shape) == 4 else (*shape, 1))
        size = int(np.prod(shape)) * dtype.itemsize
        end += size + -size % ALIGNMENT
    return fields, end


def _fill(contents: memoryview, fields: dict[str, Field], samples: list[Sample]) -> None:
    for name, field in fields.items():
        for place, sample in zip(field.array(contents), samples, strict=True):
            fast_copy(sample[name] if name in IMAGES else np.asarray(sample[name])[..., None], place)


def _batch(contents: memoryview, label: tuple[dict[str, Field], dict[str, list[str]]]) -> Batch:
    """Tensors B C H W, views of `contents`."""
    fields, texts = label
    tensors = {name: torch.from_numpy(field.array(contents)).permute(0, 3, 1, 2) for name, field in fields.items()}
    return {**texts, **tensors}  # type: ignore[typeddict-item]
