"""The tutorials, executed: their files written, their commands run, on small data in a temporary folder."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.pages import DOCS, ROOT, Block, blocks, lines
from tests.helpers.programs import ENVIRONMENT, run_program
from tests.helpers.videos import pan, write_video

# What is added to the page's commands, so that they take seconds.
SHORT = (
    "trainer.max_steps=2", "validate_every=2", "log_every=1", "data.batch_size=2", "data.num_workers=0",
    "data.val_samples=2", "schedule.warmup_steps=0", "schedule.steps=null", "trainer.accelerator=cpu", "logger=csv",
    "report=false",
)  # fmt: skip
SMALL_SCENES = ("data.size=32", "data.train_samples=8")
ADDED: dict[str, tuple[str, ...]] = {
    "index": SMALL_SCENES,
    "own_footage": ("data.cache_dir=cache",),
    "add_model": SMALL_SCENES,
    "add_dataset": (),
    "add_loss": SMALL_SCENES,
    "own_curriculum": SMALL_SCENES,
    "cluster_sweep": SMALL_SCENES,
}
PAGES = [DOCS / "index.md", *sorted((DOCS / "tutorials").glob("*.md"))]
SWEEP = DOCS / "tutorials" / "cluster_sweep.md"
MULTIRUN = "hydra/launcher=slurm"

# sbatch and srun on a machine without SLURM: a job runs at once, as one task; tests/slurm has a real cluster.
SBATCH = """#!/bin/bash
set -euo pipefail
tasks=-
while [[ $1 == --* ]]; do
  case $1 in
    --array=*) range=${1#--array=}; tasks=$(seq "${range%-*}" "${range#*-}") ;;
    --export=ALL,*) export "${1#--export=ALL,}" ;;
  esac
  shift
done
for task in $tasks; do
  SLURM_ARRAY_TASK_ID=$task SLURM_NTASKS_PER_NODE=1 SLURM_JOB_NUM_NODES=1 bash "$@"
done
"""
SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do shift; done
exec "$@"
"""


@pytest.fixture
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder with what the pages find there: the job scripts and, for own footage, videos."""
    (tmp_path / "slurm").symlink_to(ROOT / "slurm")
    for name, text in (("sbatch", SBATCH), ("srun", SRUN)):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    if request.node.callspec.params["page"].stem == "own_footage":
        (tmp_path / "footage").mkdir()
        for number in range(3):
            images = pan(8, seed=number, height=144, width=160)
            write_video(tmp_path / "footage" / f"clip{number}.mp4", images, options={"crf": "10"})
    return tmp_path


@pytest.mark.slow  # many programs, one after the other
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_works(page: Path, place: Path) -> None:
    assert page.stem in ADDED
    for number, block in enumerate(blocks(page)):
        if block.title:
            path = place / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        elif block.language == "python":
            (place / f"block{number}.py").write_text(block.text)
            check(run_program(f"block{number}", cwd=place), block.text)
        elif block.language == "sh":
            for line in lines(block):
                if MULTIRUN not in line:
                    run(line, place, ADDED[page.stem])
        else:
            assert "make " in block.text  # what needs an environment of its own


@pytest.mark.slow  # submitit starts Python from nothing for each job
def test_the_multirun_on_a_cluster(tmp_path: Path) -> None:
    """With submitit's local launcher in SLURM's place."""
    (line,) = [line for block in blocks(SWEEP) for line in lines(block) if MULTIRUN in line]
    line = line.replace(MULTIRUN, "hydra/launcher=submitit_local").replace("lr=1e-3,3e-4", "lr=1e-3")
    run(line, tmp_path, ADDED["cluster_sweep"])
    assert len(list((tmp_path / "runs").glob("*/finished.json"))) == 2


def run(line: str, place: Path, added: tuple[str, ...]) -> None:
    words = shlex.split(line)
    if words[:2] == ["python", "-m"]:
        more = (*SHORT, *added) if words[2] == "vfi_train" else added if "data.root=footage" in words else ()
        options = [word for word in words[3:] if word.startswith("--")]
        check(
            run_program(words[2], *(word for word in words[3:] if word not in options), *more, *options, cwd=place),
            line,
        )
        return
    environment = {
        **ENVIRONMENT, "PATH": f"{place / 'bin'}:{os.environ['PATH']}", "PYTHON": sys.executable,
        "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    if words[0] == "sbatch":
        line = shlex.join([*words, *SHORT, *added])
    check(subprocess.run(["bash", "-c", line], cwd=place, env=environment, capture_output=True, text=True), line)


def check(process: subprocess.CompletedProcess[str], what: str) -> None:
    assert process.returncode == 0, f"{what}\n{process.stdout[-2000:]}\n{process.stderr[-3000:]}"


def test_every_block_is_closed() -> None:
    for page in PAGES:
        assert all(isinstance(block, Block) for block in blocks(page))
        assert page.read_text().count("\n```") == 2 * len(blocks(page)), page
