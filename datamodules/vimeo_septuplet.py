"""Vimeo90K septuplets: 91,701 clips of seven frames of 448x256 pixels (Xue et al., IJCV 2019), for any time.

Three frames are drawn from a clip; the one in between is the target. This is RIFE's setting for RIFE-m, also used by
EMA-VFI and InterpAny-Clearer. The four variants are InterpAny-Clearer's (Zhong et al., ECCV 2024).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from datamodules.core.samples import Sample, SampleSource
from datamodules.file_dataset import Files, StoredData, evenly_spaced, one_of, random_triplet, read_labels
from datamodules.storage.distance_maps import PREPARATIONS, TIME_EPSILON, MapPreparation, is_map, time_index
from datamodules.storage.store import Store
from datamodules.vimeo90k import check_fraction, split
from vfi_train.contract import TIMES
from vfi_train.errors import DataError
from vfi_train.ranges import Fraction

COUNTS = {"sep_trainlist.txt": 64_612, "sep_testlist.txt": 7_824}
FRAMES = 7
WITH_CONTEXT = (2, 3, 4)  # the only triple whose neighbours, 0 and 6, are in the clip
Triple = tuple[int, int, int]  # positions of the start, the target and the end
MAX_TRIES = 100  # draws until a sample has finite distance maps


class VimeoSeptuplet(StoredData):
    """Triples of septuplets as published: `sep_trainlist.txt`, `sep_testlist.txt`, `sequences/00001/0001/im1.png` ...

    A training sample is three different frames of the seven, drawn uniformly; with probability `reverse` they are
    played backwards. A validation sample is im1, im7 and one of the frames between, or one triple of each clip.

    Args:
        root: the folder `vimeo_septuplet` that holds these.
        variant: the network's time input. T: a number. D: a distance map, from the clip's files
            `dis_index_0_3_6.npy` (start, target, end). R adds a reference, a frame from start to end that may be the
            target itself: TR has constant maps, DR those of the files.
        maps: how distance maps are prepared (a family of `distance_maps.PREPARATIONS`): rife, amt_s, ifrnet, ema_vfi.
        reverse: probability of playing a triple backwards; its map is then the one seen from its own first frame.
        flow: give flow labels from `flow/00001/0001/flow_3_0.flo` (from the target to the start), `flow_3_6.flo`.
        train_fraction: train on this fraction of the training list, from its beginning (RIFE, AMT, IFRNet: 0.95).
        val_split: validate on the "test" list, or on the "rest" of the training list (RIFE).
        val_targets: which frames between im1 (0) and im7 (6) are validation targets; "random": one triple of each clip,
            drawn as in training but not reversed, and the same every time (the published trainers draw again).
        val_maps: distance maps of validation samples: "stored" (computed with the target), or "uniform".
        **data: see `StoredData`.
    """

    folder = "vimeo_septuplet"
    origin = "vimeo_septuplet.zip, http://toflow.csail.mit.edu"
    published = COUNTS
    unit = "septuplets"
    frames: ClassVar[int] = FRAMES  # of a clip
    image_size = (256, 448)
    arbitrary_time = True
    has_context = True

    def __init__(
        self,
        *,
        variant: Literal["T", "D", "TR", "DR"] = "T",
        maps: str = "rife",
        reverse: Fraction = 0.5,
        flow: bool = False,
        train_fraction: Fraction = 1.0,
        val_split: Literal["test", "rest"] = "test",
        val_targets: Sequence[int] | Literal["random"] = (1, 2, 3, 4, 5),
        val_maps: Literal["stored", "uniform"] = "stored",
        **data: Any,
    ) -> None:
        super().__init__(**data)
        one_of("data.variant", variant, ("T", "D", "TR", "DR"))
        one_of("data.maps", maps, sorted(name.removesuffix("_d") for name in PREPARATIONS if name.endswith("_d")))
        one_of("data.val_maps", val_maps, ("stored", "uniform"))
        for target in () if val_targets == "random" else val_targets:
            one_of("data.val_targets", target, range(1, self.frames - 1))
        self.variant, self.maps, self.reverse = variant, maps, reverse
        self.gives_flow, self.gives_maps, self.gives_reference = flow, variant != "T", "R" in variant
        self.train_fraction, self.val_split = check_fraction(train_fraction, val_split)
        self.val_targets, self.val_maps = val_targets, val_maps

    def give_context(self) -> None:
        """See `VFIDataModule`: in every clip, im1 and im7 are around the inputs im3 and im5; the target is im4."""
        super().give_context()
        self.arbitrary_time = False

    def train_source(self) -> SampleSource:
        """Random triples of the training clips."""
        clips = split(self.list_lines(self._lists[0]), self.train_fraction)[0]
        self._check_clip(clips[0], "D" in self.variant, self.gives_flow)
        return RandomTriples(self.store, clips, self)

    def val_source(self) -> SampleSource:
        """The frames `val_targets` between im1 and im7 of the validation clips, or a triple of each."""
        if self.val_split == "test":
            clips = self.list_lines(self._lists[1])
        else:
            clips = split(self.list_lines(self._lists[0]), self.train_fraction)[1]
        stored = "D" in self.variant and self.val_maps == "stored"
        self._check_clip(clips[0], stored, flow=False)
        if self.context:
            targets = [(clip, WITH_CONTEXT) for clip in clips]
        elif self.val_targets == "random":
            targets = [
                (clip, random_triplet(np.random.default_rng((0, i)), self.frames)) for i, clip in enumerate(clips)
            ]
        else:
            triples = [(0, int(target), self.frames - 1) for target in self.val_targets]
            targets = list(itertools.product(clips, triples))
        return ClipTargets(self.store, evenly_spaced(targets, self.val_samples), self, stored)

    def counts(self) -> dict[str, int]:
        """The lengths of the lists."""
        return {name: len(self.list_lines(name)) for name in self._lists}

    def file_groups(self) -> list[Files]:
        """See `StoredData`."""
        return [self._files(name) for name in self._lists]

    @property
    def _lists(self) -> list[str]:
        """The training list and the test list."""
        return list(self.published)

    def _files(self, list_: str) -> Files:
        for clip in self.list_lines(list_):
            names = clip_files(clip, "D" in self.variant, self.gives_flow, self.frames)
            yield from ((name, clip) for name in names)

    def _check_clip(self, clip: str, maps: bool, flow: bool) -> None:
        self.require(image_files(clip, self.frames), clip)
        derived = clip_files(clip, maps, flow, self.frames)[self.frames :]
        missing = [name for name in derived if not self.store.exists(name)]
        if missing:
            kind = "flow label" if missing[0].endswith(".flo") else "distance map"
            instead = "data.flow=false" if kind == "flow label" else "data.variant=T or TR"
            raise DataError(
                f"{self.root}/{missing[0]}, a {kind} of the first clip, is missing: make them for all clips, or train "
                f"without ({instead})"
            )


class RandomTriples:
    """A `SampleSource`: one random triple of each clip."""

    def __init__(self, store: Store, clips: list[str], data: VimeoSeptuplet) -> None:
        self.store, self.clips, self.frames = store, clips, data.frames
        self.reverse, self.flow, self.transforms = data.reverse, data.gives_flow, data.transforms
        self.stored, self.reference = "D" in data.variant, "R" in data.variant
        self.maps = PREPARATIONS[f"{data.maps}_{'dr' if self.reference else 'd'}"]
        self.context = data.context

    def __len__(self) -> int:
        return len(self.clips)

    def sample(self, index: int, rng: np.random.Generator | None) -> Sample:
        """A triple of clip `index`, or of another where its maps are not finite in the crop (no motion)."""
        rng = rng or np.random.default_rng((0, index))
        for _ in range(MAX_TRIES):
            sample = self._draw(self.clips[index], rng)
            if all(np.isfinite(sample[name]).all() for name in TIMES if name in sample):
                return sample
            index = int(rng.integers(len(self.clips)))
        raise DataError(
            f"{MAX_TRIES} samples one after the other had distance maps that are not finite, lastly {sample['key']}: "
            "compute the maps of data.root again"
        )

    def _draw(self, clip: str, rng: np.random.Generator) -> Sample:
        start, middle, end = WITH_CONTEXT if self.context else random_triplet(rng, self.frames)
        between = int(rng.integers(start, end + 1)) if self.reference else None
        if rng.random() < self.reverse:
            start, end = end, start
        key = f"{clip}/{start}-{middle}-{end}" + ("" if between is None else f"-r{between}")
        frames = {"frame0": start, "target": middle, "frame1": end}
        if self.context:
            frames |= {"before": 2 * start - end, "after": 2 * end - start}
        times = {"time": middle}
        if between is not None:
            frames["reference"] = times["reference_time"] = between
        images = image_files(clip, self.frames)
        sample: Sample = {name: self.store.read(images[i], key) for name, i in frames.items()}
        for name, i in times.items():
            if self.stored:
                sample[name] = stored_map(self.store, clip, (start, i, end), key, self.maps, sample["frame0"].shape)
            else:
                sample[name] = time_index(start, i, end)
        if self.flow:
            files = [flow_file(clip, middle, i) for i in (start, end)]
            sample["flow"] = read_labels(self.store, files, key, sample["frame0"].shape)
        sample = self.transforms({**sample, "key": key}, rng)
        return {**sample, **{name: self._finish(sample[name], sample["frame0"].shape) for name in times}}

    def _finish(self, time: Any, shape: tuple[int, ...]) -> Any:
        if self.stored:
            return self.maps.finish(np.asarray(time))
        return np.full(shape[:2], min(time, 1.0), np.float32) if self.reference else time


class ClipTargets:
    """A `SampleSource` of (clip, triple of its frames in order)."""

    def __init__(self, store: Store, targets: Sequence[tuple[str, Triple]], data: VimeoSeptuplet, stored: bool) -> None:
        self.store, self.targets, self.frames = store, targets, data.frames
        self.transforms, self.stored = data.val_transforms, stored
        self.maps = PREPARATIONS["rife_dr_test" if (data.maps, data.variant) == ("rife", "DR") else "test"]
        # As published: numbers with a small constant in the divisor, constant maps without.
        self.epsilon = TIME_EPSILON if data.variant == "T" else 0.0
        self.context = data.context

    def __len__(self) -> int:
        return len(self.targets)

    def pair(self, index: int) -> str:
        """See `HasPairs`."""
        return self.targets[index][0]

    def sample(self, index: int, rng: np.random.Generator | None) -> Sample:
        """Read target `index`."""
        clip, triple = self.targets[index]
        key = f"{clip}/{'-'.join(map(str, triple))}"
        frames = dict(zip(("frame0", "target", "frame1"), triple, strict=True))
        if self.context:
            frames |= {"before": 0, "after": FRAMES - 1}
        images = image_files(clip, self.frames)
        sample: Sample = {name: self.store.read(images[i], key) for name, i in frames.items()}
        time: Any = time_index(*triple, self.epsilon)
        if self.stored:
            time = stored_map(self.store, clip, triple, key, self.maps, sample["frame0"].shape, time)
        sample.update(key=key, pair=clip, time=time)
        return self.transforms(sample, rng or np.random.default_rng((0, index)))


def stored_map(
    store: Store,
    clip: str,
    triple: Triple,
    key: str,
    maps: MapPreparation,
    shape: tuple[int, ...],
    fill: float | None = None,
) -> np.ndarray:
    """The distance map of (start, middle, end) at the size of a frame; 0 at the start itself, 1 at the end.

    Where it holds NaN, a pixel that does not move at all, it takes `fill`.

    Raises:
        DataError: the file cannot be read, or holds no map of that frame.
    """
    start, middle, end = triple
    if middle in (start, end):
        return np.full(shape[:2], float(middle == end), np.float32)
    file, size = distance_file(clip, triple), (shape[0], shape[1])
    stored = store.read_array(file, key)
    if not is_map(stored, size):
        shown = f"{stored.dtype} {'x'.join(map(str, stored.shape))}"
        raise DataError(
            f"sample {key}: the distance map {store.root / file} holds {shown}, its frames are {size[0]}x{size[1]}: "
            "make the maps again (task=distance)"
        )
    return maps.load(stored if fill is None else np.where(np.isnan(stored), fill, stored), size)


def clip_files(clip: str, maps: bool, flow: bool, count: int = FRAMES) -> list[str]:
    """The files of a clip of `count` frames: these, and of seven the 70 distance maps and 42 flow labels."""
    names = image_files(clip, count)
    if maps:
        names += [distance_file(clip, triple) for triple in triples(count)]
    if flow:
        names += [flow_file(clip, a, b) for a, b in itertools.permutations(range(count), 2) if 0 < a < count - 1]
    return names


def image_files(clip: str, count: int = FRAMES) -> list[str]:
    """The images of a clip."""
    return [f"sequences/{clip}/im{i + 1}.png" for i in range(count)]


def triples(count: int = FRAMES) -> list[Triple]:
    """Start, target and end: all positions of a clip in order, each forwards and backwards."""
    return [triple for forward in itertools.combinations(range(count), 3) for triple in (forward, forward[::-1])]


def distance_file(clip: str, triple: Triple) -> str:
    """The file of the distance map of (start, middle, end)."""
    return f"sequences/{clip}/dis_index_{'_'.join(map(str, triple))}.npy"


def flow_file(clip: str, target: int, other: int) -> str:
    """The file of the flow from frame `target` to another."""
    return f"flow/{clip}/flow_{target}_{other}.flo"
