"""What each family has learned on synthetic scenes, from finished runs: python -m benchmarks.learning [RUNS]

    for name in quickstart synthetic_splat synthetic_rife synthetic_rife4 synthetic_emavfi synthetic_amt \\
            synthetic_atmvfi synthetic_ebme; do
        python -m vfi_train experiment=$name
    done
    python -m benchmarks.learning

Writes docs/learning.md, docs/images/learning.png (PSNR on held-out scenes against steps) and one image of each run.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
import platform
import shutil
from importlib.metadata import version
from pathlib import Path

import matplotlib
import yaml

from benchmarks.results import table_row
from vfi_train.architectures.base import count_parameters
from vfi_train.config.build_network import build_network
from vfi_train.runtime.devices import core_count

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
RUNS = (
    *("quickstart", "synthetic_splat", "synthetic_amt", "synthetic_emavfi", "synthetic_atmvfi"),
    *("synthetic_rife", "synthetic_rife4", "synthetic_ebme"),
)
COLUMNS = ("run", "network", "parameters", "losses", "steps", "minutes", "PSNR / SSIM", "mean of frames", "gain")


def main() -> None:
    """Read the runs that are finished, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="?", default=ROOT / "runs", help="the folder of the runs")
    folders = [parser.parse_args().runs / name for name in RUNS]
    folders = [folder for folder in folders if (folder / "report.json").is_file()]
    draw_curves(folders, DOCS / "images" / "learning.png")
    lines = [HEAD.format(when=datetime.date.today(), cores=core_count(), **versions())]
    lines += [table_row(*COLUMNS), table_row(*["---"] * len(COLUMNS))]
    lines += [table_row(*row(folder)) for folder in folders]
    lines += ["", "![PSNR on held-out scenes against steps](images/learning.png)", ""]
    for folder in folders:
        shutil.copyfile(folder / "images" / "latest.png", DOCS / "images" / f"learning_{folder.name}.png")
        lines += [f"## {folder.name}", "", f"![Held-out scenes](images/learning_{folder.name}.png)", ""]
    (DOCS / "learning.md").write_text("\n".join(lines))


HEAD = """# Learning motion from scratch

Small networks, trained on `data=synthetic` by their family's losses and the shape of its schedule.
Made by `python -m benchmarks.learning` on {when}: {cores} CPU cores ({machine}), torch {torch}, lightning {lightning}.
One thread per run; other programs ran at the same time, so the minutes are an upper bound. `synthetic_splat` is
`quickstart` with splatting along reversed flows in place of warping. `synthetic_rife4` has targets at any time, where
the mean of the frames is weighted by the time; the others have the middle frame.
A run of one of these experiments says when its last validation is more than half a dB from the number here.
"""


def versions() -> dict[str, str]:
    """What the numbers were made with."""
    return {"machine": platform.machine(), **{name: version(name) for name in ("torch", "lightning")}}


def row(run: Path) -> list[str]:
    """One run."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    report, summary = (json.loads((run / name).read_text()) for name in ("report.json", "finished.json"))
    ours, mean = next(iter(report.values())), report["mean of the two frames"]
    return [
        f"`{run.name}`",
        next(iter(report)).split(" ")[0],
        f"{count_parameters(build_network(config)):,}",
        ", ".join(config["loss"]["terms"]),
        f"{summary['steps']:,}",
        f"{summary['minutes_since_start']:.0f}",
        f"{ours['PSNR']:.2f} / {ours['SSIM']:.4f}",
        f"{mean['PSNR']:.2f}",
        f"{ours['PSNR'] - mean['PSNR']:+.2f} dB",
    ]


def draw_curves(runs: list[Path], path: Path) -> None:
    """PSNR against steps, one line a run."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    for run in runs:
        with (run / "metrics.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row.get("val/psnr")]
        axes.plot([int(r["step"]) for r in rows], [float(r["val/psnr"]) for r in rows], marker="o", label=run.name)
    axes.set(xlabel="optimizer steps", ylabel="PSNR on held-out scenes (dB)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
