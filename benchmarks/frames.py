"""Frames by PyTorch and by runtimes: python -m benchmarks.frames --clip CLIP.mp4 [--device cuda]

First table: the frame between two, from uint8 images to a uint8 image, by each backend and precision of `Interpolator`
that is here, and on a CPU by OpenVINO with its defaults, called by hand on the same graph. The ways take turns; a ratio
is that to PyTorch's float32 of the same round. Distances to PyTorch's float32 are over triplets of the clip, before
rounding; the change in dB is that of PSNR to the triplets' true middle frames.

Second table: `python -m vfi_train.interpolate factor=2` from file to file, in turns too, beside a script that compiles
the graph, decodes, calls OpenVINO by hand and encodes, one frame after the other. Its last column is the rate as a
share of the bound, at which only the network takes time: the frames of its row, or of the fastest on this device, in
the network alone, on tensors that lie on the device, and as many frames that are copied.

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
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from torch import Tensor

from benchmarks.results import table_row, write_section
from benchmarks.steps import texture
from datamodules.storage.media import Clip, Frame
from vfi_train.architectures import Architecture, create_model
from vfi_train.inference.backend import AUTOCAST, KINDS
from vfi_train.inference.conversion import quantise
from vfi_train.inference.graph_cache import network_graph
from vfi_train.inference.interpolator import Interpolator
from vfi_train.inference.padding import Padding, padded_size
from vfi_train.inference.runtimes import RUNTIMES, openvino_core
from vfi_train.interpolate.command import interpolate_with
from vfi_train.interpolate.readers import open_source
from vfi_train.interpolate.video_writer import Encoding, write_video
from vfi_train.profile.command import time_calls
from vfi_train.runtime.devices import is_emulated, keep_freed_memory
from vfi_train.weights import load_weights

MODELS = ("ifrnet_s", "rife_m", "amt_s")
SHIPPED = {"ifrnet_s": "ifrnet_s_synthetic"}
PLAIN, BY_HAND = ("torch", "fp32"), ("openvino by hand", "default")
Image = np.ndarray  # H W 3, uint8, RGB
Way = Callable[[Image, Image], Image]


def main() -> None:
    """Measure, print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", help="a video with motion; without it a texture that moves is drawn")
    parser.add_argument("--size", type=int, nargs=2, default=(336, 640), help="height and width of the drawn clip")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--weights", nargs="*", default=[], metavar="NETWORK=FILE")
    parser.add_argument("--threads", type=int, nargs="+", help="of a CPU, tables for each number; without it all cores")
    parser.add_argument("--rounds", type=int, default=8, help="of the first table")
    parser.add_argument("--triplets", type=int, default=12, help="for distances and held-out PSNR")
    parser.add_argument("--frames", type=int, default=61, help="of the clip, for the second table; 0 leaves it out")
    parser.add_argument("--runs", type=int, default=3, help="of the second table")
    parser.add_argument("--results", action="store_true", help="write the tables into RESULTS.md")
    given = parser.parse_args()
    if given.device == "cpu":
        keep_freed_memory()  # as `interpolate` does where there is room
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder, "clip.mkv")
        write_clip(clip, given)
        for threads in given.threads or [torch.get_num_threads()]:
            torch.set_num_threads(threads)
            lines += ["", *tables(clip, given)]
            if given.results:  # after each, so that a run that is ended has written what it measured
                title = "Frames by runtimes" + ("" if given.device == "cpu" else f", {given.device}")
                variant = "" if given.device == "cpu" else f":{given.device}"
                write_section(f"frames{variant}", title, "\n".join(lines[1:]))


