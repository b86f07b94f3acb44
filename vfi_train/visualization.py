"""Images for researchers: overlays, errors, flows, masks. All functions give uint8 arrays H W 3, RGB."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from datamodules.storage.atomic_write import write_bytes
from datamodules.storage.image_io import encode_image
from vfi_train.architectures.layers.splat import coverage
from vfi_train.contract import Batch, Prediction
from vfi_train.inference.conversion import quantise
from vfi_train.metrics.functional import psnr

TILE_HEIGHT = 224  # smaller frames are enlarged by an integer factor, at most to this height
TILE_WIDTH = 640  # wider frames are shrunk to this
LINE = 22  # height of a line of text
GAP = 4
LARGE_ERROR = 0.2
# The Middlebury colour wheel (Baker et al., IJCV 2011): red to yellow in 15 steps, yellow to green in 6, ...
CORNERS = ((255, 0, 0), (255, 255, 0), (0, 255, 0), (0, 255, 255), (0, 0, 255), (255, 0, 255), (255, 0, 0))
STEPS = (15, 6, 4, 11, 13, 6)


def sample_strip(batch: Batch, prediction: Prediction, index: int = 0) -> np.ndarray:
    """One sample as a row of labelled tiles.

    Inputs overlaid, prediction (with its PSNR), target, error, both flows (on the scale of the longest vector, which
    the label gives), mask; fields that the prediction lacks are left out. Flows are those from the target time to the
    frames, or, of networks that splat, the motion of each frame's pixels to the other frame, with a tile of where they
    arrive at the target time.

    Args:
        batch: frames, target, time and key, RGB.
        prediction: of the same samples, RGB.
        index: which sample of the batch.
    """
    frame, target = prediction.frame[index], batch["target"][index]
    decibels = psnr(frame[None], target[None]).item()
    tiles = [
        ("frame0 + frame1", overlay(batch["frame0"][index], batch["frame1"][index])),
        (f"prediction {decibels:.2f} dB", frame_image(frame)),
        ("target", frame_image(target)),
        ("error (yellow: 0.2)", error_image(frame, target)),
    ]
    size = (int(frame.shape[-2]), int(frame.shape[-1]))
    time = batch["time"][index].float().mean().item()
    for kind, maps in (
        ("flow to", (prediction.flow0, prediction.flow1)),
        ("motion of", (prediction.forward_flow0, prediction.forward_flow1)),
    ):
        flow0, flow1 = (_finest(flows, index, size, in_pixels=True) for flows in maps)
        longest = max((_longest(flow) for flow in (flow0, flow1) if flow is not None), default=0.0)
        for name, flow in (("frame0", flow0), ("frame1", flow1)):
            if flow is not None:
                tiles.append((f"{kind} {name}, max {longest:.1f} px", flow_image(flow, longest)))
        if kind == "motion of" and flow0 is not None and flow1 is not None:
            tiles.append(("red, blue: only frame0, 1", arrival_image(time * flow0, (1 - time) * flow1)))
    mask = _finest(prediction.mask, index, size)
    if mask is not None:
        tiles.append(("mask (white: frame0)", mask_image(mask)))
    return _strip(f"{batch['key'][index]}   time {time:.3f}", tiles)


def frame_image(frame: Tensor) -> np.ndarray:
    """A frame 3 H W in [0, 1]."""
    return quantise(frame.detach().float()).movedim(0, -1).contiguous().cpu().numpy()


def overlay(frame0: Tensor, frame1: Tensor) -> np.ndarray:
    """The mean of two frames 3 H W, in which moving objects appear twice."""
    return frame_image((frame0.float() + frame1.float()) / 2)


def error_image(prediction: Tensor, target: Tensor) -> np.ndarray:
    """The largest error of a pixel's three channels, black to yellow; errors from 0.2 on are brightest."""
    error = (prediction.detach().float() - target.float()).abs().amax(dim=0)
    grey = quantise(error / LARGE_ERROR).cpu().numpy()
    return cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)


def mask_image(mask: Tensor) -> np.ndarray:
    """A mask 1 H W in [0, 1]: white for frame0, black for frame1."""
    return frame_image(mask.expand(3, -1, -1))


def arrival_image(flow0: Tensor, flow1: Tensor) -> np.ndarray:
    """Where splatted pixels arrive. White: of both frames; red, blue: only of frame0, of frame1; black: of neither.

    Args:
        flow0: 2 H W, from frame0 to the target time.
        flow1: the same from frame1.
    """
    first, second = (coverage(flow[None])[0] > 0 for flow in (flow0, flow1))
    return frame_image(torch.cat((first, first & second, second)).float())


