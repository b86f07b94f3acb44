"""Masks of objects by Segment Anything, where its package and weights are there."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError

from datamodules.storage.image_io import ImageArray, flatten, to_bits
from vfi_train.errors import UserError
from vfi_train.runtime.devices import find_device

KINDS = ("sam", "sam2", "sam2_video")  # `model_type` of a folder's config.json
WHERE = "the folder with config.json and *.safetensors of, for example, facebook/sam-vit-base on huggingface.co"
Point = tuple[float, float]  # x, y: pixels from the left and the top


class SegmentAnything:
    """The mask of the object at a point of an image.

    Args:
        folder: of the weights of SAM or SAM 2, in the layout of the Hugging Face Hub; nothing is downloaded.
        device: see `find_device`.

    Raises:
        UserError: a file or the package `transformers` is missing, or the folder holds another network.

    Source: Kirillov et al., ICCV 2023; Ravi et al., 2024; computed by the package `transformers`.
    """

    def __init__(self, folder: str | Path, device: str = "auto") -> None:
        place = Path(folder).expanduser()
        _check_folder(place)
        if importlib.util.find_spec("transformers") is None:
            raise UserError(
                "sam= needs the package transformers: install the extra `sam` of this package, or give masks as files"
            )
        from transformers import AutoModelForMaskGeneration, AutoProcessor
        from transformers.utils import logging

        logging.disable_progress_bar()
        self.device = find_device(device)
        try:
            network, found = AutoModelForMaskGeneration.from_pretrained(
                place, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
            self._processor: Any = AutoProcessor.from_pretrained(place, local_files_only=True)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:  # what the package raises for files
            reason = " ".join(str(error).split())
            raise UserError(f"sam={folder} cannot be loaded ({reason}): give {WHERE}") from error
        if found["missing_keys"]:  # the package fills them with random numbers
            raise UserError(f"sam={folder} lacks the weights {min(found['missing_keys'])}, ...: give {WHERE}")
        self._network: Any = network.to(self.device).eval()

    @torch.no_grad()
    def mask(self, image: ImageArray, points: Sequence[Point]) -> NDArray[np.bool_]:
        """H W: the object that all points lie on, of the network's proposals the one that it rates best.

        Args:
            image: H W 3, or H W 4 with alpha, RGB.
            points: one or more.

        Raises:
            UserError: it finds nothing there.
        """
        rgb = to_bits(flatten(image), 8)
        inputs = self._processor(images=rgb, input_points=[[[list(point) for point in points]]], return_tensors="pt")
        sizes = {name: inputs.pop(name) for name in ("original_sizes", "reshaped_input_sizes") if name in inputs}
        found = self._network(**inputs.to(self.device))
        proposals = self._processor.post_process_masks(found.pred_masks.cpu(), **sizes)[0][0]
        mask: NDArray[np.bool_] = proposals[int(found.iou_scores[0, 0].argmax())].numpy().astype(bool)
        if not mask.any():
            shown = ", ".join(f"[{x:g},{y:g}]" for x, y in points)
            raise UserError(f"Segment Anything finds no object at {shown}: choose another point, or give a mask")
        return mask


def strokes(painted: NDArray[np.bool_]) -> list[Point]:
    """A painted pixel of each connected stroke, near its middle."""
    count, labels, _, centres = cv2.connectedComponentsWithStats(painted.astype(np.uint8))
    points = []
    for label in range(1, count):  # 0 is what is not painted
        rows, columns = np.nonzero(labels == label)
        nearest = np.argmin((columns - centres[label][0]) ** 2 + (rows - centres[label][1]) ** 2)
        points.append((float(columns[nearest]), float(rows[nearest])))
    return points


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise UserError(f"there is no folder sam={folder}: give {WHERE}")
    if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors")):
        raise UserError(f"sam={folder} has no config.json or no *.safetensors: give {WHERE}")
    try:
        kind = json.loads((folder / "config.json").read_bytes()).get("model_type")
    except (ValueError, AttributeError):
        kind = None
    if kind not in KINDS:
        raise UserError(f"sam={folder} holds weights of {kind}, not of {' or '.join(KINDS)}: give {WHERE}")
