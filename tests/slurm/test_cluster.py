"""Trainings on a real SLURM: requeued, swept, chained, they end with the bits of undisturbed ones.

One cluster of one node on loopback (see tests/helpers/slurm_cluster.py). All jobs are submitted at the start and run
side by side; each test then looks at its own. `make test-slurm`.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from tests.helpers.programs import train
from tests.helpers.slurm_cluster import Cluster, why_not

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(why_not() is not None, reason=why_not() or ""),
]
ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "slurm"
PATIENCE = 400  # seconds that all jobs together may take
TINY = (
    "experiment=quickstart", "data.size=32", "data.batch_size=4", "data.num_workers=1", "data.train_samples=40",
    "data.val_samples=5", "trainer.max_steps=30", "validate_every=10", "checkpoint_every=7", "log_every=1",
    "schedule.warmup_steps=2", "schedule.steps=30", "logger=csv", "trainer.accelerator=cpu",
)  # fmt: skip
ONE_CPU = ("--gpus-per-node=0", "--ntasks-per-node=1", "--cpus-per-task=1")  # of scripts that are for GPUs
PHASES = tuple(option for option in TINY if not option.startswith("trainer.max_steps"))
SHORT = """# @package _global_
defaults: [base, _self_]
curriculum:
  phases:
    - {name: first, overrides: [trainer.max_steps=6]}
    - {name: second, overrides: [trainer.max_steps=8], weights: "previous:last", optimizer_state: previous}
