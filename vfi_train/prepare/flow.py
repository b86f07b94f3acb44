"""`task=flow`: flow labels for every sample, from the target to both frames, as IFRNet and AMT train with them.

Source: IFRNet (CVPR 2022) and its repository's script for labels; the estimator is the user's choice.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from omegaconf import DictConfig

from datamodules.file_dataset import StoredData
from datamodules.storage.store import Store
from datamodules.vimeo_septuplet import COUNTS, FRAMES, LAST, VimeoSeptuplet, flow_file, image_files
from vfi_train.errors import UserError
from vfi_train.prepare.dataset import name_of, output_folder, stored_dataset
from vfi_train.prepare.estimators import FlowFunction, Pair, estimator, flows
from vfi_train.prepare.making import Made, Unit, make

Labels = Sequence[tuple[str, Pair]]  # files, and the two images that the flow is between


def flow(config: DictConfig) -> None:
    """Make the flow labels of `config.data`; see conf/prepare.yaml.

    Raises:
        UserError: the dataset takes no labels, or those of another making are there.
    """
    data = stored_dataset(config, flow=True)
    targets = list(targets_of(data))
    if not targets:
        raise UserError(f"data={name_of(data)} takes no flow labels: data=vimeo90k and data=vimeo_septuplet do")
    function, facts = estimator(config)
    at_once = max(1, config.flow.batch_size // len(targets[0]))  # targets
    chunks = [
        [label for target in targets[start : start + at_once] for label in target]
        for start in range(0, len(targets), at_once)
    ]
    units = [
        Unit([name for name, _ in labels], LabelsOf(data.store, labels, function, config.flow.batch_size))
        for labels in chunks
    ]
    height, width = data.store.read(targets[0][0][1][0], targets[0][0][0]).shape[:2]
    make("flow", units, len(chunks[0]) * height * width * 8, output_folder(config, data.root), facts, config)


def targets_of(data: StoredData) -> Iterator[Labels]:
    """The labels of each target frame, as the dataset calls them; each label once."""
    if isinstance(data, VimeoSeptuplet):
        for clip in (clip for name in COUNTS for clip in data.list_lines(name)):
            images = image_files(clip)
            for a in range(1, LAST):
                others = [b for b in range(FRAMES) if b != a]
                yield [(flow_file(clip, a, b), (images[a], images[b])) for b in others]
        return
    seen = set()
    for item in itertools.chain(data.train_items() if data.trains else (), data.val_items()):
        if item.flow is not None and item.target is not None and item.flow not in seen:
            seen.add(item.flow)
            yield [(item.flow[0], (item.target, item.frame0)), (item.flow[1], (item.target, item.frame1))]


class LabelsOf:
    """Computes labels."""

    def __init__(self, store: Store, labels: Labels, function: FlowFunction, batch_size: int) -> None:
        self.store, self.labels, self.function, self.batch_size = store, labels, function, batch_size

    def __call__(self) -> Made:
        """Their names and flows."""
        names, pairs = zip(*self.labels, strict=True)
        for name, (_, found) in zip(names, flows(self.store, pairs, self.function, self.batch_size), strict=True):
            yield name, found
