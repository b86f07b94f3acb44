"""How fast networks are evaluated, beside a plain loop: python -m benchmarks.evaluate [--device cuda --batch 8 --lpips]

The plain loop takes one target at a time: it decodes three images, pads, predicts, and computes PSNR and SSIM, with
the 11x11x11 window as one convolution, as the published scripts do; with --lpips also LPIPS (AlexNet, with random
weights), where `evaluate` computes a batch together. Beside it the same loop with the program's SSIM, so
that it shows what reading ahead, scoring beside, batches and one encoding for many times give by themselves. All take
turns in one run on the same files; the fastest round of each counts. Their averages must agree.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor

from benchmarks.results import write_section
from datamodules.file_dataset import Item, Items
from datamodules.storage.store import open_store
from datamodules.transforms import Compose
from losses.backbones import FILES
from losses.learned import lpips_network
from vfi_train.architectures import Architecture, create_model
from vfi_train.evaluate.averages import averages
from vfi_train.evaluate.frame_cache import cache_frames
from vfi_train.evaluate.measure import measure
from vfi_train.evaluate.predictor import Predictor
from vfi_train.evaluate.protocol import Settings
from vfi_train.evaluate.scorer import Scorer
from vfi_train.inference.padding import Padding, padded_size
from vfi_train.metrics.functional import ssim3d
from vfi_train.runtime.devices import core_count
from vfi_train.weights import load_weights

METRICS: dict[str, dict[str, str]] = {"psnr": {}, "ssim": {"variant": "3d"}}
TOLERANCES = {"psnr": 1e-3, "ssim": 1e-5, "lpips_alex": 1e-5}
Averages = dict[str, float]
Metric = Callable[[Tensor, Tensor], float]  # of images 1 3 H W


def main() -> None:
    """Make the files, take turns, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ifrnet_s")
    parser.add_argument("--weights", default=None, help="shipped weights or a file; fresh ones without")
    parser.add_argument("--size", type=int, nargs=2, default=(256, 448))
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lpips", action="store_true", help="LPIPS, too")
    parser.add_argument("--results", action="store_true", help="write the table into RESULTS.md")
    given = parser.parse_args()
    torch.manual_seed(0)
    model = create_model(given.model).eval()
    if given.weights:
        load_weights(model, given.weights)
    model.to(given.device)
    own = copy.deepcopy(model)  # evaluating changes how a network lies in memory
    lines = [
        f"`{given.model}` at {given.size[0]}x{given.size[1]} on {given.device}, batch {given.batch}"
        f"{', with LPIPS' if given.lpips else ''}; samples/s.\n",
        "| benchmark | plain loop | with the program's SSIM | evaluate | times plain | times the second |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    counts = {"triplets (time 1/2)": 1} | ({"8x (seven times)": 7} if model.arbitrary_time else {})
    with tempfile.TemporaryDirectory() as folder:
        backbones = Path(folder) / "backbones" if given.lpips else None
        others = {"lpips_alex": single_lpips(backbones, given.device)} if backbones else {}
        scorer = Scorer({**METRICS, **{name: {} for name in others}}, backbones)
        scorer.to(torch.device(given.device))
        for name, count in counts.items():
            root = Path(folder) / name
            items = make(root, given.pairs if count == 1 else max(2, given.pairs // 6), count, given.size)
            ways: list[Callable[[], Averages]] = [
                partial(plain, model, root, items, {"ssim": plain_ssim, **others}),
                partial(plain, model, root, items, {"ssim": lambda x, y: ssim3d(x, y).item(), **others}),
                partial(ours, own, root, items, given.batch, scorer),
            ]
            lines.append(row(name, len(items), ways, given.rounds))
    table = "\n".join(lines)
    print(table)
    if given.results:
        write_section(
            *("evaluate:lpips", "Evaluation with LPIPS") if given.lpips else ("evaluate", "Evaluation"), table
        )


def row(name: str, samples: int, ways: list[Callable[[], Averages]], rounds: int) -> str:
    """Take turns; a row of the table."""
    seconds = [float("inf")] * len(ways)
    found: list[Averages] = [{}] * len(ways)
    for _ in range(rounds + 1):  # the first warms up, and counts only if nothing was faster
        for i, way in enumerate(ways):
            began = time.perf_counter()
            found[i] = way()
            seconds[i] = min(seconds[i], time.perf_counter() - began)
    for averaged in found:
        assert all(abs(value - found[0][column]) < TOLERANCES[column] for column, value in averaged.items()), found
    rates = [samples / s for s in seconds]
    ratios = [rates[2] / rates[0], rates[2] / rates[1]]
    return f"| {name} | {rates[0]:.2f} | {rates[1]:.2f} | {rates[2]:.2f} | {ratios[0]:.2f} | {ratios[1]:.2f} |"


def make(folder: Path, pairs: int, times: int, size: tuple[int, int]) -> list[Item]:
    """Clips of moving texture as PNG files; neighbouring pairs share a frame where there are many times."""
    rng = np.random.default_rng(0)
    height, width = size
    texture = rng.integers(0, 256, (height // 8, width // 4, 3), dtype=np.uint8)
    wide = cv2.resize(texture, (2 * width, height), interpolation=cv2.INTER_CUBIC)
    wide = np.clip(wide + rng.normal(0, 4, wide.shape), 0, 255).astype(np.uint8)
    folder.mkdir(parents=True)
    items = []
    step = times + 1
    for p in range(pairs):
        for k in range(step + 1):
            shift = 2 * (p * step + k) % width
            cv2.imwrite(str(folder / f"{p:03d}_{k}.png"), wide[:, shift : shift + width])
        names = [f"{p:03d}_{k}.png" for k in range(step + 1)]
        items += [Item(f"{p}/{k}", names[0], names[-1], names[k], k / step, f"{p}") for k in range(1, step)]
    return items


def ours(model: Architecture, root: Path, items: list[Item], batch: int, scorer: Scorer) -> Averages:
    """The program's own way."""
    source = cache_frames(Items(open_store(root), items, Compose([])))
    predictor = Predictor(model, Settings("common", METRICS))
    rows = measure(source, range(len(items)), predictor, scorer, batch=batch, workers=min(8, core_count()))
    return averages(rows, scorer.scores)


@torch.inference_mode()
def plain(model: Architecture, root: Path, items: list[Item], metrics: dict[str, Metric]) -> Averages:
    """One target at a time."""
    device = next(model.parameters()).device
    found: dict[str, list[float]] = {name: [] for name in ("psnr", *metrics)}
    for item in items:
        frame0, target, frame1 = (read(root / str(name), device) for name in (item.frame0, item.target, item.frame1))
        size = (frame0.shape[-2], frame0.shape[-1])
        padding = Padding.between(size, padded_size(size, model))
        if model.channel_order == "bgr":
            frame0, frame1 = frame0.flip(1), frame1.flip(1)
        frame = padding.crop(model(padding.pad(frame0), padding.pad(frame1), item.time).frame)
        frame = frame.flip(1) if model.channel_order == "bgr" else frame
        found["psnr"].append((-10 * (frame - target).square().mean().log10()).item())
        for name, metric in metrics.items():
            found[name].append(metric(frame, target))
    return {name: float(np.mean(values)) for name, values in found.items()}


def read(path: Path, device: torch.device) -> Tensor:
    """An image as 1 3 H W."""
    image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    return torch.from_numpy(image).to(device).permute(2, 0, 1)[None].float() / 255


def single_lpips(folder: Path, device: str) -> Metric:
    """LPIPS of an image, of the package, with a random AlexNet, whose weights are written to the folder."""
    folder.mkdir()
    features = torchvision.models.alexnet(weights=None).features.state_dict()
    torch.save({f"features.{key}": value for key, value in features.items()}, folder / FILES["alexnet"])
    network = lpips_network("alex", folder).to(device)
    return lambda x, y: network(2 * x - 1, 2 * y - 1).item()


def plain_ssim(x: Tensor, y: Tensor) -> float:
    """The 3-D variant as written in the papers' scripts: five convolutions with an 11x11x11 window."""
    taps = torch.exp(-((torch.arange(11, device=x.device) - 5.0) ** 2) / (2 * 1.5**2))
    taps = taps / taps.sum()
    window = (taps[:, None, None] * taps[:, None] * taps)[None, None]

    def smooth(v: Tensor) -> Tensor:
        return F.conv3d(F.pad(v[:, None], (5, 5, 5, 5, 5, 5), mode="replicate"), window)

    a, b = smooth(x), smooth(y)
    u, v, w = smooth(x * x) - a * a, smooth(y * y) - b * b, smooth(x * y) - a * b
    c1, c2 = 0.01**2, 0.03**2
    return (((2 * a * b + c1) * (2 * w + c2)) / ((a * a + b * b + c1) * (u + v + c2))).mean().item()


if __name__ == "__main__":
    main()
