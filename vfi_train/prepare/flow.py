"""`task=flow`: flow labels for every sample, from the target to both frames, as IFRNet and AMT train with them.

Source: IFRNet (CVPR 2022) and its repository's script for labels; the estimator is the user's choice.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from datamodules.file_dataset import StoredData
from datamodules.storage.store import Store
from datamodules.vimeo_septuplet import COUNTS, FRAMES, VimeoSeptuplet, flow_file, image_files
from vfi_train.errors import UserError
from vfi_train.prepare.dataset_issue import name_of
from vfi_train.prepare.derived_files import Arrays, Unit, Writing, write_derived
from vfi_train.prepare.estimators import FlowEstimator, Pair

Labels = Sequence[tuple[str, Pair]]  # files, and the two images that the flow is between


def make_flow(data: StoredData, output: Path, estimator: FlowEstimator, writing: Writing) -> None:
    """Write the flow labels of a dataset.

    Args:
        data: the dataset, with its option `flow` on.
        output: a folder in which `flow/` appears.
        estimator, writing: how they are computed and written.

    Raises:
        UserError: the dataset takes no labels, or labels made in another way exist.
    """
    targets = list(targets_of(data))
    if not targets:
        raise UserError(f"data={name_of(data)} takes no flow labels: data=vimeo90k and data=vimeo_septuplet do")
    at_once = max(1, estimator.batch_size // len(targets[0]))  # targets
    chunks = [
        [one for target in targets[start : start + at_once] for one in target]
        for start in range(0, len(targets), at_once)
    ]
    units = [
        Unit([name for name, _ in labels], partial(compute_labels, data.store, labels, estimator)) for labels in chunks
    ]
    height, width = data.store.read(targets[0][0][1][0], targets[0][0][0]).shape[:2]
    write_derived("flow", units, len(chunks[0]) * height * width * 8, output, estimator.facts, writing)


def targets_of(data: StoredData) -> Iterator[Labels]:
    """The labels of each target frame, under the dataset's names; each label once."""
    if isinstance(data, VimeoSeptuplet):
        for clip in (clip for name in COUNTS for clip in data.list_lines(name)):
            images = image_files(clip)
            for a in range(1, FRAMES - 1):
                others = [b for b in range(FRAMES) if b != a]
                yield [(flow_file(clip, a, b), (images[a], images[b])) for b in others]
        return
    seen = set()
    for item in itertools.chain(data.train_items() if data.trains else (), data.val_items()):
        if item.flow is not None and item.target is not None and item.flow not in seen:
            seen.add(item.flow)
            yield [(item.flow[0], (item.target, item.frame0)), (item.flow[1], (item.target, item.frame1))]


def compute_labels(store: Store, labels: Labels, estimator: FlowEstimator) -> Arrays:
    """The names of the labels, and their flows."""
    names, pairs = zip(*labels, strict=True)
    for name, (_, flow) in zip(names, estimator.flows(store, pairs), strict=True):
        yield name, flow
