"""Segment Anything: masks as its package makes them, in `interpolate` and in the page's jobs, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.manipulation import scene
from datamodules.storage.image_io import read_image
from datamodules.synthetic import to_uint8
from tests.helpers.tiny_sam import tiny_sam
from vfi_train.app.jobs import Jobs
from vfi_train.errors import UserError
from vfi_train.interpolate.command import interpolate_with
from vfi_train.interpolate.segment import SegmentAnything, strokes

NETWORK = {"model": "ifrnet_tiny", "weights": "ifrnet_tiny_synthetic", "device": "cpu", "backend": "torch"}
POINT = [20, 30]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name, time in (("first.png", 0.0), ("last.png", 1.0)):
        cv2.imwrite(str(tmp_path / name), cv2.cvtColor(to_uint8(scene().render(time)), cv2.COLOR_RGB2BGR))
    return tmp_path


def moved(place: Path, output: str, masks: Any, **values: Any) -> list[np.ndarray]:
    given = {"input": [str(place / "first.png"), str(place / "last.png")], "output": str(place / output), **values}
    interpolate_with(**NETWORK, **given, masks=masks, precision="fp32", tile=None)
    return [read_image(path) for path in sorted((place / output).iterdir())]


def by_the_package(folder: Path, image: np.ndarray, *points: list[int]) -> np.ndarray:
    from transformers import SamModel, SamProcessor

    processor = SamProcessor.from_pretrained(folder)
    inputs = processor(image, input_points=[[list(map(float, point)) for point in points]], return_tensors="pt")
    with torch.no_grad():
        found = SamModel.from_pretrained(folder)(**inputs)
    sizes = (inputs["original_sizes"], inputs["reshaped_input_sizes"])
    (masks,) = processor.post_process_masks(found.pred_masks, *sizes)
    return masks[0][found.iou_scores.flatten().argmax()].numpy()


def test_a_point_is_worth_its_mask(place: Path) -> None:
    pytest.importorskip("transformers", reason="the extra `sam` is not installed")
    folder, first, last = tiny_sam(place / "sam"), *(read_image(place / f"{n}.png") for n in ("first", "last"))
    mask = by_the_package(folder, first, POINT)
    assert mask.any()
    assert not mask.all()
    sam = SegmentAnything(folder, "cpu")
    assert np.array_equal(sam.mask(first, [(20.0, 30.0)]), mask)
    two = [POINT, [first.shape[1] - 9, 8]]
    assert np.array_equal(sam.mask(first, [(x, y) for x, y in two]), by_the_package(folder, first, *two))
    cv2.imwrite(str(place / "mask.png"), mask.astype(np.uint8) * 255)
    curve = {"curves": [[0, 1, 0]], "factor": 4}
    wanted = moved(place, "file", str(place / "mask.png"), **curve)
    got = moved(place, "point", [POINT], sam=str(folder), **curve)
    assert all(np.array_equal(a, b) for a, b in zip(got, wanted, strict=True))
    jobs = Jobs(place, device="cpu", sam=str(folder))
    dab = np.zeros(mask.shape, bool)
    dab[POINT[1] - 1 : POINT[1] + 2, POINT[0] - 1 : POINT[0] + 2] = True
    objects = [(NETWORK["model"], NETWORK["weights"], first, last, [m], [[0, 1, 0]], False, 5) for m in (dab, mask)]
    completed, painted = jobs.manipulated(*objects[0], complete=True), jobs.manipulated(*objects[1])
    assert all(np.array_equal(a, b) for a, b in zip(completed, painted, strict=True))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "model.safetensors").write_bytes(b"xyz"), r"cannot be loaded \(.*header too small"),
        (lambda folder: (folder / "processor_config.json").unlink(), r"cannot be loaded \(Can't load image processor"),
        (
            lambda folder: without(folder / "model.safetensors", "mask_decoder.iou_token"),
            "lacks the weights mask_decoder",
        ),
    ],
)
def test_files_that_are_broken(tmp_path: Path, change: Any, said: str) -> None:
    pytest.importorskip("transformers", reason="the extra `sam` is not installed")
    change(tiny_sam(tmp_path))
    with pytest.raises(UserError, match=f"^sam=.* {said}"):
        SegmentAnything(tmp_path)


def without(file: Path, name: str) -> None:
    tensors = {key: tensor for key, tensor in load_file(file).items() if not key.startswith(name)}
    save_file(tensors, file, metadata={"format": "pt"})


def test_a_stroke_is_a_point_in_it() -> None:
    painted = np.zeros((20, 30), bool)
    painted[2:5, 4:9] = True  # middle 6, 3
    painted[10:19, 20] = painted[10, 20:29] = True  # bent: its centre of mass is not painted
    first, second = strokes(painted)
    assert first == (6, 3)
    assert painted[int(second[1]), int(second[0])]
    assert strokes(np.zeros((4, 4), bool)) == []


@pytest.mark.parametrize(
    ("masks", "files", "said"),
    [
        (
            [POINT],
            None,
            r"^masks=\[20, 30\] is a point on an object, whose mask Segment Anything makes: give sam=",
        ),
        (POINT, None, r"^masks=\[20, 30\] is a point on an object"),
        ([[20, 3000]], {}, r"^masks=\[20, 3000\] is no point \[x, y\] of images of 128x96 pixels, and no file"),
        ([["a", 1]], {}, r"^masks=\['a', 1\] is no point"),
        ([POINT], {}, r"^sam=.*sam has no config.json or no \*\.safetensors: give the folder with"),
        ([POINT], {"model_type": "bert"}, r"^sam=.*sam holds weights of bert, not of sam or sam2 or sam2_video: give"),
        ([POINT], {"model_type": "sam"}, r"^sam= needs the package transformers: install the extra `sam` of this pack"),
    ],
)
def test_mistakes(
    place: Path, masks: Any, files: dict[str, str] | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vfi_train.interpolate.segment.importlib.util.find_spec", lambda name: None)
    folder = place / "sam"
    folder.mkdir()
    if files:
        (folder / "config.json").write_text(json.dumps(files))
        (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match=said):
        moved(place, "out", masks, sam=None if files is None else str(folder))
    assert not (place / "out").exists()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^there is no folder sam=.*nothing: give the folder with config.json"):
        SegmentAnything(tmp_path / "nothing")