"""


def pace(seconds: float) -> str:
    return f"+callbacks.pace={{_target_: tests.helpers.pace.Pace, seconds: {seconds}}}"


@dataclass
class Jobs:
    """The cluster with all jobs submitted."""

    cluster: Cluster
    folder: Path
    two: str
    limit: str
    cancelled: str
    phases: list[str]
    array: list[str]
    refused: list[str]
    sweep: subprocess.Popen[str]

    def output(self, name: str) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob(f"slurm-{name}*.out")))

    def undisturbed(self, *overrides: str, options: tuple[str, ...] = TINY) -> Path:
        """The folder of a run outside of SLURM."""
        folder = self.folder / "undisturbed"
        folder.mkdir(exist_ok=True)
        result = train(*options, *overrides, cwd=folder)
        assert result.returncode == 0, result.stderr
        return folder / "runs"


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    folder = tmp_path_factory.mktemp("jobs")
    (folder / "conf" / "curriculum").mkdir(parents=True)
    (folder / "conf" / "curriculum" / "short.yaml").write_text(SHORT)
    with Cluster(tmp_path_factory.mktemp("slurm")) as cluster:
        cluster.environ |= {"PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}

        def submit(*arguments: str) -> str:
            return cluster.run("sbatch", "--parsable", *arguments, cwd=folder).strip()

        cpu_test = str(SCRIPTS / "cpu_test.sh")
        two = submit("--job-name=two", cpu_test, *TINY, "name=two", pace(0.2))
        limit = submit(
            "--job-name=limit", "--time=2", "--signal=USR1@60", *ONE_CPU, str(SCRIPTS / "one_node.sh"), *TINY,
            "name=limit", "logger=default", pace(2.0),
        )  # fmt: skip
        cancelled = submit(
            "--job-name=cancelled", *ONE_CPU, str(SCRIPTS / "one_node.sh"), *TINY, "name=cancelled", pace(0.2)
        )
        array = submit(
            "--job-name=array", "--array=5-6", *ONE_CPU, str(SCRIPTS / "sweep.sh"), "seed", *TINY,
        )  # fmt: skip
        chain = cluster.run(
            str(SCRIPTS / "curriculum.sh"), "first second", f"{' '.join(ONE_CPU)} {SCRIPTS / 'one_node.sh'}", *PHASES,
            "name=chain", "curriculum=short", f"hydra.searchpath=[file://{folder / 'conf'}]", cwd=folder,
        )  # fmt: skip
        sweep = subprocess.Popen(
            [
                sys.executable, "-m", "vfi_train", *TINY, "name=sweep", "seed=7,8", "hydra/launcher=slurm",
                "hydra.launcher.cpus_per_task=1", "hydra.launcher.timeout_min=9", "trainer.devices=2", pace(0.2),
                "--multirun",
            ],
            cwd=folder, env=cluster.environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        program = " ".join((sys.executable, "-m", "vfi_train", *TINY, "name=without_srun", "trainer.devices=2"))
        wrapped = ("--job-name=without_srun", "--ntasks-per-node=2", "--output=slurm-%x-%j.out", f"--wrap={program}")
        one_node = ("--nodes=1", *ONE_CPU, "--ntasks-per-node=2", str(SCRIPTS / "several_nodes.sh"))
        refused = [
            submit("--job-name=too_few", cpu_test, *TINY, "name=too_few", "trainer.devices=3"),
            submit("--job-name=nodes", *one_node, *TINY, "name=nodes", "trainer.devices=1", "trainer.num_nodes=2"),
            submit(*wrapped),
        ]
        phases = [line.rpartition(" ")[2] for line in chain.splitlines()]
        runs = folder / "runs"

        def requeue() -> None:
            wait_for_step(runs / "quickstart-two", 8)
            cluster.run("scontrol", "requeue", two)

        def warn() -> None:  # as submitit has SLURM do it ahead of the time limit
            wait_for_step(runs / "quickstart-sweep-seed=8", 5)
            cluster.run("scancel", "--signal=USR2", f"{job_of_sweep(cluster)}_1")

        def cancel() -> None:
            wait_for_step(runs / "quickstart-cancelled", 3)
            cluster.run("scancel", cancelled)

        for disturb in (requeue, warn, cancel):
            threading.Thread(target=disturb, daemon=True).start()
        try:
            yield Jobs(cluster, folder, two, limit, cancelled, phases, [f"{array}_5", f"{array}_6"], refused, sweep)
        finally:
            sweep.kill()
            sweep.wait()


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return [
            {k: v for k, v in row.items() if k not in ("train/samples_per_second", "train/data_wait")}
            for row in csv.DictReader(file)
        ]


def assert_same(run: Path, expected: Path) -> None:
    """The same weights, to the bit, and the same log, each step once."""
    assert rows(run) == rows(expected)
    got, wanted = (
        torch.load(path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for path in (run, expected)
    )
    for name, tensor in wanted.items():
        assert torch.equal(got[name], tensor), name


def wait_for_step(run: Path, step: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while not ((run / "metrics.csv").exists() and len(rows(run)) >= step):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def job_of_sweep(cluster: Cluster) -> str:
    """The number of the launcher's array."""
    queue = cluster.run("squeue", "--noheader", "--states=all", "--name=vfi_train", "--format=%F").split()
    return queue[0]


def test_two_tasks_requeued_by_hand(jobs: Jobs) -> None:
    """`scontrol requeue`: SIGTERM, then SLURM's own requeue."""
    run = jobs.folder / "runs" / "quickstart-two"
    expected = jobs.undisturbed("name=two", "trainer.devices=2") / run.name
    assert jobs.cluster.finish(jobs.two, PATIENCE) == "COMPLETED", jobs.output("two")
    assert jobs.cluster.field(jobs.two, "Restarts") == "1"
    output = jobs.output("two")
    assert "stopped by SIGTERM after step" in output
    assert output.count("resuming") == 1
    assert "global batch 4 (2 processes)" in output
    assert_same(run, expected)


