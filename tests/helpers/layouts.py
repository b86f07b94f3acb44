"""Every dataset in its published layout, fabricated tiny: the same folders, list files and names, few small images.

    root = fabricate("vimeo90k", tmp_path)
    config = {**conf/data/vimeo90k.yaml, **LAYOUTS["vimeo90k"].options, "root": str(root)}

Frame k of a clip is the clip's texture moved k pixels to the right, so that flow labels are exact (except in the
columns that wrap around) and every image differs from every other.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from hydra import compose, initialize_config_module
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf

from datamodules.gopro import TEST_VIDEOS, TRAIN_VIDEOS
from datamodules.storage import flow_io
from vfi_train.config.targets import check_targets

ImageArray = np.ndarray
Size = tuple[int, int]


@dataclass(frozen=True)
class Layout:
    """How to fabricate a dataset.

    Args:
        make: writes it to a folder, for a size in pixels and a number of clips; returns what `data.root` is to be.
        size: default height and width.
        clips: default number of clips (of each list or split, where there are several).
        options: keys of `conf/data/NAME.yaml` that a tiny dataset needs to be other than published.
        trains: whether it has training samples.
    """

    make: Callable[[Path, Size, int], Path]
    size: Size = (64, 96)
    clips: int = 3
    options: dict[str, Any] = field(default_factory=dict)
    trains: bool = True


def fabricate(name: str, root: Path, *, size: Size | None = None, clips: int | None = None) -> Path:
    """Write the dataset `name` (a key of LAYOUTS) below the folder `root`; returns its `data.root`."""
    layout = LAYOUTS[name]
    root.mkdir(parents=True, exist_ok=True)
    return layout.make(root, size or layout.size, layout.clips if clips is None else clips)


def data(name: str, root: Path | str | None, **options: Any) -> Any:
    """The dataset of conf/data/NAME.yaml with the options of its tiny layout and further ones."""
    with initialize_config_module("conf", version_base="1.3"):
        config = compose(f"data/{name}").data
    layout = LAYOUTS.get(name, LAYOUTS.get(name.split("_")[0]))
    for key, value in {**(layout.options if layout else {}), **OPTIONS.get(name, {}), **options}.items():
        OmegaConf.update(config, key, value, merge=False)
    config.root = None if root is None else str(root)
    check_targets(OmegaConf.create({"data": config}))
    try:
        return instantiate(config, _convert_="all")
    except InstantiationException as error:
        raise error.__cause__ or error from None


def tiny_block(name: str, key: str, root: Path | None) -> list[str]:
    """Overrides that make a block of the configuration its tiny layout."""
    crop = f"data.{key}.transforms=[{{_target_: datamodules.transforms.RandomCrop, size: 32}}]"
    return [crop] if root is None else [crop, f"data.{key}.root={root}"]


def joint_data(*overrides: str) -> Any:
    with initialize_config_module("conf", version_base="1.3"):
        return instantiate(compose("train", overrides=["data=joint", *overrides]).data, _convert_="all")


def frame(clip: int, number: int, size: Size) -> ImageArray:
    """Frame `number` of the clip `clip`: H W 3, uint8, RGB, as it is on disk (PNG)."""
    height, width = size
    noise = np.random.default_rng(clip).integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    texture = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.roll(texture, number, axis=1)


def stored_map(clip: int, triple: tuple[int, int, int], size: Size) -> np.ndarray:
    """A stored distance map, H/2 W/2, float16: about the triple's time, here and there outside of 0..1."""
    start, middle, end = triple
    rng = np.random.default_rng((clip, *triple))
    around = rng.normal(scale=0.3, size=(size[0] // 2, size[1] // 2))
    return ((middle - start) / (end - start) + around).astype(np.float16)


def write(path: Path, image: ImageArray) -> None:
    """Write an RGB image and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fast = [cv2.IMWRITE_PNG_COMPRESSION, 1] if path.suffix == ".png" else []
    assert cv2.imwrite(str(path), image[..., ::-1], fast)


def vimeo90k(root: Path, size: Size, clips: int) -> Path:
    """Triplets with flow labels: `clips` in the training list, one fewer (at least one) in the test list."""
    root /= "vimeo_triplet"
    for number, clip in _lists(root, "tri_trainlist.txt", "tri_testlist.txt", clips):
        for i in range(3):
            write(root / "sequences" / clip / f"im{i + 1}.png", frame(number, i, size))
        (root / "flow" / clip).mkdir(parents=True)
        for i, x in enumerate((-1.0, 1.0)):
            flow_io.write(root / "flow" / clip / f"flow_t{i}.flo", np.full((*size, 2), (x, 0.0)))
    return root


def vimeo_septuplet(root: Path, size: Size, clips: int) -> Path:
    """Septuplets with the 70 distance maps of each clip, and the 30 flow labels from frames between the ends."""
    root /= "vimeo_septuplet"
    for number, clip in _lists(root, "sep_trainlist.txt", "sep_testlist.txt", clips):
        folder = root / "sequences" / clip
        for i in range(7):
            write(folder / f"im{i + 1}.png", frame(number, i, size))
        for triple in itertools.combinations(range(7), 3):
            for a, m, b in (triple, triple[::-1]):
                np.save(folder / f"dis_index_{a}_{m}_{b}.npy", stored_map(number, (a, m, b), size))
        (root / "flow" / clip).mkdir(parents=True)
        for a, b in itertools.product(range(1, 6), range(7)):
            if a == b:
                continue
            flow_io.write(root / "flow" / clip / f"flow_{a}_{b}.flo", np.full((*size, 2), (b - a, 0.0)))
    return root


def vimeo90k_maps(root: Path, size: Size, clips: int) -> Path:
    """Triplets with the two distance maps of each clip."""
    root = vimeo90k(root, size, clips)
    shutil.rmtree(root / "flow")
    for number, folder in enumerate(sorted((root / "sequences").glob("*/*"))):
        for triple in ((0, 1, 2), (2, 1, 0)):
            np.save(folder / f"dis_index_{'_'.join(map(str, triple))}.npy", stored_map(number, triple, size))
    return root


def x4k1000fps(root: Path, size: Size, clips: int) -> Path:
    """X-TRAIN: `clips` samples of 65 frames; X-TEST: one scene of 33 frames."""
    root /= "x4k1000fps"
    for number in range(clips):
        _clip(root / "train" / f"{number // 2 + 1:03d}" / f"occ{number:03d}.120_f0433", number, 65, size)
    _clip(root / "test" / "Type1" / "TEST01_003_f0433", 900, 33, size)
    return root


def gopro(root: Path, size: Size, clips: int) -> Path:
    """All 33 videos of nine frames; the first training video has `clips` groups."""
    root /= "GOPRO_Large_all"
    for folder, videos in (("train", TRAIN_VIDEOS), ("test", TEST_VIDEOS)):
        for number, video in enumerate(videos):
            count = 8 * clips + 3 if number == 0 and folder == "train" else 9  # two frames are left over
            _clip(root / folder / video, number + 100 * (folder == "test"), count, size, "{:06d}.png", first=47)
    return root


def gopro_flat(root: Path, size: Size, clips: int) -> Path:
    """The same with training and test videos side by side."""
    made = gopro(root, size, clips)
    for folder in ("train", "test"):
        for video in sorted((made / folder).iterdir()):
            video.rename(made / video.name)
        (made / folder).rmdir()
    return made


def adobe240(root: Path, size: Size, clips: int) -> Path:
    """Ten videos for each that the benchmark takes; 17 frames in those, nine in the others."""
    root /= "test_frames"
    for number in range(10 * clips):
        _clip(root / f"IMG_{number:04d}", number, 17 if number % 10 == 9 else 9, size, "{:05d}.png")
    return root


def snu_film(root: Path, size: Size, clips: int) -> Path:
    """The four lists, `clips` lines each, over a GoPro and a YouTube clip."""
    root /= "SNU-FILM"
    folders = ("test/GOPRO_test/GOPR0384_11_00", "test/YouTube_test/0000")
    for number, folder in enumerate(folders):
        _clip(root / folder, number, 16 + clips, size, "{:06d}.png", first=1)
    for split, gap in (("easy", 1), ("medium", 2), ("hard", 4), ("extreme", 8)):
        lines = []
        for line in range(clips):
            names = [f"data/SNU-FILM/{folders[line % 2]}/{line + 1 + gap * i:06d}.png" for i in range(3)]
            lines.append(" ".join(names))
        _list(root / f"test-{split}.txt", lines)
    return root


def ucf101(root: Path, size: Size, clips: int) -> Path:
    """Numbered folders of a triplet."""
    root /= "ucf101_interp_ours"
    for number in range(1, clips + 1):
        for i, name in enumerate(("frame_00", "frame_01_gt", "frame_02")):
            write(root / str(number) / f"{name}.png", frame(number, i, size))
    return root


def xiph(root: Path, size: Size, clips: int) -> Path:
    """The eight clips in folders, 2 * `clips` + 1 frames each, numbered from 001."""
    root /= "xiph"
    for number, clip in enumerate(_XIPH):
        _clip(root / clip, number, 2 * clips + 1, size, "{:03d}.png", first=1)
    return root


def xiph_flat(root: Path, size: Size, clips: int) -> Path:
    """The same as `CLIP-001.png` in one folder."""
    made = xiph(root, size, clips)
    for clip in _XIPH:
        for path in sorted((made / clip).iterdir()):
            path.rename(made / f"{clip}-{path.name}")
        (made / clip).rmdir()
    return made


def middlebury(root: Path, size: Size, clips: int) -> Path:
    """The twelve of Other with their true frames (two sizes), and the evaluation set without."""
    root /= "middlebury"
    for number, name in enumerate(_OTHER):
        at = size if number % 2 else (size[0] - 6, size[1] - 10)
        for i, path in enumerate(("other-data/{}/frame10", "other-gt-interp/{}/frame10i11", "other-data/{}/frame11")):
            write(root / f"{path.format(name)}.png", frame(number, i, at))
    for number, name in enumerate(_EVALUATION):
        for i in (10, 11):
            write(root / "eval-data" / name / f"frame{i}.png", frame(50 + number, i, size))
    return root


def hd(root: Path, size: Size, clips: int) -> Path:
    """The eleven videos, 4 * `clips` + 1 frames of `size` each, as planar YUV 4:2:0 of random bytes."""
    root /= "HD_dataset"
    for number, name in enumerate(_HD):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = np.random.default_rng(number).integers(0, 256, (4 * clips + 1) * size[0] * size[1] * 3 // 2)
        path.write_bytes(content.astype(np.uint8).tobytes())
    return root


def davis(root: Path, size: Size, clips: int) -> Path:
    """Clips of five JPEG frames."""
    root /= "DAVIS"
    for number, name in enumerate(("bear", "bike-packing", "blackswan", "bmx-bumps", "bmx-trees")[:clips]):
        _clip(root / "JPEGImages" / "480p" / name, number, 5, size, "{:05d}.jpg")
    return root


def atd12k(root: Path, size: Size, clips: int) -> Path:
    """Folders of a triplet."""
    root /= "datasets"
    for number in range(clips):
        for i in (1, 2, 3):
            write(root / "test_2k_540p" / f"Disney_v4_{number}_020864_s2" / f"frame{i}.png", frame(number, i, size))
    return root


def co3d(root: Path, size: Size, clips: int) -> Path:
    """`clips` objects to train on and one to test on, eleven views of each."""
    root /= "co3d"
    for number in range(clips + 1):
        split = "test" if number == clips else "train"
        folder = root / split / f"{110 + number}_13051_23361" / "images"
        _clip(folder, number, 11, size, "frame{:06d}.jpg", first=1)
    return root


FAULTS: dict[str, Callable[[Path], object]] = {  # what can happen to a file
    "missing": lambda path: path.unlink(),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-300]),
    "no image": lambda path: path.write_bytes(b"this is no image"),
}


def _lists(root: Path, train: str, test: str, clips: int) -> list[tuple[int, str]]:
    """Write Vimeo's two lists; returns (number, clip) of all clips."""
    names = {train: [f"00001/{i + 1:04d}" for i in range(clips)]}
    names[test] = [f"00002/{i + 1:04d}" for i in range(max(1, clips - 1))]
    root.mkdir(parents=True)
    for file, lines in names.items():
        _list(root / file, lines)
    return list(enumerate([*names[train], *names[test]]))


def _list(path: Path, lines: Sequence[str]) -> None:
    path.write_text("\n".join(lines) + "\n\n")  # the published lists end with a blank line, too


def _clip(folder: Path, clip: int, frames: int, size: Size, name: str = "{:04d}.png", first: int = 0) -> None:
    for number in range(frames):
        write(folder / name.format(first + number), frame(clip, number, size))


_XIPH = (
    *("BoxingPractice", "Crosswalk", "DrivingPOV", "FoodMarket"),
    *("FoodMarket2", "RitualDance", "SquareAndTimelapse", "Tango"),
)
_OTHER = (
    *("Beanbags", "Dimetrodon", "DogDance", "Grove2", "Grove3", "Hydrangea"),
    *("MiniCooper", "RubberWhale", "Urban2", "Urban3", "Venus", "Walking"),
)
_EVALUATION = ("Mequon", "Schefflera", "Urban", "Teddy", "Backyard", "Basketball", "Dumptruck", "Evergreen")
_HD = (
    *(f"HD544p_GT/Sintel_{name}_1280x544.yuv" for name in ("Alley2", "Market5", "Temple1", "Temple2")),
    *(f"HD720p_GT/{name}.yuv" for name in ("parkrun_1280x720_50", "shields_1280x720_60", "stockholm_1280x720_60")),
    *(f"HD1080p_GT/{name}.yuv" for name in ("BlueSky", "Kimono1_1920x1080_24", "ParkScene_1920x1080_24")),
    "HD1080p_GT/sunflower_1080p25.yuv",
)

_CROP = [{"_target_": "datamodules.transforms.RandomCrop", "size": 32}]
_TRAIN = {"batch_size": 2, "num_workers": 0, "transforms": _CROP, "val_batch_size": 1}
_TEST = {"num_workers": 0}
LAYOUTS = {  # by the names of conf/data
    "vimeo90k": Layout(vimeo90k, options=_TRAIN),
    "vimeo_septuplet": Layout(vimeo_septuplet, options={**_TRAIN, "val_targets": [1, 2, 3, 4, 5]}, size=(48, 64)),
    "vimeo90k_maps": Layout(
        vimeo90k_maps, options={**_TRAIN, "train_fraction": 1.0, "val_split": "test", "variant": "T"}
    ),
    "x4k1000fps": Layout(x4k1000fps, options=_TRAIN, size=(48, 64)),
    "gopro": Layout(gopro, options={**_TRAIN, "val_transforms": []}, size=(48, 64)),
    "adobe240": Layout(adobe240, options={**_TRAIN, "val_transforms": []}, clips=1),
    "snu_film": Layout(snu_film, options=_TEST, trains=False),
    "ucf101": Layout(ucf101, options=_TEST, trains=False),
    "xiph": Layout(xiph, options={**_TEST, "frames": 5}, clips=2, trains=False),
    "middlebury": Layout(middlebury, options=_TEST, trains=False),
    "hd": Layout(hd, options={**_TEST, "size": [64, 96]}, clips=1, trains=False),
    "davis": Layout(davis, options={**_TEST, "val_transforms": []}, trains=False),
    "atd12k": Layout(atd12k, options=_TEST, trains=False),
    "co3d": Layout(co3d, options={**_TRAIN, "packs": 3}),
}
OPTIONS = {"xiph": {"size": [32, 48]}, "co3d": {"val_transforms": []}}
