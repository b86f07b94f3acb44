"""Samples per second out of the data loader: python -m benchmarks.loader

256x256 crops of triplets of 448x256, IFRNet's augmentation, two worker processes, three ways in turn: (plain) full
PNGs read by OpenCV, NumPy, float32 and torch's own collation, as published loaders do; (files) this project's loader
on the same PNGs; (packed) the same after `prepare task=pack`. The images are drawn: textures that take about 210 kB
as PNG, as Vimeo90K's do.

Beside the rate stands the processor time that a worker takes for a sample, which depends less on what else the machine
does, and what of it goes to each stage, measured in one process by itself; the rest is the transfer to the main
process, and what workers take from each other.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from benchmarks.results import write_section
from datamodules.core.collate import collate
from datamodules.file_dataset import Items
from datamodules.storage.pack_writer import finish, write_shard
from datamodules.storage.store import open_store
from datamodules.transforms import (
    HorizontalFlip,
    RandomCrop,
    RandomResize,
    ReverseChannels,
    ReverseTime,
    Transpose,
    VerticalFlip,
)
from datamodules.vimeo90k import Vimeo90K

CROP, BATCH = 256, 16
HEIGHT, WIDTH = 256, 448
PASSES = 200  # over the drawn triplets in an epoch, so that epochs do not begin all the time
Stages = dict[str, float]  # milliseconds per sample


def main() -> None:
    """Measure, print, and put the table into RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--triplets", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5, help="each way once in each round")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each way in a round")
    parser.add_argument("--json", type=Path, help="write the numbers there")
    parser.add_argument("--results", action="store_true", help="write the table into RESULTS.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        given = (arguments.triplets, arguments.workers, arguments.rounds, arguments.seconds)
        found = measure(Path(folder), *given)
    table = as_table(found)
    print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    if arguments.results:
        write_section("loader", "Data loader", table)


def measure(folder: Path, triplets: int, workers: int, rounds: int, seconds: float) -> dict[str, Any]:
    """Rates of the three ways, in turn, and what their stages take."""
    files, packed, size = draw(folder, triplets)
    ours = {name: datamodule(root, workers) for name, root in (("files", files), ("packed", packed))}
    streams = {"plain": endless(plain_loader(files, workers))}
    streams |= {name: endless(module.train_dataloader()) for name, module in ours.items()}
    processes: dict[str, list[int]] = {}
    for name, stream in streams.items():
        before = multiprocessing.active_children()
        rate(stream, 2.0, [])  # starts the workers, fills what they send ahead, touches all pages once
        processes[name] = [
            p.pid for p in multiprocessing.active_children() if p.pid is not None and p.pid not in before
        ]
    rates: dict[str, list[float]] = {name: [] for name in streams}
    takes: dict[str, list[float]] = {name: [] for name in streams}
    for _ in range(rounds):
        for name, stream in streams.items():
            per_second, cpu = rate(stream, seconds, processes[name])
            rates[name].append(per_second)
            takes[name].append(cpu)
    stages = {"plain": plain_stages(files)} | {name: our_stages(module) for name, module in ours.items()}
    medians = {name: statistics.median(values) for name, values in rates.items()}
    cpu_time = {name: statistics.median(values) for name, values in takes.items()}
    ratios = {n: statistics.median(a / b for a, b in zip(rates[n], rates["plain"], strict=True)) for n in rates}
    for name, found in stages.items():
        found["other"] = max(0.0, cpu_time[name] - sum(found.values()))
    return {
        "samples_per_second": medians,
        "all": rates,
        "times_plain": ratios,
        "worker_ms_per_sample": cpu_time,
        "stages_ms_per_sample": stages,
        "png_bytes": size,
        "workers": workers,
        "batch": BATCH,
        "load_average": os.getloadavg()[0],
        "cores": os.cpu_count(),
    }


def draw(folder: Path, triplets: int) -> tuple[Path, Path, int]:
    """Triplets in Vimeo90K's layout, as PNG and packed, and the mean size of a PNG in bytes."""
    files, packed = folder / "files", folder / "packed"
    rng, arrays, sizes = np.random.default_rng(0), {}, []
    for number in range(triplets):
        whole = texture(rng, HEIGHT + 8, WIDTH + 16)
        for k in range(3):
            name = f"sequences/00001/{number:04d}/im{k + 1}.png"
            frame = np.ascontiguousarray(whole[2 * k : 2 * k + HEIGHT, 4 * k : 4 * k + WIDTH])
            arrays[name] = frame
            (files / name).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(files / name), frame[..., ::-1])
            sizes.append((files / name).stat().st_size)
    pack = packed / "packed" / "frames"
    pack.mkdir(parents=True)
    write_shard(pack, 0, arrays.items())
    finish(pack, 1, {})
    clips = [f"00001/{number:04d}" for number in range(triplets)]
    for root in (files, packed):
        (root / "tri_trainlist.txt").write_text("\n".join(clips * PASSES))
        (root / "tri_testlist.txt").write_text(clips[0])
    return files, packed, round(statistics.mean(sizes))


def texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Noise at several scales."""
    total = np.full((height, width, 3), 128, np.float32)
    for scale, amplitude in ((64, 60), (16, 40), (4, 20), (1, 5)):
        noise = rng.standard_normal((height // scale + 2, width // scale + 2, 3)).astype(np.float32)
        total += amplitude * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return total.clip(0, 255).astype(np.uint8)


def datamodule(root: Path, workers: int) -> Vimeo90K:
    """This project's loader."""
    transforms = [RandomResize(2, 0.1), RandomCrop(CROP), ReverseChannels(0.5), VerticalFlip(0.3), HorizontalFlip(0.5)]
    transforms += [Transpose(0.05), ReverseTime(0.5)]
    module = Vimeo90K(root=str(root), transforms=transforms, batch_size=BATCH, num_workers=workers)
    module.setup()
    return module