def tables(clip: Path, given: argparse.Namespace) -> list[str]:
    """Both tables with the threads of now."""
    weights = SHIPPED | dict(pair.split("=", 1) for pair in given.weights)
    networks = {name: network(name, weights.get(name)).to(given.device) for name in given.models}
    triplets = read_triplets(given.clip or clip, given.triplets)
    size = f"{triplets[0][0].shape[1]}x{triplets[0][0].shape[0]}"
    where = f"threads: {torch.get_num_threads()}" if given.device == "cpu" else given.device
    first = [
        f"Frames of {size}, {where} (load average {os.getloadavg()[0]:.1f}).",
        "",
        "| network | backend | precision | ms | times torch fp32 | dB to it | largest difference | held-out PSNR |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    second = [
        "",
        f"`interpolate factor=2`, {given.frames} frames of {size}, {where}:",
        "",
        "| network | backend, precision | output frames/s | times torch fp32 | of the bound |",
        "| --- | --- | --- | --- | --- |",
    ]
    print(first[0], flush=True)
    for name, model in networks.items():
        lines, milliseconds = frame_rows(name, model, triplets, given.rounds, torch.device(given.device))
        first += lines
        print("\n".join(lines), flush=True)
        if given.frames:
            lines = video_rows(name, model, clip, triplets[0], fastest_of(milliseconds), given)
            second += lines
            print("\n".join(lines), flush=True)
    return first + (second if given.frames else [])


def network(name: str, weights: str | None) -> Architecture:
    torch.manual_seed(0)
    model = create_model(name).eval()
    if weights is not None:
        load_weights(model, weights)
    else:
        for parameter in model.parameters():
            parameter.data.mul_(0.8)
    return model


def write_clip(path: Path, given: argparse.Namespace) -> None:
    """The first frames of the clip that is given, as many as both tables take, or a texture that moves right."""
    count = max(given.frames, 3)
    if given.clip:
        source = open_source(given.clip)
        frames: Iterable[Frame] = islice(source.frames(), count) if given.frames else source.frames()
        clip = source.clip
    else:
        height, width = given.size
        clip = Clip("texture", height, width, count=count)
        wide = texture(1, max(height, width + 4 * count), torch.Generator().manual_seed(0))[0, :, :height]
        images = (quantise(wide[..., 4 * k : 4 * k + width]).movedim(0, -1).contiguous().numpy() for k in range(count))
        frames = (Frame(image, k / clip.rate, 1 / clip.rate) for k, image in enumerate(images))
    with write_video(path, clip, Encoding("h264")) as writer:
        for frame in frames:
            writer.write(frame)


def read_triplets(clip: str | Path, count: int) -> list[tuple[Image, Image, Image]]:
    """Evenly spaced neighbours."""
    images = [frame.image for frame in open_source(clip).frames()]
    starts = np.linspace(0, len(images) - 3, count).astype(int)
    return [(images[k], images[k + 1], images[k + 2]) for k in starts]


def pairs_here(device: torch.device) -> list[tuple[str, str]]:
    """Backends and precisions that a device has."""
    half = ("bf16", "fp16") if device.type == "cuda" else ("bf16",)
    by_torch = [PLAIN, *(("torch", p) for p in half if not is_emulated(AUTOCAST[p], device))]
    others = [(b, p) for b, kind in KINDS.items() if not kind.missing() for p in reversed(kind.precisions(device))]
    return by_torch + others


def frame_rows(
    name: str, model: Architecture, triplets: list[tuple[Image, Image, Image]], rounds: int, device: torch.device
) -> tuple[list[str], dict[tuple[str, str], float]]:
    """Lines of the first table, and its milliseconds."""
    pairs = pairs_here(device)
    interpolators = {pair: Interpolator(model, backend=pair[0], precision=pair[1]) for pair in pairs}
    ways: dict[tuple[str, str], Way] = dict(interpolators)  # type: ignore[arg-type]
    if by_hand_is_here(device):
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
        cells = [f"`{name}`", *pair, f"{1000 * statistics.median(times):.1f}", spread(ratios), "", "", ""]
        if pair in interpolators and pair != PLAIN:
            found = predicted(interpolators[pair], triplets)
            distance = psnr(torch.stack(found), torch.stack(exact))
            largest = max(float((x - y).abs().max()) for x, y in zip(found, exact, strict=True))
            cells[-3:] = f"{distance:.1f}", f"{largest:.1e}", f"{held_out(found, truth) - plain:+.3f} dB"
        if pair == PLAIN:
            cells[-1] = f"{plain:.2f} dB"
        lines.append(table_row(*cells))
    return lines, {pair: 1000 * statistics.median(times) for pair, times in seconds.items()}


