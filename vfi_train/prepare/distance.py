"""`task=distance`: the distance index maps of clips, for every triple of their frames, forwards and backwards.

Source: InterpAny-Clearer (Zhong et al., ECCV 2024), section 3.1, and its repository's script: RAFT's flow, the formula
of `datamodules.storage.distance_maps`, half the size, float16, `dis_index_{start}_{target}_{end}.npy`.
"""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path

from datamodules.file_dataset import StoredData
from datamodules.storage.distance_maps import distance_map, shrink
from datamodules.storage.store import Store
from datamodules.vimeo_septuplet import distance_file, image_files, triples
from vfi_train.errors import UserError
from vfi_train.prepare.dataset_issue import name_of
from vfi_train.prepare.derived_files import Arrays, Unit, Writing, write_derived
from vfi_train.prepare.estimators import FlowEstimator
from vfi_train.ranges import Positive

CLIPS = {"vimeo_septuplet": 7, "vimeo90k": 3}  # frames of their clips


def make_distance_maps(
    data: StoredData, output: Path, ratio: Positive, estimator: FlowEstimator, writing: Writing
) -> None:
    """Write the distance maps of a dataset.

    Args:
        data: the dataset.
        output: a folder in which `sequences/` appears.
        ratio: maps are that much smaller than the frames.
        estimator, writing: how they are computed and written.

    Raises:
        UserError: the dataset takes none, or maps made in another way exist.
    """
    if name_of(data) not in CLIPS:
        raise UserError(f"data={name_of(data)} takes no distance maps: {' and '.join(CLIPS)} do")
    count = CLIPS[name_of(data)]
    clips = list(dict.fromkeys(clip for name in data.published for clip in data.list_lines(name)))
    height, width = data.store.read(image_files(clips[0], count)[0], clips[0]).shape[:2]
    if not 1 <= ratio <= min(height, width):
        raise UserError(f"distance.ratio={ratio} does not suit frames of {height}x{width}: the published one is 2")
    units = [
        Unit(
            [distance_file(clip, triple) for triple in triples(count)],
            partial(compute_maps, data.store, clip, count, ratio, estimator),
        )
        for clip in clips
    ]
    size = len(units[0].names) * ((height // ratio) * (width // ratio) * 2 + 128)
    write_derived("distance", units, size, output, {**estimator.facts, "ratio": ratio}, writing)


def compute_maps(store: Store, clip: str, count: int, ratio: int, estimator: FlowEstimator) -> Arrays:
    """Names and maps (float16) of one clip: the flow of each ordered pair of frames once, then all triples."""
    frames = image_files(clip, count)
    flows = dict(estimator.flows(store, list(itertools.permutations(frames, 2))))
    for start, target, end in triples(count):
        to_end, to_target = flows[frames[start], frames[end]], flows[frames[start], frames[target]]
        yield distance_file(clip, (start, target, end)), shrink(distance_map(to_end, to_target), ratio)
