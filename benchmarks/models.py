"""The tables of architectures in docs/models.md and README.md: python -m benchmarks.models

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

from benchmarks.results import table_row
from vfi_train.architectures import create_model, list_models
from vfi_train.architectures.base import count_parameters
from vfi_train.profile.inference_cost import multiply_accumulates
from vfi_train.weights.names import find_family

ROOT = Path(__file__).parents[1]
SIZE = (720, 1280)
COLUMNS = ("model", "parameters (M)", "GMACs", "time", "largest difference")
FAMILIES = {
    "ifrnet": "IFRNet", "amt": "AMT", "ema_vfi": "EMA-VFI", "atm_vfi": "ATM-VFI", "rife": "RIFE", "rife4": "RIFE 4",
    "ebme": "EBME",
}  # fmt: skip


def main() -> None:
    """Run the golden tests, count, and put the tables between their marks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path, help="what tests wrote under VFI_GOLDEN_RECORD; without it they are run")
    record = parser.parse_args().record
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(largest_differences(record or run_golden_tests(Path(folder) / "record.jsonl")))
    write(rows)


def write(rows: dict[str, list[str]]) -> None:
    """Put the tables into the pages. `rows`: the cells of `COLUMNS` after the first, by model."""
    page, readme = ROOT / "docs" / "models.md", ROOT / "README.md"
    replace(page, "models", table(COLUMNS, [[f"`{name}`", *cells] for name, cells in rows.items()]))
    layouts = [f"- {title}: {find_family(family).layouts}" for family, title in FAMILIES.items()]
    replace(page, "layouts", "\n".join(layouts))
    replace(readme, "models", table(("family", "models", "parameters (M)", "GMACs"), by_family(rows)))


def measure(differences: dict[str, dict[str, float]]) -> dict[str, list[str]]:
    """The cells of `COLUMNS` after the first, by model."""
    rows = {}
    for name in list_models():
        model = create_model(name)
        rows[name] = [
            f"{count_parameters(model) / 1e6:.2f}",
            f"{multiply_accumulates(model, SIZE) / 1e9:.1f}",
            "any" if model.arbitrary_time else "0.5",
            describe(differences.get(name)),
        ]
    return rows


def by_family(rows: dict[str, list[str]]) -> list[list[str]]:
    """One row per family: its models, and the range of their sizes and costs."""
    found = []
    for family, title in FAMILIES.items():
        names = [name for name in rows if create_model(name).family == family]
        parameters, cost = ([float(rows[name][column]) for name in names] for column in (0, 1))
        shown = ", ".join(f"`{name}`" for name in names)
        found.append([title, shown, f"{min(parameters):g} to {max(parameters):g}", f"{min(cost):g} to {max(cost):g}"])
    return found


def table(columns: tuple[str, ...], rows: list[list[str]]) -> str:
    """Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(table_row(*line) for line in lines)


def replace(path: Path, name: str, text: str) -> None:
    """Put the text between the marks of `name`."""
    begin, end = f"<!-- {name}: made by benchmarks/models.py -->", f"<!-- {name}: end -->"
    before, _, rest = path.read_text().partition(begin)
    path.write_text(f"{before}{begin}\n\n{text}\n\n{end}{rest.partition(end)[2]}")


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
