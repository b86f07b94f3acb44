"""Benchmarks measured directly: files read one by one, metrics by SciPy, without the program's own code."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import correlate1d
from skimage.color import rgb2yuv
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from datamodules.storage.distance_maps import PREPARATIONS
from datamodules.storage.yuv import to_rgb
from tests.helpers.toy_benchmark import predict

ImageArray = np.ndarray


@dataclass
class Sample:
    frame0: ImageArray  # H W 3, RGB, float64 in [0, 1]
    target: ImageArray
    frame1: ImageArray
    time: Any = 0.5  # a number, or a map H W
    sequence: str = ""


def image(path: Path) -> ImageArray:
    return cv2.imread(str(path))[..., ::-1] / 255


def samples(benchmark: str, split: str, root: Path, time: str = "number") -> Iterator[Sample]:
    """The samples of a fabricated benchmark; `time`: the kind of a septuplet's time (see `septuplets`)."""
    if benchmark == "vimeo90k":
        for clip in (root / "tri_testlist.txt").read_text().split():
            yield Sample(*(image(root / "sequences" / clip / f"im{i}.png") for i in (1, 2, 3)))
    elif benchmark == "ucf101":
        for folder in sorted(root.iterdir()):
            yield Sample(*(image(folder / f"{n}.png") for n in ("frame_00", "frame_01_gt", "frame_02")))
    elif benchmark == "snu_film":
        for line in (root / f"test-{split}.txt").read_text().strip().splitlines():
            yield Sample(*(image(root / path.removeprefix("data/SNU-FILM/")) for path in line.split()))
    elif benchmark == "snu_film_arb":
        factor = int(split[1:])
        name = {4: "medium", 8: "hard", 16: "extreme"}[factor]
        for line in (root / f"test-{name}.txt").read_text().strip().splitlines():
            first = root / line.split()[0].removeprefix("data/SNU-FILM/")
            frames = [image(first.with_name(f"{int(first.stem) + k:06d}.png")) for k in range(factor + 1)]
            yield from (Sample(frames[0], frames[k], frames[-1], k / factor) for k in range(1, factor))
    elif benchmark == "middlebury":
        for folder in sorted((root / "other-data").iterdir()):
            true = root / "other-gt-interp" / folder.name / "frame10i11.png"
            yield Sample(image(folder / "frame10.png"), image(true), image(folder / "frame11.png"))
    elif benchmark == "atd12k":
        for folder in sorted((root / "test_2k_540p").iterdir()):
            yield Sample(*(image(folder / f"frame{i}.png") for i in (1, 2, 3)))
    elif benchmark == "xiph":
        for clip in sorted(root.iterdir()):
            frames = [cv2.imread(str(path))[..., ::-1] for path in sorted(clip.iterdir())]
            frames = [resized(f, (32, 48)) if split == "2k" else f[16:-16, 24:-24] for f in frames]
            for i in (1, 3):
                yield Sample(frames[i - 1] / 255, frames[i] / 255, frames[i + 1] / 255)
    elif benchmark.startswith("x_test"):
        steps = range(4, 32, 4) if benchmark == "x_test" else [16]
        for scene in sorted((root / "test").glob("*/*")):
            frames = [image(path).astype(np.float32) for path in sorted(scene.iterdir())]
            frames = [resized(f, (40, 56)) if split == "2k" else f for f in frames]
            yield from (Sample(frames[0], frames[k], frames[32], k / 32) for k in steps)
    elif benchmark.startswith("hd"):
        factor = int(benchmark[-2])
        for video in sorted(root.glob(f"HD{split}_GT/*.yuv" if split != "all" else "*/*.yuv")):
            content = np.fromfile(video, np.uint8).reshape(-1, 64 * 96 * 3 // 2)
            frames = [to_rgb(frame, 64, 96) / 255 for frame in content]
            for start in range(0, len(frames) - factor, factor):
                for k in range(1, factor):
                    yield Sample(frames[start], frames[start + k], frames[start + factor], k / factor, video.stem)
    elif benchmark in ("gopro", "adobe240"):
        videos = sorted((root / "test").iterdir()) if benchmark == "gopro" else sorted(root.iterdir())[9::10]
        for video in videos:
            frames = [cv2.imread(str(p))[..., ::-1] / 255 for p in sorted(video.iterdir())]
            frames = [f[f.shape[0] // 2 - 16 :, f.shape[1] // 2 - 16 :][:32, :32] for f in frames]
            for start in range(0, len(frames) - 8, 8):
                yield from (Sample(frames[start], frames[start + k], frames[start + 8], k / 8) for k in range(1, 8))
    elif benchmark == "co3d":
        for scene in sorted((root / "test").iterdir()):
            frames = [image(path) for path in sorted((scene / "images").iterdir())]
            yield from (Sample(frames[i], frames[i + 1], frames[i + 2]) for i in (0, 3, 6))
    elif benchmark == "davis":
        for clip in sorted((root / "JPEGImages" / "480p").iterdir()):
            frames = [image(path) for path in sorted(clip.iterdir())]
            yield from (Sample(*frames[i : i + 3]) for i in range(0, len(frames) - 2, 2))
    elif benchmark == "vimeo_septuplet":
        yield from septuplets(root, time)
    else:
        raise KeyError(benchmark)


def septuplets(root: Path, kind: str) -> Iterator[Sample]:
    """`kind`: "number" (with a small constant), "uniform" (without), "map5" or "map9" (the stored map, blurred)."""
    for clip, k in itertools.product((root / "sep_testlist.txt").read_text().split(), range(1, 6)):
        folder = root / "sequences" / clip
        time: Any = k / (6 + 1e-6) if kind == "number" else k / 6
        if kind.startswith("map"):
            stored = np.load(folder / f"dis_index_0_{k}_6.npy").astype(np.float32)
            preparation = PREPARATIONS["test" if kind == "map5" else "rife_dr_test"]
            time = preparation.load(stored, (2 * len(stored), 2 * stored.shape[1]))
        yield Sample(image(folder / "im1.png"), image(folder / f"im{k + 1}.png"), image(folder / "im7.png"), time)


def resized(frame: ImageArray, size: tuple[int, int]) -> ImageArray:
    return cv2.resize(np.ascontiguousarray(frame), size[::-1], interpolation=cv2.INTER_AREA)


def predicted(
    s: Sample,
    *,
    multiple: int = 1,
    canvas: bool = False,
    fill: float | None = None,
    scale: float = 1.0,
    bgr: bool = False,
    flip_hw: tuple[int, ...] | None = None,
    steps: int = 0,
    dim: bool = False,
) -> ImageArray:
    """The toy network's prediction, H W 3, RGB, for frames padded to a multiple (on all sides, or with a value, `fill`,
    at the right and bottom), or at the top left of a black 480x640 canvas; the mean with that for flipped frames
    (`flip_hw`); in `steps` by references.
    """

    def iterated(frame0: Tensor, frame1: Tensor, time: Tensor) -> Tensor:
        if not steps:
            return predict(frame0, frame1, time, scale, dim=dim)
        reference = frame0
        for j in range(1, steps + 1):
            reference = predict(frame0, frame1, time * j / steps, scale, reference, dim)
        return reference

    height, width = s.frame0.shape[:2]
    down, across = (480 - height, 640 - width) if canvas else (-height % multiple, -width % multiple)
    top, left = (0, 0) if canvas or fill is not None else (down // 2, across // 2)
    pad = (left, across - left, top, down - top)
    frames = [tensor(f[..., ::-1] if bgr else f) for f in (s.frame0, s.frame1)]
    constant = 0.0 if canvas else fill
    frames = [F.pad(f, pad, mode="replicate" if constant is None else "constant", value=constant) for f in frames]
    time = torch.as_tensor(np.asarray(s.time, np.float32)).reshape(1, 1, *np.shape(s.time) or (1, 1))
    time = F.pad(time, pad, mode="replicate") if np.ndim(s.time) else time
    out = iterated(frames[0], frames[1], time)
    if flip_hw:
        out = (out + iterated(frames[0].flip(flip_hw), frames[1].flip(flip_hw), time.flip(flip_hw)).flip(flip_hw)) / 2
    out = out.clamp(0, 1)[0, :, top : top + height, left : left + width]
    result = out.double().permute(1, 2, 0).numpy()
    return result[..., ::-1] if bgr else result


def tensor(image: ImageArray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image)).float().permute(2, 0, 1)[None]


def psnr(prediction: ImageArray, target: ImageArray, *, rounded: bool = False, luma: bool = False) -> float:
    prediction = np.round(prediction * 255) / 255 if rounded else prediction
    if luma:
        y, x = (rgb2yuv(p)[..., 0] * 255 for p in (prediction, target))
        return float(20 * np.log10(255 / np.sqrt(np.mean((x - y) ** 2))))
    return float(-10 * np.log10(np.mean((prediction - target) ** 2)))


def ssim(prediction: ImageArray, target: ImageArray, *, rounded: bool = False) -> float:
    """The 3-D variant, as specified."""
    prediction = np.round(prediction * 255) / 255 if rounded else prediction
    window = np.exp(-((np.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def smooth(x: ImageArray) -> ImageArray:
        for axis in range(3):
            x = correlate1d(x, window, axis, mode="nearest")
        return x

    a, b = smooth(prediction), smooth(target)
    u, v = smooth(prediction**2) - a * a, smooth(target**2) - b * b
    w = smooth(prediction * target) - a * b
    c1, c2 = 0.01**2, 0.03**2
    return float(np.mean((2 * a * b + c1) * (2 * w + c2) / ((a * a + b * b + c1) * (u + v + c2))))


def ssim_skimage(prediction: ImageArray, target: ImageArray) -> float:
    """On uint8 images, with scikit-image's defaults."""
    p, t = (np.round(x * 255).astype(np.uint8) for x in (prediction, target))
    return float(structural_similarity(p, t, data_range=255, channel_axis=2))


def psnr_skimage(prediction: ImageArray, target: ImageArray) -> float:
    p, t = (np.round(x * 255).astype(np.uint8) for x in (prediction, target))
    return float(peak_signal_noise_ratio(t, p, data_range=255))


def ie(prediction: ImageArray, target: ImageArray) -> float:
    return float(np.mean(np.abs(np.round(255 * prediction) - np.round(255 * target))))
