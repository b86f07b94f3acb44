"""How fast a training step is, beside a plain one: python -m benchmarks.train_step [--device cuda --compile both]

For every family its published recipe: samples per second and peak memory of forward, losses, backward and optimizer,
ours and those of a plain research repository (benchmarks/plain: textbook losses, a new grid for every warp, numbers
read at every step, float32, eager), which start from the same weights and take turns on the same batch. On a CPU ours
keeps freed memory, as training does, and so does the plain one of the first ratio; the plain one with the C library's
defaults stands beside. Each has a process of its own. The losses and gradient norms of their first step must agree.
Times are medians over rounds, the ratio is the median of the rounds' ratios. The bound is what the plain step that
keeps memory would gain if all but its convolutions and matrix products took no time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any, get_args

import torch

from benchmarks.results import write_section
from benchmarks.steps import PARTS, RECIPES, SMALL, draw_batch, recipe
from benchmarks.worker import CHECKPOINTED, KEPT, OURS, PLAIN, Worker
from vfi_train.modules.step_options import Compile

COMPILE = get_args(Compile)
PLOT = Path(__file__).parents[1] / "docs" / "images" / "train_step.png"
MIB = 2**20


def main() -> None:
    """Measure, print, plot, and put the table into RESULTS.md."""
    given = arguments()
    found = {}
    for name in given.models:
        found[name] = measure(name, given)
        print(f"{name}: {found[name]['ratio']:.2f} times plain", file=sys.stderr, flush=True)
        write(found, given)  # after each, so that a run that is ended has written what it measured
    print(as_table(found, given))


def write(found: dict[str, Any], given: argparse.Namespace) -> None:
    """The files that the arguments ask for."""
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    path = given.plot or PLOT.with_stem(PLOT.stem + variant(given).replace(":", "_"))
    if given.plot or given.results:
        plot(found, path)
    if given.results:
        title = f"Training step{variant(given).replace(':', ', ')}".replace(", base", ", base models")
        write_section(f"train_step{variant(given)}", title, f"{as_table(found, given)}\n\n{image(path)}")


def image(path: Path) -> str:
    """Markdown that shows a plot beside RESULTS.md."""
    return f"![seconds of the parts](../docs/images/{path.name})"


def variant(given: argparse.Namespace) -> str:
    """What tells results of other models, devices, precisions and compilers from the small ones in float32 on a CPU."""
    usual = {"device": "cpu", "precision": "32-true", "compile": "none"}
    others = [value for key, default in usual.items() if (value := getattr(given, key)) != default]
    return "".join(f":{part}" for part in (*["base"] * given.base, *others))


def arguments() -> argparse.Namespace:
    """What is measured how."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(SMALL), choices=list(RECIPES))
    parser.add_argument("--base", action="store_true", help="the published base (AMT: large) models instead")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="32-true", choices=["32-true", "bf16-mixed"], help="of ours")
    parser.add_argument("--compile", default="none", choices=COMPILE, help="ours")
    parser.add_argument("--channels-last", default="auto", choices=["auto", "true", "false"], help="ours")
    parser.add_argument("--checkpointing", action="store_true", help="ours")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, help="of the crops; without it the recipe's")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, help="on a CPU; without it all cores")
    parser.add_argument("--cpu-time", action="store_true", help="processor time instead of the clock's: busy machines")
    parser.add_argument("--json", type=Path, help="write the numbers there")
    parser.add_argument("--plot", type=Path, help="draw the parts there")
    parser.add_argument("--results", action="store_true", help="write the table into RESULTS.md, and the plot beside")
    given = parser.parse_args()
    if given.base:
        given.models = [name for name in RECIPES if name not in SMALL]
    return given


def measure(model: str, given: argparse.Namespace) -> dict[str, Any]:
    """Times, memory and bound of one family."""
    ways = (OURS, PLAIN, KEPT) if given.device == "cpu" else (OURS, PLAIN)
    workers = {way: Worker(way, model, given) for way in ways}
    agree(model, {way: worker.ask("first") for way, worker in workers.items()}, given.precision)
    resident = {way: workers[way].ask("resident") for way in (OURS, PLAIN)}  # before anything watches the steps
    rounds: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for number in range(given.rounds):
        for way in reversed(ways) if number % 2 else ways:
            rounds[way].append(workers[way].ask("parts"))
    memory = {way: workers[way].ask("peaks") for way in (OURS, PLAIN)}
    bound = 1 / workers[KEPT].ask("products") if given.device == "cpu" else None
    for worker in workers.values():
        worker.close()
    again = Worker(CHECKPOINTED, model, given)
    again.ask("first")
    resident[CHECKPOINTED] = again.ask("resident")
    seconds = statistics.median(again.ask("parts")["whole"] for _ in range(3))
    checkpointing = {"seconds": seconds, "memory": again.ask("peaks")}
    again.close()
    return {
        "samples": given.batch,
        "crop": draw_batch(recipe(model), 1, given.size, "cpu")["frame0"].shape[-1],
        "rounds": rounds,
        "ratio": statistics.median(ratios_of(rounds, ways[-1])),
        "bound": bound,
        "memory": memory,
        "resident": resident,
        "checkpointing": checkpointing,
        "load_average": os.getloadavg()[0],
        "threads": given.threads or torch.get_num_threads(),
    }


