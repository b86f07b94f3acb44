"""Draw the SVG files of docs/architecture.md: python docs/drawings.py

A drawing is rows of boxes with arrows from each row to the next. Boxes have a light fill and dark text in themselves,
so that they read on a light and on a dark page; they are narrow, so that they read on a phone.
"""

from __future__ import annotations

import tomllib
from functools import partial
from html import escape
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).with_name("drawings")
WIDTH, MARGIN, GAP, ARROW, LINE = 480, 8, 12, 26, 17  # pixels
FILLS = {"compute": "#dbe7fb", "disk": "#fbeacb", "decision": "#d9f0dd"}
STROKES = {"compute": "#4a6fb0", "disk": "#b07a1e", "decision": "#3d8a4e"}


class Box(NamedTuple):
    """What is computed ("compute"), what lies on disk ("disk"), or what is decided or agreed on ("decision")."""

    kind: str
    title: str
    text: str = ""  # lines


compute, disk, decision = (partial(Box, kind) for kind in ("compute", "disk", "decision"))

DRAWINGS: dict[str, tuple[str, list[list[Box]]]] = {
    "contract": (
        "The contract: a batch goes through an architecture, its prediction and the batch go into the losses",
        [
            [compute("Batch", "frame0, frame1, target: B 3 H W\ntime: B 1 1 1 or B 1 H W\nflow, reference: optional")],
            [compute("Architecture", "encode(frame0, frame1) once\ndecode(encoding, time) for each time")],
            [compute("Prediction", "frame: B 3 H W\nmerged, flow0, flow1, mask, features:\ncoarse to fine, or None")],
            [
                compute("LossSet", "terms read the fields\nthat they name in reads"),
                compute("metrics", "PSNR, SSIM, LPIPS\nof prediction.frame"),
            ],
        ],
    ),
    "batch": (
        "The way of one batch from disk to the gradients",
        [
            [disk("image files", "as published"), disk("packed frames", "memory-mapped, uint8")],
            [compute("Store.read", "datamodules/storage/store.py: H W 3, uint8")],
            [compute("transforms", "random numbers of (seed, epoch, sample):\nimages, flow, time and maps together")],
            [compute("collate", "a worker writes B 3 H W, uint8, into shared memory")],
            [compute("transfer", "uint8 to the device, there float32 in [0, 1]")],
            [compute("prepare", "channel order and memory layout of the network")],
            [compute("network", "in the trainer's precision")],
            [compute("losses", "in float32, each term logged with its weight")],
            [compute("backward", "DDP averages gradients; the non-finite guard; clipping")],
        ],
    ),
    "run": (
        "The life of a run",
        [
            [compute("compose", "conf/train.yaml + experiment + command line")],
            [decision("check", "unknown keys, values, data, weights, pairing:\none sentence before any hour is spent")],
            [disk("runs/NAME/config.yaml", "another configuration in the same folder is refused")],
            [compute("build", "network, losses, optimizer, schedule, Trainer")],
            [compute("train", "validation every validate_every steps")],
            [
                disk("last.ckpt", "to resume from"),
                disk("best.ckpt", "highest val/psnr"),
                disk("metrics.csv", "and W&B"),
            ],
            [compute("report", "beside the mean of the frames and the nearest frame")],
            [disk("finished.json", "the same command now only says so")],
        ],
    ),
    "stop": (
        "What happens on SIGTERM, and on the next start",
        [
            [compute("SIGTERM, SIGUSR1, SIGUSR2, Ctrl-C", "the handler notes the number, nothing else")],
            [compute("the optimizer step ends", "")],
            [decision("the processes agree", "all_reduce of the noted number: all stop after the same step")],
            [disk("metrics.csv", "the step's row"), disk("last.ckpt", "written to a temporary name,\nthen renamed")],
            [decision("requeue?", "after USR1 / USR2 or at SLURM's time limit: scontrol requeue")],
            [compute("the same command again", "")],
            [
                disk("last.ckpt", "last_previous.ckpt\nwhere it is incomplete"),
                disk("metrics.csv", "rows after the checkpoint\nare removed"),
            ],
            [compute("go on with the next sample", "weights, optimizer, averages, position in the epoch")],
        ],
    ),
    "guard": (
        "The guard against losses and gradients that are not finite",
        [
            [compute("loss of a micro-batch", "not finite: its gradient becomes NaN")],
            [compute("DDP averages gradients", "NaN on one process is NaN on all")],
            [decision("norm of the gradients finite?", "measured once, on the device; no wait for a GPU")],
            [
                compute("yes: clip and step"),
                compute("no: skip the step", "weights and optimizer state\nstay as they were"),
            ],
            [
                disk("runs/NAME/faults/*.pt", "batch, weights, configuration:\npython -m vfi_train.replay FILE"),
                decision("ten in a row", "end the run"),
            ],
        ],
    ),
    "evaluation": (
        "How an evaluation on two processes counts each sample once",
        [
            [compute("samples 0 ... n-1", "the benchmark's list, in its order")],
            [disk("rows of an earlier start", "same network, weights and protocol: not measured again")],
            [compute("process 0", "blocks 0, 2, 4, ..."), compute("process 1", "blocks 1, 3, 5, ...")],
            [disk("rows-0.jsonl", "one line a sample"), disk("rows-1.jsonl", "one line a sample")],
            [compute("gather", "rows, not sums; no padded duplicates")],
            [decision("check_once", "indices are exactly 0 ... n-1, or the program ends")],
            [compute("mean", "over samples, or over sequences, as the protocol says")],
        ],
    ),
}


