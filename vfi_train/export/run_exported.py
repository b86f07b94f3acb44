"""Run an exported network without the package it was trained with: this file, NumPy, OpenCV, and onnxruntime or torch.

    python run_exported.py model.onnx frame0.png frame1.png --output middle.png
    python run_exported.py model.pt2 frame0.png frame1.png --times 0.25 0.5 0.75 --output frames/
    python run_exported.py model.onnx clip.mp4 --factor 2 --output smooth.mp4

Copy it beside what `python -m vfi_train.export format=onnx` (or `torch_export`, or `aotinductor`) has written. Videos
become MPEG-4 in 8 bits without sound, and cuts are interpolated, unlike with `python -m vfi_train.interpolate`.
"""

from __future__ import annotations

import argparse
import json
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

Image = np.ndarray  # H W 3, uint8, RGB


class Network:
    """An exported network: `network(frame0, frame1, time)` gives an image like frame0."""

    def __init__(self, path: str | Path) -> None:
        open_file = {".onnx": _open_onnx, ".pt2": _open_torch}.get(Path(path).suffix)
        if not Path(path).is_file() or open_file is None:
            raise SystemExit(f"error: {path} is no file that ends in .onnx or .pt2")
        self.metadata, self._run = open_file(str(path))

    def __call__(self, frame0: Image, frame1: Image, time: float = 0.5) -> Image:
        """The image at `time`, 0..1; networks for the middle frame reach the nearest k/64 by halving."""
        if self.metadata["arbitrary_time"]:
            return self._predict(frame0, frame1, [np.full((1, 1, 1, 1), time, np.float32)])
        low, high, left, right = 0.0, 1.0, frame0, frame1
        for _ in range(6):
            if time in (low, high):
                break
            middle = self._predict(left, right, [])
            if time < (low + high) / 2:
                high, right = (low + high) / 2, middle
            else:
                low, left = (low + high) / 2, middle
        return left if time - low <= high - time else right

    def _predict(self, frame0: Image, frame1: Image, times: list[np.ndarray]) -> Image:
        height, width = frame0.shape[:2]
        rows, columns = self._padded(height), self._padded(width)
        if self.metadata["size"] is not None:
            rows, columns = self.metadata["size"]
            if height > rows or width > columns:
                raise SystemExit(f"error: this network was exported for {rows}x{columns}; got {height}x{width}")
        top, left = (rows - height) // 2, (columns - width) // 2
        around = ((top, rows - height - top), (left, columns - width - left), (0, 0))
        inputs = [np.pad(frame, around, mode="edge").transpose(2, 0, 1)[None] for frame in (frame0, frame1)]
        frame = self._run(*(np.ascontiguousarray(x, np.float32) / 255 for x in inputs), *times)[0]
        cropped = frame[:, top : top + height, left : left + width]
        return np.ascontiguousarray(np.rint(cropped * 255).astype(np.uint8).transpose(1, 2, 0))

    def _padded(self, side: int) -> int:
        multiple = self.metadata["size_multiple"]
        return -(-max(side, self.metadata["min_size"]) // multiple) * multiple


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="an exported network: .onnx or .pt2")
    parser.add_argument("input", nargs="+", help="two images, or a video")
    parser.add_argument("--output", required=True, help="an image, a folder (ends in /), or a video")
    parser.add_argument("--times", type=float, nargs="+", default=[0.5], help="between two images")
    parser.add_argument("--factor", type=int, default=2, help="frames for each frame of a video")
    given = parser.parse_args(arguments)
    network = Network(given.model)
    if len(given.input) == 2:
        frame0, frame1 = (read(path) for path in given.input)
        if frame0.shape != frame1.shape:
            raise SystemExit(f"error: the images have different sizes: {frame0.shape[:2]} and {frame1.shape[:2]}")
        images(network, frame0, frame1, given.times, given.output)
    elif len(given.input) == 1:
        video(network, given.input[0], given.factor, given.output)
    else:
        raise SystemExit(f"error: give two images or one video; got {len(given.input)} files")


def images(network: Network, frame0: Image, frame1: Image, times: Sequence[float], output: str) -> None:
    """Write the images at `times`: one to a file, several to a folder."""
    if len(times) > 1 and not output.endswith("/"):
        raise SystemExit(f"error: {len(times)} times make {len(times)} images: give a folder, {output}/")
    for index, time in enumerate(times):
        path = Path(output, f"{index:06d}.png") if output.endswith("/") else Path(output)
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), cv2.cvtColor(network(frame0, frame1, time), cv2.COLOR_RGB2BGR))
        print(f"{path}: time {time:g}")


def video(network: Network, path: str, factor: int, output: str) -> None:
    """Write a video with `factor` times the frames, at `factor` times the rate."""
    capture = cv2.VideoCapture(path)
    if not capture.isOpened():
        raise SystemExit(f"error: {path} cannot be read as a video")
    rate, count = capture.get(cv2.CAP_PROP_FPS), 0
    writer: Any = None
    last: Any = None
    for frame in _frames(capture):
        if writer is None:
            size = (frame.shape[1], frame.shape[0])
            writer = cv2.VideoWriter(output, cv2.VideoWriter.fourcc(*"mp4v"), rate * factor, size)
        times = [] if last is None else [k / factor for k in range(1, factor)]
        for image in (*(network(last, frame, time) for time in times), frame):
            writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
            count += 1
        last = frame
    if writer is None:
        raise SystemExit(f"error: {path} holds no frame")
    writer.release()
    print(f"{output}: {count} frames at {rate * factor:g} per second")


def read(path: str) -> Image:
    """An image file as RGB."""
    image = cv2.imread(path, cv2.IMREAD_COLOR)
    if image is None:
        raise SystemExit(f"error: {path} is not an image that can be read")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _frames(capture: Any) -> Iterator[Image]:
    while True:
        success, frame = capture.read()
        if not success:
            return
        yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


def _open_onnx(path: str) -> tuple[dict[str, Any], Callable[..., np.ndarray]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=onnxruntime.get_available_providers())
    names = [value.name for value in session.get_inputs()]
    metadata = json.loads(session.get_modelmeta().custom_metadata_map["vfi_train"])
    return metadata, lambda *inputs: session.run(None, dict(zip(names, inputs, strict=True)))[0]


def _open_torch(path: str) -> tuple[dict[str, Any], Callable[..., np.ndarray]]:
    import torch

    if any("aotinductor" in name for name in zipfile.ZipFile(path).namelist()):
        package = torch._inductor.aoti_load_package(path)
        metadata = json.loads(package.loader.get_metadata()["vfi_train"])
        return metadata, lambda *inputs: package(*(torch.from_numpy(x) for x in inputs)).numpy()
    extra = {"vfi_train.json": ""}
    network = torch.export.load(path, extra_files=extra).module()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.to(device)

    def run(*inputs: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return network(*(torch.from_numpy(x).to(device) for x in inputs)).cpu().numpy()

    return json.loads(extra["vfi_train.json"]), run


if __name__ == "__main__":
    main(sys.argv[1:])
