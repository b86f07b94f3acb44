"""Frames by PyTorch, OpenVINO and ONNX Runtime: python -m benchmarks.frames --clip CLIP.mp4

First table: the frame between two, from uint8 images to a uint8 image, by each backend and precision of `Interpolator`,
and by OpenVINO with its defaults, called by hand on the same graph. The ways take turns; a ratio is that to PyTorch's
float32 of the same round. Distances to PyTorch's float32 are over triplets of the clip, before rounding; the change in
dB is that of PSNR to the triplets' true middle frames.

Second table: `python -m vfi_train.interpolate factor=2` from file to file, in turns too.

Of the networks here only `ifrnet_s` has shipped weights; the others are drawn, and smaller than usual, so that flows
stay within the frame; `--weights NETWORK=FILE` gives them others.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.results import write_section
from vfi_train.architectures import Architecture, create_model
from vfi_train.inference.conversion import quantise
from vfi_train.inference.graph_cache import network_graph
from vfi_train.inference.interpolator import Interpolator
from vfi_train.inference.padding import Padding, padded_size
from vfi_train.inference.runtimes import RUNTIMES, openvino_core
from vfi_train.interpolate.command import interpolate_with
from vfi_train.interpolate.readers import open_source
from vfi_train.interpolate.video_writer import Encoding, write_video
from vfi_train.runtime.devices import keep_freed_memory
from vfi_train.weights import load_weights

MODELS = ("ifrnet_s", "rife_m", "amt_s")
SHIPPED = {"ifrnet_s": "ifrnet_s_synthetic"}
PLAIN, BY_HAND = ("torch", "fp32"), ("openvino by hand", "default")
Image = np.ndarray  # H W 3, uint8, RGB
Way = Callable[[Image, Image], Image]


def main() -> None:
    """Measure, print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", required=True, help="a video with motion")
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--weights", nargs="*", default=[], metavar="NETWORK=FILE")
    parser.add_argument("--threads", type=int, help="without it all cores")
    parser.add_argument("--rounds", type=int, default=8, help="of the first table")
    parser.add_argument("--triplets", type=int, default=12, help="for distances and held-out PSNR")
    parser.add_argument("--frames", type=int, default=61, help="of the clip, for the second table; 0 leaves it out")
    parser.add_argument("--runs", type=int, default=3, help="of the second table")
    parser.add_argument("--results", action="store_true", help="write the tables into RESULTS.md")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    keep_freed_memory()  # as `interpolate` does where there is room
    weights = SHIPPED | dict(pair.split("=", 1) for pair in given.weights)
    networks = {name: network(name, weights.get(name)) for name in given.models}
    lines = [
        f"Threads: {torch.get_num_threads()} (load average {os.getloadavg()[0]:.1f}).",
        "",
        "| network | backend | precision | ms | times torch fp32 | dB to it | largest difference | held-out PSNR |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    triplets = read_triplets(given.clip, given.triplets)
    for name, model in networks.items():
        for line in frame_rows(name, model, triplets, given.rounds):
            lines.append(line)
            print(line, flush=True)
    if given.frames:
        lines += [
            "",
            f"`interpolate factor=2`, {given.frames} frames of {triplets[0][0].shape[1]}x{triplets[0][0].shape[0]}:",
            "",
            "| network | backend, precision | output frames/s | times torch fp32 |",
            "| --- | --- | --- | --- |",
        ]
        for line in video_rows(networks, given):
            lines.append(line)
            print(line, flush=True)
    if given.results:
        write_section("frames", "Frames by runtimes", "\n".join(lines))


def network(name: str, weights: str | None) -> Architecture:
    torch.manual_seed(0)
    model = create_model(name).eval()
    if weights is not None:
        load_weights(model, weights)
    else:
        for parameter in model.parameters():
            parameter.data.mul_(0.8)
    return model


def read_triplets(clip: str, count: int) -> list[tuple[Image, Image, Image]]:
    """Evenly spaced neighbours."""
    images = [frame.image for frame in open_source(clip).frames()]
    starts = np.linspace(0, len(images) - 3, count).astype(int)
    return [(images[k], images[k + 1], images[k + 2]) for k in starts]


def frame_rows(name: str, model: Architecture, triplets: list[tuple[Image, Image, Image]], rounds: int) -> list[str]:
    """Lines of the first table."""
    device = torch.device("cpu")
    pairs = [
        PLAIN, ("torch", "bf16"),
        *((b, p) for b, kind in RUNTIMES.items() if not kind.missing() for p in reversed(kind.precisions(device))),
    ]  # fmt: skip
    interpolators = {pair: Interpolator(model, backend=pair[0], precision=pair[1]) for pair in pairs}
    ways: dict[tuple[str, str], Way] = dict(interpolators)  # type: ignore[arg-type]
    if not RUNTIMES["openvino"].missing():
        ways[BY_HAND] = by_hand(model, triplets[0][0])
    for way in ways.values():
        way(*triplets[0][::2])
    seconds: dict[tuple[str, str], list[float]] = {pair: [] for pair in ways}
    for number in range(rounds):
        for pair, way in ways.items():
            began = time.perf_counter()
            way(*triplets[number % len(triplets)][::2])
            seconds[pair].append(time.perf_counter() - began)
    exact, truth = predicted(interpolators[PLAIN], triplets), [tensor(triplet[1]) for triplet in triplets]
    plain, lines = held_out(exact, truth), []
    for pair, times in seconds.items():
        ratios = [before / after for before, after in zip(seconds[PLAIN], times, strict=True)]
        cells = [f"`{name}`", *pair, f"{1000 * statistics.median(times):.0f}", spread(ratios), "", "", ""]
        if pair in interpolators and pair != PLAIN:
            found = predicted(interpolators[pair], triplets)
            distance = psnr(torch.stack(found), torch.stack(exact))
            largest = max(float((x - y).abs().max()) for x, y in zip(found, exact, strict=True))
            cells[-3:] = f"{distance:.1f}", f"{largest:.1e}", f"{held_out(found, truth) - plain:+.3f} dB"
        if pair == PLAIN:
            cells[-1] = f"{plain:.2f} dB"
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def by_hand(model: Architecture, image: Image) -> Way:
    """What a script does that has the graph and OpenVINO, with its defaults but for the number of threads."""
    size = (image.shape[0], image.shape[1])
    padded = padded_size(size, model)
    padding, core = Padding.between(size, padded), openvino_core()
    compiled = core.compile_model(
        core.read_model(network_graph(model, padded, 1.0, 2, print)),
        "CPU",
        {"INFERENCE_NUM_THREADS": torch.get_num_threads()},
    )
    around = ((padding.top, padding.bottom), (padding.left, padding.right), (0, 0))
    time = [np.full((1, 1, 1, 1), 0.5, np.float32)] if model.arbitrary_time else []

    def run(frame0: Image, frame1: Image) -> Image:
        inputs = [
            np.pad(x, around, mode="edge").transpose(2, 0, 1)[None].astype(np.float32) / 255 for x in (frame0, frame1)
        ]
        frame = padding.crop(compiled([*inputs, *time])[0])[0]
        return np.rint(frame.clip(0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)

    return run


def video_rows(networks: dict[str, Architecture], given: argparse.Namespace) -> list[str]:
    """Lines of the second table."""
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder, "clip.mkv")
        source = open_source(given.clip)
        with write_video(clip, source.clip, Encoding("h264")) as writer:
            for frame in islice(source.frames(), given.frames):
                writer.write(frame)
        for name, model in networks.items():
            weights = Path(folder, f"{name}.pth")
            torch.save(model.state_dict(), weights)
            options = {"input": str(clip), "output": f"{folder}/out.mp4", "weights": str(weights), "overwrite": True}
            ways = {"torch, fp32": PLAIN, "openvino, bf16": ("openvino", "bf16")}
            rates: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(given.runs):
                for way, (backend, precision) in ways.items():
                    began = time.perf_counter()
                    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                        summary = interpolate_with(name, backend=backend, precision=precision, **options)
                    rates[way].append(summary.frames / (time.perf_counter() - began))
            for way, found in rates.items():
                ratios = [after / before for before, after in zip(rates["torch, fp32"], found, strict=True)]
                lines.append(f"| `{name}` | {way} | {statistics.median(found):.2f} | {spread(ratios)} |")
    return lines


def predicted(interpolator: Interpolator, triplets: list[tuple[Image, Image, Image]]) -> list[Tensor]:
    """Frames 3 H W, unrounded."""
    return [interpolator(tensor(frame0), tensor(frame1)) for frame0, _, frame1 in triplets]


def held_out(frames: list[Tensor], truth: list[Tensor]) -> float:
    """The mean PSNR of rounded frames."""
    return statistics.mean(psnr(quantise(x).float() / 255, y) for x, y in zip(frames, truth, strict=True))


def tensor(image: Image) -> Tensor:
    return torch.from_numpy(image).movedim(-1, 0).float() / 255


def psnr(x: Tensor, y: Tensor) -> float:
    return float(-10 * (x - y).square().mean().log10())


def spread(ratios: list[float]) -> str:
    return f"**{statistics.median(ratios):.2f}** [{min(ratios):.2f}-{max(ratios):.2f}]"


if __name__ == "__main__":
    main()