def test_the_warning_ahead_of_the_time_limit(jobs: Jobs) -> None:
    run = jobs.folder / "runs" / "quickstart-limit"
    expected = jobs.undisturbed("name=limit") / run.name
    assert jobs.cluster.finish(jobs.limit, PATIENCE) == "COMPLETED", jobs.output("limit")
    output = jobs.output("limit")
    restarts = int(jobs.cluster.field(jobs.limit, "Restarts"))
    assert restarts >= 1
    assert output.count(f"job {jobs.limit} is requeued") == restarts
    assert output.count("stopped by SIGUSR1") == restarts
    assert 1 <= output.count("resuming") <= restarts  # it may be warned again while it starts
    assert_same(run, expected)
    # Every start of the job continued the same W&B run.
    logged = [path.name.rpartition("-")[2] for path in (run / "wandb").glob("offline-run-*")]
    assert len(logged) >= 2
    assert set(logged) == {(run / "wandb_id").read_text()}
    assert "W&B" not in output
    assert "Traceback" not in output
    # One owner: Lightning's own handler would have left these.
    assert not list(run.rglob("hpc_ckpt*"))
    assert "Handling auto-requeue signal" not in output


def test_a_job_that_is_cancelled_saves_its_step_and_stays_out_of_the_queue(jobs: Jobs) -> None:
    assert jobs.cluster.finish(jobs.cancelled, PATIENCE) == "CANCELLED"
    assert jobs.cluster.field(jobs.cancelled, "Restarts") == "0"
    last = jobs.folder / "runs" / "quickstart-cancelled" / "checkpoints" / "last.ckpt"
    step = torch.load(last, weights_only=True)["global_step"]
    assert step >= 3
    assert f"stopped by SIGTERM after step {step}, which is saved: the same command" in jobs.output("cancelled")


def test_a_chain_of_phases(jobs: Jobs) -> None:
    folder = jobs.folder / "runs" / "quickstart-chain"
    search = f"hydra.searchpath=[file://{jobs.folder / 'conf'}]"
    expected = jobs.undisturbed("name=chain", "curriculum=short", search, options=PHASES)
    for job in jobs.phases:
        assert jobs.cluster.finish(job, PATIENCE) == "COMPLETED", jobs.output("first") + jobs.output("second")
    first, second = (jobs.cluster.run("scontrol", "show", "job", job) for job in jobs.phases)
    ended, began = (text.partition(key)[2].split()[0] for text, key in ((first, "EndTime="), (second, "StartTime=")))
    assert ended <= began
    for phase in ("first", "second"):
        assert_same(folder / phase, expected / folder.name / phase)


def test_an_array_by_script(jobs: Jobs) -> None:
    for job in jobs.array:
        assert jobs.cluster.finish(job, PATIENCE) == "COMPLETED", jobs.output("array")
    runs = jobs.folder / "runs"
    assert_same(runs / "quickstart-seed=6", jobs.undisturbed("seed=6", "sweep=[seed]") / "quickstart-seed=6")
    assert (runs / "quickstart-seed=5" / "finished.json").exists()


def test_a_sweep_through_the_launcher(jobs: Jobs) -> None:
    """Two jobs of two tasks. One gets submitit's warning: it requeues itself, and the sweep waits for it."""
    runs = jobs.folder / "runs"
    output, _ = jobs.sweep.communicate(timeout=PATIENCE)
    assert jobs.sweep.returncode == 0, output
    for seed in (7, 8):
        assert (runs / f"quickstart-sweep-seed={seed}" / "finished.json").exists()
    assert jobs.cluster.field(f"{job_of_sweep(jobs.cluster)}_1", "Restarts") == "1"
    name = "quickstart-sweep-seed=8"
    assert_same(runs / name, jobs.undisturbed("name=sweep", "seed=8", "sweep=[seed]", "trainer.devices=2") / name)


def test_jobs_that_would_hang_say_so(jobs: Jobs) -> None:
    for job in jobs.refused:
        assert jobs.cluster.finish(job, PATIENCE) == "FAILED"
    assert "srun started 2 tasks, but trainer.devices x trainer.num_nodes are 3" in jobs.output("too_few")
    assert "SLURM gave this job 1 nodes, but trainer.num_nodes=2" in jobs.output("nodes")
    assert "Python was started without srun" in jobs.output("without_srun")
    assert not {"too_few", "nodes", "without_srun"} & {p.name.partition("-")[2] for p in jobs.folder.glob("runs/*")}