def flow_image(flow: Tensor, longest: float | None = None) -> np.ndarray:
    """A flow 2 H W (pixels, x then y) as colours: direction is hue, length is saturation.

    Args:
        flow: of any length; non-finite vectors are black.
        longest: the length in pixels of full saturation (longer vectors are darker); None: the longest of this image.

    Source: the colour wheel of Baker et al. (IJCV 2011).
    """
    flow = flow.detach().float().cpu()
    valid = flow.isfinite().all(dim=0)
    flow = torch.where(valid, flow, 0)
    image = _on_wheel(flow.numpy(), _longest(flow) if longest is None else longest)
    return np.where(valid.numpy()[..., None], np.round(255 * image), 0).astype(np.uint8)


def grid(images: list[np.ndarray]) -> np.ndarray:
    """Images one under another, left-aligned on white."""
    width = max(image.shape[1] for image in images)
    return np.concatenate([_canvas(image, width) for image in images])


def save_png(path: str | Path, image: np.ndarray) -> Path:
    """Write an image (uint8 H W 3, RGB) atomically; its folder is made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, encode_image(image, ".png"))
    return path


def _on_wheel(flow: np.ndarray, longest: float) -> np.ndarray:
    """Colours H W 3 in [0, 1]."""
    u, v = flow / max(longest, 1e-12)
    length = np.hypot(u, v)
    wheel = _wheel()
    # Flow to the left is in the middle of the wheel: angle 0 is the opposite direction.
    place = (np.arctan2(-v, -u) / np.pi + 1) / 2 * (len(wheel) - 1)
    first = np.floor(place).astype(int)
    rest = (place - first)[..., None]
    hue = (1 - rest) * wheel[first] + rest * wheel[(first + 1) % len(wheel)]
    length = length[..., None]
    return np.where(length <= 1, 1 - length * (1 - hue), 0.75 * hue)


def _wheel() -> np.ndarray:
    """The 55 colours, 55 3 in [0, 1]."""
    places = np.cumsum((0, *STEPS))
    corners = np.array(CORNERS) / 255
    colours = [np.interp(np.arange(places[-1]), places, corners[:, c]) for c in range(3)]
    return np.stack(colours, axis=1)


def _longest(flow: Tensor) -> float:
    """Length of the longest finite vector of a flow 2 H W."""
    length = flow.detach().float().norm(dim=0)
    return length[length.isfinite()].max().item() if length.isfinite().any() else 0.0


def _finest(maps: list[Tensor] | None, index: int, size: tuple[int, int], in_pixels: bool = False) -> Tensor | None:
    """The finest map of a sample, resized to the frame; several fields (N C h w) are averaged; None if absent."""
    if not maps:
        return None
    x = maps[-1][index].detach().float()
    x = x.mean(dim=0) if x.ndim == 4 else x
    if tuple(x.shape[-2:]) == size:
        return x
    factor = size[1] / x.shape[-1] if in_pixels else 1.0
    return F.interpolate(x[None], size, mode="nearest")[0] * factor


def _strip(title: str, tiles: list[tuple[str, np.ndarray]]) -> np.ndarray:
    """Labelled tiles in a row under a title."""
    row = np.concatenate([_labelled(label, _fitted(image)) for label, image in tiles], axis=1)
    return np.concatenate((_text(title, row.shape[1]), row))


def _labelled(label: str, image: np.ndarray) -> np.ndarray:
    tile = np.concatenate((_text(label, image.shape[1]), image))
    return cv2.copyMakeBorder(tile, 0, GAP, 0, GAP, cv2.BORDER_CONSTANT, value=(255, 255, 255))


def _fitted(image: np.ndarray) -> np.ndarray:
    """Small images enlarged by an integer factor, so that pixels stay squares; wide ones shrunk."""
    height, width = image.shape[:2]
    if width > TILE_WIDTH:
        return cv2.resize(image, (TILE_WIDTH, round(height * TILE_WIDTH / width)), interpolation=cv2.INTER_AREA)
    factor = max(1, min(TILE_HEIGHT // height, math.ceil(TILE_WIDTH / width)))
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def _text(text: str, width: int) -> np.ndarray:
    """A line of black text on white, cut where it does not fit."""
    line = np.full((LINE, width, 3), 255, np.uint8)
    cv2.putText(line, text, (2, LINE - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return line


def _canvas(image: np.ndarray, width: int) -> np.ndarray:
    missing = width - image.shape[1]
    return cv2.copyMakeBorder(image, 0, 0, 0, missing, cv2.BORDER_CONSTANT, value=(255, 255, 255))
