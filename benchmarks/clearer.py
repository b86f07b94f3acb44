"""What distance maps gain where the time is ambiguous, from finished runs: python -m benchmarks.clearer [RUNS]

    for seed in 1 2 3; do
        for variant in t d; do python -m vfi_train experiment=synthetic_$variant seed=$seed name=seed$seed; done
    done
    python -m benchmarks.clearer

On synthetic scenes whose parts speed up and slow down, the two frames give the direction of motion but not the distance
at a time. For each seed, a network that gets the time ([T]) is compared with one that gets the distance
([D]). Writes docs/clearer.md and an image for each size.

Source of the comparison: InterpAny-Clearer (Zhong et al., ECCV 2024).
"""

from __future__ import annotations

import argparse
import datetime
import json
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import matplotlib
import numpy as np
import torch
import yaml
from hydra.utils import instantiate

from benchmarks.learning import versions
from benchmarks.results import table_row
from vfi_train.config.build_network import build_network
from vfi_train.inference.interpolator import Interpolator
from vfi_train.metrics.functional import psnr
from vfi_train.runtime.devices import core_count

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SEEDS = (1, 2, 3)
SIZES = (64, 128)  # pixels a side of the scenes: as trained, and with objects twice as large
SAMPLES = 256  # held-out scenes of each size
MOVING = 2.0  # pixels from frame 0 to frame 1, from which on a part is a moving one
LUMA = np.array((0.299, 0.587, 0.114))
IMAGES = 4  # scenes in the image: of the first 64, those that are furthest from where the time has them
SIDE = 1.92  # of an image in inches of 100 pixels

Sample = dict[str, Any]


class Scores(NamedTuple):
    """Means over the held-out scenes."""

    psnr: float  # dB
    moving: float  # dB, of moving parts
    sharpness: float  # of moving parts: variance of the Laplacian, over that of the target
    detail: float  # of moving parts: how much of the target's Laplacian is there, where it belongs


def main() -> None:
    """Measure the runs and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="?", default=ROOT / "runs", help="the folder of the runs")
    runs = parser.parse_args().runs
    torch.set_num_threads(1)
    found = {size: measured(runs, size) for size in SIZES}
    (DOCS / "clearer.md").write_text(page(found, config_of(runs / "synthetic_t-seed1")))
    (runs / "clearer.json").write_text(json.dumps(found, indent=1) + "\n")


def measured(runs: Path, size: int) -> dict[str, list[Scores]]:
    """The scores of each row, seed by seed, on scenes of a size; the first seed's are drawn."""
    samples = val_split(config_of(runs / "synthetic_d-seed1"), size)
    found: dict[str, list[Scores]] = {row: [] for row in ROWS}
    made: dict[str, list[np.ndarray]] = {}
    for seed in SEEDS:
        by_time, by_map = (network(runs / f"synthetic_{variant}-seed{seed}") for variant in "td")
        for row, predict, time in zip(ROWS, (by_time, by_map, by_map), ("number", "number", "time"), strict=True):
            frames = [predict(s["frame0"], s["frame1"], [s[time]])[0] for s in samples]
            found[row].append(scores(frames, samples))
            made.setdefault(row, frames)
            print(f"{size} pixels, seed {seed}, {row}: {found[row][-1]}", flush=True)
    draw(samples, made, DOCS / "images" / f"clearer_{size}.png")
    return found


COLUMNS = ("PSNR (dB)", "PSNR of moving parts (dB)", "sharpness of moving parts", "their detail")
ROWS = ("[T]: the time", "[D]: the time in every pixel", "[D]: distance maps")


def config_of(run: Path) -> dict[str, Any]:
    """What was trained."""
    return yaml.safe_load((run / "config.yaml").read_text())


def network(run: Path) -> Interpolator:
    """The best checkpoint of a run."""
    return Interpolator(build_network(config_of(run)).eval(), weights=run)


def val_split(config: dict[str, Any], size: int) -> list[Sample]:
    """Held-out scenes with `time` (the map), `number` (the time) and `motion` (pixels, H W)."""
    sources = {}
    for maps in (True, False):
        options = {"maps": maps, "size": size, "val_samples": SAMPLES}
        data = instantiate({**config["data"], **options}, _convert_="all")
        sources[maps] = data.val_source()
    samples = []
    for index in range(SAMPLES):
        sample = sources[True].sample(index, None)
        flow = sample["flow"]  # from the target to frame 0 and to frame 1
        sample["motion"] = np.hypot(*np.moveaxis(flow[..., 2:] - flow[..., :2], 2, 0))
        sample["moving"] = sample["motion"] >= MOVING
        sample["number"] = sources[False].sample(index, None)["time"]
        samples.append(sample)
    return samples


# --- numbers


def scores(frames: list[np.ndarray], samples: list[Sample]) -> Scores:
    """Of one network's frames."""
    rows = []
    for frame, sample in zip(frames, samples, strict=True):
        target, moving = sample["target"], sample["moving"]
        full = psnr(tensor(frame)[None], tensor(target)[None]).item()
        if not moving.any():
            rows.append((full, *[np.nan] * 3))
            continue
        part = 10 * np.log10(255**2 / np.mean((frame[moving].astype(float) - target[moving]) ** 2))
        there, wanted = (laplacian(image)[moving] for image in (frame, target))
        rows.append((full, part, there.var() / wanted.var(), (there * wanted).sum() / (wanted**2).sum()))
    return Scores(*(float(mean) for mean in np.nanmean(rows, axis=0)))