ROOMS = {
    "app": "a page in the browser",
    "runs": "list and compare runs",
    "training": "python -m vfi_train: plan, build, run, report",
    "callbacks": "what happens at a step or a validation",
    "profile": "what a network costs",
    "modules": "the LightningModule",
    "visualization": "images for people",
    "inference": "Interpolator: padding, scale, tiles, times",
    "config": "composing,\nmistakes",
    "optim": "optimizers,\nschedules",
    "loggers": "CSV, W&B,\nTensorBoard",
    "weights": "published, shipped, runs",
    "metrics": "PSNR, SSIM, LPIPS, NIQE",
    "runtime": "signals, ranks, SLURM, devices, console",
    "losses": "loss terms",
    "datamodules": "datasets",
    "architectures": "networks",
    "contract": "Batch, Prediction",
    "errors": "UserError, DataError",
    "ranges": "of options, as type hints",
}


def rooms() -> tuple[str, list[list[Box]]]:
    """The rooms as pyproject.toml orders them for import-linter."""
    project = tomllib.loads((FOLDER.parents[1] / "pyproject.toml").read_text())
    contract = next(c for c in project["tool"]["importlinter"]["contracts"] if c["type"] == "layers")
    names = [[name.strip().removeprefix("vfi_train.") for name in row.split("|")] for row in contract["layers"]]
    rows = [
        [compute(name, ROOMS[name]) for name in row]
        if len(row) < 4
        else [compute("the other commands", f"{', '.join(row)}:\nnone imports another")]
        for row in names
    ]
    return "The rooms of the code: each imports only rooms below it", rows


def main() -> None:
    """Write every drawing."""
    FOLDER.mkdir(exist_ok=True)
    for name, (title, rows) in DRAWINGS.items():
        (FOLDER / f"{name}.svg").write_text(draw(title, rows))
    (FOLDER / "rooms.svg").write_text(draw(*rooms(), arrows=False))


def draw(title: str, rows: list[list[Box]], arrows: bool = True) -> str:
    """One SVG document."""
    parts: list[str] = []
    top = MARGIN
    before: list[tuple[float, float]] = []  # the middle of the lower edge of each box of the row before
    for row in rows:
        height = max(_height(box) for box in row)
        width = (WIDTH - 2 * MARGIN - GAP * (len(row) - 1)) / len(row)
        lefts = [MARGIN + i * (width + GAP) for i in range(len(row))]
        centres = [left + width / 2 for left in lefts]
        if arrows:
            for x0, y0 in before:
                for x1 in _targets(x0, centres, len(before)):
                    parts.append(f'<path class="a" d="M{x0:g} {y0:g}L{x1:g} {top - 2:g}" marker-end="url(#head)"/>')
        parts += [_box(box, left, top, width, height) for box, left in zip(row, lefts, strict=True)]
        before = [(x, top + height) for x in centres]
        top += height + (ARROW if arrows else GAP / 2)
    height = top - (ARROW if arrows else GAP / 2) + MARGIN
    return _DOCUMENT.format(width=WIDTH, height=f"{height:g}", title=escape(title), parts="\n".join(parts))


def _targets(x: float, centres: list[float], count: int) -> list[float]:
    """Where the arrows of a box go: to the box below it, or to all boxes of a row that has another number of them."""
    return [min(centres, key=lambda c: abs(c - x))] if len(centres) == count else centres


def _height(box: Box) -> float:
    return 14 + LINE * (1 + len(box.text.splitlines()))


def _box(box: Box, left: float, top: float, width: float, height: float) -> str:
    kind, title, text = box
    for pixels, line in [(8.3, title), *((6.6, line) for line in text.split("\n"))]:
        assert pixels * len(line) < width - 6, f"{line!r} is wider than its box"
    lines = [("t", title), *(("s", line) for line in text.split("\n") if line)]
    first = top + height / 2 - LINE * (len(lines) - 1) / 2 + 5
    middle = left + width / 2
    said = "".join(
        f'<text class="{style}" x="{middle:g}" y="{first + LINE * i:g}">{escape(line)}</text>'
        for i, (style, line) in enumerate(lines)
    )
    return (
        f'<rect x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}" rx="6" fill="{FILLS[kind]}" '
        f'stroke="{STROKES[kind]}"/>{said}'
    )


_DOCUMENT = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" \
width="{width}" height="{height}" role="img" aria-label="{title}">
<title>{title}</title>
<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">\
<path d="M0 0L8 4L0 8z" fill="#7c8799"/></marker></defs>
<style>text{{font-family:system-ui,sans-serif;text-anchor:middle;fill:#172033}}.t{{font-size:14px;font-weight:600}}\
.s{{font-size:12.5px}}.a{{stroke:#7c8799;stroke-width:1.6;fill:none}}</style>
{parts}
</svg>
"""


if __name__ == "__main__":
    main()
