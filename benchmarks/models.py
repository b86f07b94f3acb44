"""The table of architectures in README.md, made anew: python -m benchmarks.models

Parameters and multiply-accumulates are counted without computing anything (fake tensors): convolutions, matrix
products and attention for one 1280x720 frame, padded as the network needs it. The last column is the largest absolute
difference to the published network over all images in [0, 1] that the golden tests compare; the tests write it when
VFI_GOLDEN_RECORD names a file.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from vfi_train.architectures import create_model, list_models
from vfi_train.architectures.base import count_parameters
from vfi_train.profile.inference_cost import multiply_accumulates
from vfi_train.weights.names import family_layouts

ROOT = Path(__file__).parents[1]
SIZE = (720, 1280)
BEGIN, END = "<!-- models: made by benchmarks/models.py -->", "<!-- models: end -->"
COLUMNS = ("model", "parameters (M)", "GMACs", "time", "largest difference", "published checkpoints")


def main() -> None:
    """Run the golden tests, count, and put the table between its marks in README.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path, help="what tests wrote under VFI_GOLDEN_RECORD; without it they are run")
    record = parser.parse_args().record
    with tempfile.TemporaryDirectory() as folder:
        rows = table(largest_differences(record or run_golden_tests(Path(folder) / "record.jsonl")))
    readme = ROOT / "README.md"
    before, _, rest = readme.read_text().partition(BEGIN)
    readme.write_text(f"{before}{BEGIN}\n{rows}\n{END}{rest.partition(END)[2]}")
    print(rows)


def table(differences: dict[str, dict[str, float]]) -> str:
    """The table as Markdown."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "| --- " * len(COLUMNS) + "|"]
    for name in list_models():
        model = create_model(name)
        cells = (
            f"`{name}`",
            f"{count_parameters(model) / 1e6:.2f}",
            f"{multiply_accumulates(model, SIZE) / 1e9:.1f}",
            "any" if model.arbitrary_time else "0.5",
            describe(differences.get(name)),
            family_layouts(model.family),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def run_golden_tests(record: Path) -> Path:
    """Run the tests of the architectures, which write their differences to the goldens."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "tests/architectures", "-m", "not gpu and not slow"]
    environment = {**os.environ, "VFI_GOLDEN_RECORD": str(record), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, cwd=ROOT, env=environment)
    return record


def largest_differences(record: Path) -> dict[str, dict[str, float]]:
    """Of each model, for each precision."""
    found: dict[str, dict[str, float]] = {}
    for line in record.read_text().splitlines():
        row = json.loads(line)
        precision = "float64" if row["array"].endswith("float64") else "float32"
        kept = found.setdefault(row["model"], {})
        kept[precision] = max(kept.get(precision, 0.0), row["difference"])
    return found


def describe(differences: dict[str, float] | None) -> str:
    """The last column."""
    if not differences:
        return "no golden of its own"
    return ", ".join(f"{value:.0e} ({precision})" for precision, value in sorted(differences.items()))


if __name__ == "__main__":
    main()
