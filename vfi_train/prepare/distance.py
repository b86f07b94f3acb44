"""`task=distance`: the distance index maps of clips, for every triple of their frames, forwards and backwards.

Source: InterpAny-Clearer (Zhong et al., ECCV 2024), section 3.1, and its repository's script: RAFT's flow, the formula
of `datamodules.storage.distance_maps`, half the size, float16, `dis_index_{start}_{target}_{end}.npy`.
"""

from __future__ import annotations

import itertools

from omegaconf import DictConfig

from datamodules.storage.distance_maps import distance_map, shrink
from datamodules.storage.store import Store
from datamodules.vimeo_septuplet import distance_file, image_files, triples
from vfi_train.errors import UserError
from vfi_train.prepare.dataset import name_of, output_folder, stored_dataset
from vfi_train.prepare.estimators import FlowFunction, estimator, flows
from vfi_train.prepare.making import Made, Unit, make

CLIPS = {"vimeo_septuplet": 7, "vimeo90k": 3}  # frames of their clips


def distance(config: DictConfig) -> None:
    """Make the distance maps of `config.data`; see conf/prepare.yaml.

    Raises:
        UserError: the dataset takes none, or those of another making are there.
    """
    data = stored_dataset(config)
    if name_of(data) not in CLIPS:
        raise UserError(f"data={name_of(data)} takes no distance maps: {' and '.join(CLIPS)} do")
    count = CLIPS[name_of(data)]
    clips = list(dict.fromkeys(clip for name in data.published for clip in data.list_lines(name)))
    height, width = data.store.read(image_files(clips[0], count)[0], clips[0]).shape[:2]
    ratio = config.distance.ratio
    if not 1 <= ratio <= min(height, width):
        raise UserError(f"distance.ratio={ratio} does not suit frames of {height}x{width}: the published one is 2")
    function, facts = estimator(config)
    units = [
        Unit(
            [distance_file(clip, triple) for triple in triples(count)],
            ClipMaps(data.store, clip, count, ratio, function, config.flow.batch_size),
        )
        for clip in clips
    ]
    size = len(units[0].names) * ((height // ratio) * (width // ratio) * 2 + 128)
    make("distance", units, size, output_folder(config, data.root), {**facts, "ratio": ratio}, config)


class ClipMaps:
    """Computes the maps of one clip: the flow of each ordered pair of frames once, then all triples."""

    def __init__(
        self, store: Store, clip: str, count: int, ratio: int, function: FlowFunction, batch_size: int
    ) -> None:
        self.store, self.clip, self.count, self.ratio = store, clip, count, ratio
        self.function, self.batch_size = function, batch_size

    def __call__(self) -> Made:
        """Their names and the maps, float16."""
        frames = image_files(self.clip, self.count)
        pairs = list(itertools.permutations(frames, 2))
        found = dict(flows(self.store, pairs, self.function, self.batch_size))
        for start, target, end in triples(self.count):
            whole = found[frames[start], frames[end]]
            part = found[frames[start], frames[target]]
            yield distance_file(self.clip, (start, target, end)), shrink(distance_map(whole, part), self.ratio)