def laplacian(frame: np.ndarray) -> np.ndarray:
    """Of the luma, H W."""
    return cv2.Laplacian(frame @ LUMA, cv2.CV_64F)


def tensor(frame: np.ndarray) -> torch.Tensor:
    """3 H W in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1) / 255


# --- the page


HEAD = """# Distance maps where time is ambiguous

{network}, {steps:,} steps of batch {batch} on `data=synthetic` from `weights={weights}`, {seeds} seeds. Every part of
a scene moves in a straight line at a changing speed of its own (`data.nonuniform=1 data.curved=false`): the two frames
give the direction, and only the target gives the distance. [T] (`experiment=synthetic_t`) gets the time,
[D] (`experiment=synthetic_d`) how far each pixel of frame 0 has moved (InterpAny-Clearer, Zhong et al., ECCV 2024).
Made by `python -m benchmarks.clearer` on {when}: {cores} CPU cores ({machine}), torch {torch}, lightning {lightning}.

{samples} held-out scenes at random times, mean and standard deviation over seeds. Moving parts are those that move
{moving:g} pixels or more from frame to frame. Their sharpness is the variance of the Laplacian over the target's, which
artefacts raise too; their detail is how much of the target's Laplacian is at the right place (1: all of it).
"""


TAIL = """The maps are computed from the target, so this is an upper bound; without maps, give the time in every pixel,
or draw them by hand. The images are seed 1 on the scenes that differ most from uniform motion, each with its PSNR.
IFRNet reads a map at 1/16 of the size, at 64 pixels as 4x4 values, which an object shares with its surroundings:
there [D] is not ahead in each image, and larger objects gain more. At 128 pixels, a size that neither was trained on,
[T] varies between seeds: those with the lowest PSNR have the highest variance of the Laplacian, in the wrong places.

## One object moves while the other stays

Maps drawn by hand: the weights of seed 1 (`weights=ifrnet_tiny_d_synthetic`, `model=ifrnet_tiny`), two frames in which
both discs move by five pixels, a curve for each, and the halves of the image as their masks
(`vfi_train.inference.manipulation`). On
the left the map keeps the red disc in place and moves the blue one from a tenth to nine tenths of its path; on the
right the reverse. Made by `python -m benchmarks.manipulation`, which prints the position of each disc in every frame;
`tests/inference/test_manipulation.py` limits its error to 0.7 pixels.

![A red and a blue disc, each moving while the other stays](images/manipulation.gif)
"""


def page(found: dict[int, dict[str, list[Scores]]], config: dict[str, Any]) -> str:
    """docs/clearer.md."""
    lines = [
        HEAD.format(
            network=f"`{config['model']['_target_'].rpartition('.')[2]}`",
            steps=config["trainer"]["max_steps"],
            batch=config["data"]["batch_size"],
            weights=config["weights"],
            seeds=len(SEEDS),
            samples=SAMPLES,
            moving=MOVING,
            when=datetime.date.today(),
            cores=core_count(),
            **versions(),
        ),
    ]
    for size, by_row in found.items():
        lines += [f"## Scenes of {size}x{size} pixels", "", table_row("input", *COLUMNS), table_row(*["---"] * 5)]
        for row in ROWS:
            cells = np.array(by_row[row]).T
            lines.append(table_row(row, *(f"{c.mean():.3f} ± {c.std(ddof=1):.3f}" for c in cells)))
        for seed, without, given in zip(SEEDS, by_row[ROWS[0]], by_row[ROWS[2]], strict=True):
            gains = (b - a for a, b in zip(without, given, strict=True))
            lines.append(table_row(f"maps over time, seed {seed}", *(f"{gain:+.3f}" for gain in gains)))
        lines += ["", f"![[T] and [D] beside the target, {size} pixels](images/clearer_{size}.png)", ""]
    return "\n".join([*lines, TAIL])


def draw(samples: list[Sample], made: dict[str, list[np.ndarray]], path: Path) -> None:
    """The scenes where the time misleads most: both frames overlaid, what each network made, the target."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    astray = [float((np.abs(s["time"] - s["number"]) * s["motion"]).mean()) for s in samples]  # pixels
    chosen = sorted(range(64), key=lambda index: -astray[index])[:IMAGES]
    columns = ("both frames", *ROWS, "target", "distance map")
    figure, axes = pyplot.subplots(
        IMAGES, len(columns), figsize=(len(columns) * SIDE, IMAGES * (SIDE + 0.2)), layout="constrained"
    )
    for line, index in zip(axes, chosen, strict=True):
        s = samples[index]
        overlay = (s["frame0"].astype(np.uint16) + s["frame1"]) // 2
        images = [overlay.astype(np.uint8), *(made[row][index] for row in ROWS), s["target"], s["time"]]
        for axis, column, image in zip(line, columns, images, strict=True):
            axis.imshow(image, vmin=0, vmax=1, interpolation="nearest")
            axis.set_axis_off()
            said = ""
            if column in ROWS:
                said = f"\n{psnr(tensor(image)[None], tensor(s['target'])[None]).item():.1f} dB"
            elif column == "distance map":
                said = f"\ntime {s['number']:.2f}, map {s['time'].min():.2f} to {s['time'].max():.2f}"
            axis.set_title(column + said, fontsize=7)
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