def fastest_of(milliseconds: dict[tuple[str, str], float]) -> list[tuple[str, str]]:
    """PyTorch's float32, and the fastest precision of each backend of the program."""
    found = {PLAIN: None}
    for backend in dict.fromkeys(backend for backend, _ in milliseconds if backend != BY_HAND[0]):
        found[min((pair for pair in milliseconds if pair[0] == backend), key=milliseconds.__getitem__)] = None
    return list(found)


def by_hand_is_here(device: torch.device) -> bool:
    return device.type == "cpu" and not RUNTIMES["openvino"].missing()


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


def video_rows(
    name: str,
    model: Architecture,
    clip: Path,
    triplet: tuple[Image, Image, Image],
    pairs: list[tuple[str, str]],
    given: argparse.Namespace,
) -> list[str]:
    """Lines of the second table: some backends and precisions, and OpenVINO by hand."""
    device, folder = torch.device(given.device), clip.parent
    weights, output = folder / f"{name}.pth", folder / "out.mp4"
    torch.save(model.state_dict(), weights)
    files = {"input": str(clip), "output": str(output), "weights": str(weights), "overwrite": True}

    def program(backend: str, precision: str) -> int:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return interpolate_with(name, backend=backend, precision=precision, device=given.device, **files).frames

    ways: dict[tuple[str, str], Callable[[], int]] = {pair: partial(program, *pair) for pair in pairs}
    if by_hand_is_here(device):
        ways[BY_HAND] = lambda: script(by_hand(model, triplet[0]), clip, output)
    alone = {pair: network_alone(model, triplet, *pair, device) for pair in pairs}
    rates: dict[tuple[str, str], list[float]] = {way: [] for way in ways}
    for _ in range(given.runs):
        for way, do in ways.items():
            began = time.perf_counter()
            frames = do()
            rates[way].append(frames / (time.perf_counter() - began))
    lines = []
    for way, found in rates.items():
        ratios = [after / before for before, after in zip(rates[PLAIN], found, strict=True)]
        rate = statistics.median(found)
        share = f"{rate * alone.get(way, min(alone.values())) / 2:.0%}"
        lines.append(f"| `{name}` | {', '.join(way)} | {rate:.2f} | {spread(ratios)} | {share} |")
    return lines


def network_alone(
    model: Architecture, triplet: tuple[Image, Image, Image], backend: str, precision: str, device: torch.device
) -> float:
    """Seconds of a frame between two that lie on the device as tensors, the median of five."""
    interpolator = Interpolator(model, backend=backend, precision=precision)
    frame0, frame1 = (tensor(image)[None].to(device) for image in triplet[::2])
    with torch.inference_mode():
        _, *seconds = time_calls(lambda: interpolator.predict(frame0, frame1), 2, 5, device)
    return statistics.median(seconds)


def script(way: Way, clip: Path, output: Path) -> int:
    """What a short program does: decode, predict, encode, one frame after the other."""
    count = 0
    with av.open(str(clip)) as source, av.open(str(output), "w") as target:
        video = source.streams.video[0]
        stream: Any = target.add_stream("libx264", rate=2 * (video.average_rate or 24), options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
        last: Image | None = None
        for frame in source.decode(video):
            image = frame.to_ndarray(format="rgb24")
            for shown in ([] if last is None else [way(last, image)]) + [image]:
                target.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
                count += 1
            last = image
        target.mux(stream.encode())
    return count


def predicted(interpolator: Interpolator, triplets: list[tuple[Image, Image, Image]]) -> list[Tensor]:
    """Frames 3 H W, unrounded, on the CPU."""
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
