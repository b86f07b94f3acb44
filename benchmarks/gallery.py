"""The gallery of the documentation: python -m benchmarks.gallery

Shipped weights on drawn scenes held out from their training (another stream of random numbers, and larger images):
each row one scene, its two frames on top of each other, frames made at three times, the true frame half way and how far
the made one is from it (yellow: 0.2), with the PSNR of the made one and of the mean of the two frames.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from datamodules.scenes.style import SceneStyle
from datamodules.synthetic import VAL_EPOCH, to_uint8
from vfi_train.inference.interpolator import Interpolator
from vfi_train.metrics.functional import psnr
from vfi_train.visualization import error_image, overlay

MODEL, WEIGHTS = "ifrnet_s", "ifrnet_s_synthetic"
SCENES = (3, 11, 20)  # numbers in the held-out stream
HEIGHT, WIDTH = 144, 192
TIMES = (0.25, 0.5, 0.75)
LINE = 20  # pixels of a line of text
OUTPUT = Path(__file__).parents[1] / "docs" / "images" / "gallery.png"


def main() -> None:
    """Make the image."""
    network = Interpolator(MODEL, weights=WEIGHTS, recursive=True)  # trained for the middle frame
    style = SceneStyle(HEIGHT, WIDTH, background_motion=3.0, object_motion=6.0, nonuniform=0.0)
    rows = [row(network, style, number) for number in SCENES]
    image = np.concatenate([np.concatenate(tiles, axis=1) for tiles in rows])
    cv2.imwrite(str(OUTPUT), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    print(OUTPUT)


def row(network: Interpolator, style: SceneStyle, number: int) -> list[np.ndarray]:
    """The labelled tiles of one scene."""
    scene = style.draw(np.random.default_rng((0, VAL_EPOCH, number)))
    frame0, frame1, target = (to_uint8(scene.render(time)) for time in (0.0, 1.0, 0.5))
    made = dict(zip(TIMES, network(frame0, frame1, list(TIMES)), strict=True))
    blend = (frame0.astype(np.float32) + frame1) / 2
    ours, plain = (decibels(x, target) for x in (made[0.5], blend))
    tiles = [("frame0 + frame1", overlay(tensor(frame0), tensor(frame1)))]
    tiles += [(f"made, time {time:g}", made[time]) for time in TIMES]
    tiles += [
        ("true, time 0.5", target),
        (f"{ours:.1f} dB, mean {plain:.1f}", error_image(tensor(made[0.5]), tensor(target))),
    ]
    return [labelled(*tile) for tile in tiles]


def decibels(frame: np.ndarray, target: np.ndarray) -> float:
    """PSNR of 8-bit levels."""
    return psnr(tensor(frame)[None], tensor(target)[None]).item()


def tensor(image: np.ndarray) -> torch.Tensor:
    """H W 3 in 0..255 as 3 H W in [0, 1]."""
    return torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)


def labelled(text: str, image: np.ndarray) -> np.ndarray:
    """The image under a line of text."""
    line = np.full((LINE, image.shape[1], 3), 255, np.uint8)
    cv2.putText(line, text, (4, LINE - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return np.pad(np.concatenate((line, image)), ((0, 2), (0, 2), (0, 0)), constant_values=255)


if __name__ == "__main__":
    main()