def agree(model: str, first: dict[str, tuple[float, float]], precision: str) -> None:
    """Compare what the ways found in their first step."""
    tolerance = 1e-4 if precision == "32-true" else 5e-2
    for what, x, y in zip(("loss", "gradient norm"), first[OURS], first[PLAIN], strict=True):
        if abs(x / y - 1) > tolerance:
            raise SystemExit(f"{model}: the {what} of the first step is {x}, of the plain one {y}")


def as_table(found: dict[str, Any], given: argparse.Namespace) -> str:
    """Markdown."""
    some = next(iter(found.values()))
    where = f"{some['threads']} threads" if given.device == "cpu" else given.device
    switches = f"precision {given.precision}, compile {given.compile}, channels-last {given.channels_last}"
    ratios = [numbers["ratio"] for numbers in found.values()]
    lines = [
        f"Batches of {given.batch} on {where}, {switches} (load average {some['load_average']:.1f}"
        f"{', processor time' if given.cpu_time else ''}). Seconds of the parts are ours / plain; the spread is half "
        "the interquartile range of the rounds' ratios; memory is the peak, without what the convolution library "
        "keeps. On a CPU ours keeps freed memory for the next step, as training does by default, and so does the plain "
        "step of the first ratio, whose geometric mean over all families is "
        f"**{statistics.geometric_mean(ratios):.2f}**. In the second ratio, the seconds and the memory, the plain step "
        "has the C library's defaults and pays at every step for memory that it gave back, more than the published "
        "code does. Resident memory is the peak of each process after three steps: libraries, the same ones, are "
        "counted, and what the C and the convolution library keep.",
        "",
        "| recipe | crop | samples/s | times plain | C library's defaults | bound | forward | losses | backward "
        "| optimizer | memory (MiB) | share | checkpointing: share, time | resident (MiB), checkpointing |",
        "| --- " * 14 + "|",
    ]
    for name, numbers in found.items():
        rounds = numbers["rounds"]
        medians = {way: medians_of(rounds[way]) for way in (OURS, PLAIN)}
        memory = {way: numbers["memory"][way]["whole"] for way in (OURS, PLAIN)}
        resident = {way: f"{size / MIB:,.0f}" for way, size in numbers["resident"].items()}
        again = numbers["checkpointing"]
        first, *others = (ratios_of(rounds, way) for way in (KEPT, PLAIN) if way in rounds)
        bound = f"{numbers['bound']:.2f}" if numbers["bound"] else "-"
        cells = [
            f"`{RECIPES[name]}`",
            f"{numbers['crop']}",
            f"{numbers['samples'] / medians['ours']['whole']:.2f}",
            f"**{numbers['ratio']:.2f}** ± {spread(first):.2f}",
            f"{statistics.median(others[0]):.2f}" if others else "-",
            bound,
            *(f"{medians['ours'][part]:.4f} / {medians['plain'][part]:.4f}" for part in PARTS),
            f"{memory['ours'] / MIB:,.0f} / {memory['plain'] / MIB:,.0f}",
            f"{memory['ours'] / memory['plain']:.2f}",
            f"{again['memory']['whole'] / memory['plain']:.2f}, {again['seconds'] / medians['ours']['whole']:.2f}",
            f"{resident[OURS]} / {resident[PLAIN]}, {resident[CHECKPOINTED]}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def ratios_of(rounds: dict[str, list[dict[str, float]]], way: str) -> list[float]:
    """How many times as long as ours another way took, round by round."""
    return [other["whole"] / ours["whole"] for ours, other in zip(rounds["ours"], rounds[way], strict=True)]


def medians_of(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {part: statistics.median(one[part] for one in rounds) for part in rounds[0]}


def spread(values: list[float]) -> float:
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / 2


def plot(found: dict[str, Any], path: Path) -> None:
    """Bars of the parts, ours beside plain."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 0.7 * len(found) + 1.6))
    colours = dict(zip(PARTS, ("#4c78a8", "#f58518", "#54a24b", "#b279a2"), strict=True))
    places, names = [], []
    for row, (name, numbers) in enumerate(found.items()):
        for shift, way in ((-0.2, OURS), (0.2, PLAIN)):
            left = 0.0
            medians = medians_of(numbers["rounds"][way])
            for part in PARTS:
                axes.barh(row + shift, medians[part], 0.36, left, color=colours[part])
                left += medians[part]
            places.append(row + shift)
            names.append(f"{name} {way}")
    axes.set_yticks(places, names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel(f"seconds of a step, batch of {next(iter(found.values()))['samples']}")
    axes.legend([pyplot.Rectangle((0, 0), 1, 1, color=c) for c in colours.values()], PARTS, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
