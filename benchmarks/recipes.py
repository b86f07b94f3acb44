"""The table of published trainings in docs/recipes.md: python -m benchmarks.recipes

Every experiment that reproduces a publication: what is published, what decides its result, and what finished runs in
`runs/` have reached.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from benchmarks.results import table_row
from vfi_train.config.compose import compose_config
from vfi_train.config.epochs import length_as_written

ROOT = Path(__file__).parents[1]
COLUMNS = ("experiment", "published PSNR / SSIM", "where", "global batch", "steps", "learning rate", "losses", "status")
HEAD = """# Published trainings

Made by `python -m benchmarks.recipes` from `conf/experiment`. Lengths are epochs where the number of training samples
is not published. `tests/training/test_experiments.py` composes and builds each recipe and trains it for two steps with
a validation on a tiny dataset in the published layout; `tests/training/test_recipes.py` compares losses, gradients and
learning rates with the published trainer's, where there are such numbers.

"""


def main() -> None:
    """Write docs/recipes.md."""
    lines = [table_row(*COLUMNS), table_row(*["---"] * len(COLUMNS))]
    papers: dict[str, list[str]] = {}
    for path in sorted((ROOT / "conf" / "experiment").glob("*.yaml")):
        config = compose_config("train", [f"experiment={path.stem}"])
        if not (config.published or {}).get("paper"):
            continue  # one of ours
        lines.append(table_row(*row(path.stem, config)))
        papers.setdefault(config.published.paper, []).append(path.stem)
    sources = [f"- {paper}: {', '.join(f'`{name}`' for name in names)}" for paper, names in papers.items()]
    (ROOT / "docs" / "recipes.md").write_text(HEAD + "\n".join(lines) + "\n\n## Papers\n\n" + "\n".join(sources) + "\n")


def row(name: str, config: DictConfig) -> list[str]:
    """One experiment."""
    published = config.published
    numbers = f"{stated(published.psnr)} / {stated(published.ssim)}" if published.psnr else "not stated"
    return [
        f"`{name}`",
        numbers,
        published.table or "",
        str(config.data.batch_size),
        length_as_written(config) or f"{config.trainer.max_steps:,}",
        f"{config.optimizer.lr:g} to {config.schedule.floor:g}" + warmup(config),
        ", ".join(f"{term} {weight(block)}" for term, block in config.loss.terms.items()),
        measured(name),
    ]


def stated(value: float | None) -> str:
    """A published number as it is written."""
    return "not stated" if value is None else f"{value:g}"


def warmup(config: DictConfig) -> str:
    """The warm-up, where there is one."""
    written = OmegaConf.to_container(config.schedule, resolve=False)["warmup_steps"]  # type: ignore[index, call-overload]
    if not written:
        return ""
    count = f"{written:,}" if isinstance(written, int) else f"{written.removeprefix('${epochs:').rstrip('}')} epochs'"
    return f", {count} steps of warm-up"


def weight(block: Any) -> str:
    """The weight of a loss term; terms of several parts name theirs."""
    parts = {key: block[key] for key in ("content", "style") if block.get(key)}
    weight = block.get("weight", 1.0)
    if OmegaConf.is_config(weight):  # by the step
        (_, first), *_, (step, last) = weight.points
        return f"{first:g} to {last:g} at step {step:,}"
    return " ".join(f"{key} {value:g}" for key, value in parts.items()) or f"{weight:g}"


def measured(name: str) -> str:
    """What a finished run of the full recipe has reached."""
    report = ROOT / "runs" / name / "report.json"
    if not report.is_file():
        return "not trained here"
    best = next(iter(json.loads(report.read_text()).values()))
    return f"{best['PSNR']:.2f} / {best['SSIM']:.4f}"


if __name__ == "__main__":
    main()