class Plain(Dataset[dict[str, Any]]):
    """The published way: whole images, one NumPy step after the other, float32."""

    def __init__(self, root: Path) -> None:
        self.root, self.clips = root, (root / "tri_trainlist.txt").read_text().split()

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.as_tensors(self.augment(*self.read(index)))

    def read(self, index: int) -> list[np.ndarray]:
        folder = self.root / "sequences" / self.clips[index]
        images = [cv2.imread(str(folder / f"im{i}.png")) for i in (1, 2, 3)]
        return [cv2.cvtColor(image, cv2.COLOR_BGR2RGB) for image in images]

    def augment(self, frame0: np.ndarray, target: np.ndarray, frame1: np.ndarray) -> list[np.ndarray]:
        frames = [frame0, target, frame1]
        if random.random() < 0.1:
            frames = [cv2.resize(f, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR) for f in frames]
        top = random.randint(0, frames[0].shape[0] - CROP)
        left = random.randint(0, frames[0].shape[1] - CROP)
        frames = [f[top : top + CROP, left : left + CROP] for f in frames]
        if random.random() < 0.5:
            frames = [f[..., ::-1] for f in frames]
        if random.random() < 0.3:
            frames = [f[::-1] for f in frames]
        if random.random() < 0.5:
            frames = [f[:, ::-1] for f in frames]
        if random.random() < 0.05:
            frames = [f.transpose(1, 0, 2) for f in frames]
        return frames[::-1] if random.random() < 0.5 else frames

    def as_tensors(self, frames: list[np.ndarray]) -> dict[str, Any]:
        names = ("frame0", "target", "frame1")
        pairs = zip(names, frames, strict=True)
        tensors = {n: torch.from_numpy(f.transpose(2, 0, 1).astype(np.float32) / 255.0) for n, f in pairs}
        return {**tensors, "time": torch.tensor(0.5).view(1, 1, 1)}


def plain_loader(root: Path, workers: int) -> DataLoader:
    return DataLoader(Plain(root), BATCH, shuffle=True, num_workers=workers, drop_last=True, persistent_workers=True)


def endless(loader: DataLoader) -> Iterator[Any]:
    while True:
        yield from loader


def rate(stream: Iterator[Any], seconds: float, workers: list[int]) -> tuple[float, float]:
    """Samples per second, once what was sent ahead has been taken; processor milliseconds of workers for a sample."""
    for _ in range(8):
        next(stream)
    began, used, count = time.perf_counter(), processor_seconds(workers), 0
    while (passed := time.perf_counter() - began) < seconds:
        next(stream)
        count += BATCH
    return count / passed, 1000 * (processor_seconds(workers) - used) / count


def processor_seconds(processes: list[int]) -> float:
    """User and system time so far."""
    fields = [Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split() for process in processes]
    return sum(int(field[11]) + int(field[12]) for field in fields) / os.sysconf("SC_CLK_TCK")


def plain_stages(root: Path) -> Stages:
    dataset = Plain(root)
    timers: Stages = {}
    read = timed(timers, "read", lambda: [dataset.read(index) for index in range(BATCH)])
    augmented = timed(timers, "augment", lambda: [dataset.augment(*frames) for frames in read])
    tensors = timed(timers, "float32 planes", lambda: [dataset.as_tensors(frames) for frames in augmented])
    timed(timers, "collate", lambda: default_collate(tensors))
    return timers


def our_stages(module: Vimeo90K) -> Stages:
    source = module.train_source()
    assert isinstance(source, Items)
    silent = Items(open_store(str(module.root)), source.items, lambda sample, rng: sample)  # type: ignore[arg-type]
    rngs = [np.random.default_rng((0, 0, index)) for index in range(BATCH)]
    timers: Stages = {}
    read = timed(timers, "read", lambda: [silent.sample(index, rngs[index]) for index in range(BATCH)])
    augmented = timed(timers, "augment", lambda: [source.transforms(s, r) for s, r in zip(read, rngs, strict=True)])
    timed(timers, "collate", lambda: collate(augmented))
    return timers


def timed(timers: Stages, name: str, do: Callable[[], Any]) -> Any:
    """What `do` gives for a batch; the median of its processor time goes to the timers."""
    times = []
    for _ in range(9):
        began = time.process_time()
        result = do()
        times.append(time.process_time() - began)
    timers[name] = 1000 * statistics.median(times) / BATCH
    return result


def as_table(found: dict[str, Any]) -> str:
    """Markdown."""
    lines = [
        f"{CROP}x{CROP} triplet crops of {WIDTH}x{HEIGHT} PNGs of {found['png_bytes'] / 1000:.0f} kB, batches of "
        f"{found['batch']}, {found['workers']} workers on {found['cores']} cores (load average "
        f"{found['load_average']:.1f}). Times are a worker's processor time per sample, and its stages.",
        "",
        "| loader | samples/s | times plain | time | stages |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, per_second in found["samples_per_second"].items():
        stages, whole = found["stages_ms_per_sample"][name], found["worker_ms_per_sample"][name]
        shares = ", ".join(f"{stage} {ms:.3f} ms ({ms / whole:.0%})" for stage, ms in stages.items())
        ratio = found["times_plain"][name]
        lines.append(f"| {name} | {per_second:,.0f} | {ratio:.1f} | {whole:.3f} ms | {shares} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
