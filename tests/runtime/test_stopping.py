"""A training stopped by a signal: the step is finished and saved, and nothing is lost or done twice."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from tests.helpers.in_process import planned, read_checkpoint, rows, train_tiny
from tests.helpers.sources import NumbersData
from vfi_train import __main__ as program
from vfi_train.errors import UserError
from vfi_train.runtime.child_process import FIRST
from vfi_train.runtime.distributed import check_torchrun
from vfi_train.runtime.early_signals import early_signals, note_signals
from vfi_train.runtime.slurm import check_job, cluster_environment, requeue
from vfi_train.runtime.stop_signals import Stopped

TINY = (
    "trainer.max_steps=8",
    "checkpoint_every=100",
    "validate_every=4",
    "data.val_samples=6",
    "data.val_batch_size=2",
)
HANDLERS = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)}


class Signal(L.Callback):
    """Sends this process a signal in a hook."""

    def __init__(self, number: int, hook: str, step: int) -> None:
        def send(trainer: L.Trainer, *args: Any, **kwargs: Any) -> None:
            if trainer.global_step == step:
                assert signal.getsignal(number).__qualname__ == "StopSignals._handle"  # type: ignore[union-attr]
                os.kill(os.getpid(), number)

        setattr(self, hook, send)


def stopped(folder: Path, name: str, hook: str, step: int, *overrides: str) -> Stopped:
    number = int(getattr(signal, name))
    values = f"number: {number}, hook: {hook}, step: {step}"
    send = f"+callbacks.signal={{_target_: tests.runtime.test_stopping.Signal, {values}}}"
    with pytest.raises(Stopped) as caught:
        train_tiny(folder, *TINY, send, *overrides, "resume=force")
    assert {number: signal.getsignal(number) for number in HANDLERS} == HANDLERS  # given back
    return caught.value


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny(tmp_path_factory.mktemp("undisturbed"), *TINY)


def outcome(run: Path) -> tuple[Any, ...]:
    content = read_checkpoint(run / "checkpoints" / "last.ckpt")
    kept = ("step", "train/loss", "train/lr", "train/gradient_norm", "val/psnr", "val/ssim")
    return content["state_dict"], [{name: row[name] for name in kept} for row in rows(run)]


def assert_equal(run: Path, undisturbed: Path) -> None:
    (expected, expected_rows), (got, got_rows) = outcome(undisturbed), outcome(run)
    assert got_rows == expected_rows
    assert all(torch.equal(got[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("name", "hook", "step", "saved"),
    [
        ("SIGUSR1", "on_before_optimizer_step", 1, 2),  # in the middle of a step, which is finished
        # The step is to be validated: the one before was saved.
        pytest.param("SIGTERM", "on_train_batch_start", 3, 3, marks=pytest.mark.slow),
        ("SIGUSR2", "on_validation_batch_start", 4, 3),  # in the middle of the validation, which is broken off
        pytest.param("SIGTERM", "on_validation_end", 4, 5, marks=pytest.mark.slow),
        ("SIGINT", "on_before_zero_grad", 6, 7),
        ("SIGTERM", "on_validation_batch_start", 8, 7),  # in the last validation
    ],
)
def test_it_goes_on_as_if_never_stopped(
    name: str, hook: str, step: int, saved: int, undisturbed: Path, tmp_path: Path
) -> None:
    stop = stopped(tmp_path, name, hook, step)
    assert str(stop) == f"stopped by {name} after step {saved}, which is saved: the same command resumes from there"
    run = tmp_path / "runs" / "quickstart"
    assert read_checkpoint(run / "checkpoints" / "last.ckpt")["global_step"] == saved
    assert not (run / "finished.json").exists()
    train_tiny(tmp_path, *TINY, "resume=force")
    assert_equal(run, undisturbed)


def test_stopped_in_the_middle_of_an_accumulated_step(tmp_path: Path) -> None:
    options = (*TINY, "data.micro_batch_size=1")
    uninterrupted = train_tiny(tmp_path / "uninterrupted", *options)
    assert stopped(tmp_path, "SIGTERM", "on_train_batch_start", 1, "data.micro_batch_size=1").step == 2
    assert_equal(train_tiny(tmp_path, *options, "resume=force"), uninterrupted)


def test_before_the_first_step_it_ends_at_once(tmp_path: Path) -> None:
    assert stopped(tmp_path, "SIGTERM", "on_fit_start", 0).step is None
    assert not (tmp_path / "runs" / "quickstart" / "checkpoints" / "last.ckpt").exists()


def test_a_signal_while_the_program_is_loaded_is_answered(tmp_path: Path) -> None:
    try:
        note_signals()
        os.kill(os.getpid(), signal.SIGUSR1)
        with pytest.raises(Stopped) as caught:
            train_tiny(tmp_path, *TINY)
    finally:
        for number, handler in HANDLERS.items():
            signal.signal(number, handler)
    assert (caught.value.number, caught.value.step) == (signal.SIGUSR1, None)
    assert not (tmp_path / "runs").exists()
    assert not early_signals  # a sweep's next training is not stopped by it


def test_a_signal_after_the_end_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python itself would end by it while it tidies up: handlers of its own are gone then."""
    monkeypatch.setenv(FIRST, "")
    monkeypatch.setattr(program, "run", lambda *arguments: None)
    try:
        program.main()
        assert signal.getsignal(signal.SIGUSR1) == signal.getsignal(signal.SIGUSR2) == signal.SIG_IGN
        os.kill(os.getpid(), signal.SIGUSR1)
    finally:
        for number, handler in HANDLERS.items():
            signal.signal(number, handler)
    assert not early_signals


def test_workers_outlive_signals_that_go_to_all_processes() -> None:
    forking = [True]  # torch, too, starts threads in a worker before it is set up
    start = lambda: forking and threading.Thread(target=time.sleep, args=(60,), daemon=True).start()  # noqa: E731
    os.register_at_fork(after_in_child=start)
    data = NumbersData(batch_size=4, num_workers=2, train=200)
    data.setup()
    batches = iter(data.train_dataloader())
    for _ in range(2):  # one of each worker: both are up
        next(batches)
    forking.clear()
    workers = [process for process in multiprocessing.active_children() if process.daemon]
    assert len(workers) == 2
    with multiprocessing.get_context("fork").Pool(1) as stranger:  # of a terminal or SLURM, not the parent
        for worker in workers:
            for name in ("SIGINT", "SIGUSR1", "SIGUSR2", "SIGTERM"):
                stranger.apply(os.kill, (worker.pid, getattr(signal, name)))
    assert sum(1 for _ in batches) == 48
    workers[0].terminate()  # by the parent
    workers[0].join(10)
    assert workers[0].exitcode == 0


# ------------------------------------------------------------------------------------------------------- SLURM

STEP = {"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "train", "SLURM_STEP_ID": "0", "SLURM_NNODES": "1"}


@pytest.mark.parametrize(
    ("environ", "processes", "nodes", "message"),
    [
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2"}, 2, 1, "without srun"),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2"}, None, 1, "without srun"),
        ({**STEP, "SLURM_NTASKS": "4"}, 2, 1, "srun started 4 tasks, but trainer.devices x trainer.num_nodes are 2"),
        ({**STEP, "SLURM_NTASKS": "4"}, 1, 1, "srun started 4 tasks"),
        ({**STEP, "SLURM_NTASKS": "1"}, 4, 2, "srun started 1 tasks"),
        ({**STEP, "SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "2"}, 4, 2, "gave this job 1 nodes"),
        ({**STEP, "SLURM_NTASKS": "4"}, 4, 1, "use #SBATCH --ntasks-per-node=4"),
    ],
)
def test_a_job_that_would_hang_is_refused(environ: dict, processes: int | None, nodes: int, message: str) -> None:
    with pytest.raises(UserError) as caught:
        check_job(processes, nodes, environ)
    assert message in str(caught.value)


def test_torchrun_s_processes_are_counted() -> None:
    environ = {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}
    check_torchrun(4, 2, environ)
    check_torchrun(1, 1, {})
    for devices, nodes, given in ((4, 1, "4 x 1"), (1, 1, "1 x 1"), (6, 2, "3 x 2")):
        with pytest.raises(UserError, match=rf"WORLD_SIZE=4\), but trainer.devices x trainer.num_nodes are {given}: "):
            check_torchrun(devices, nodes, environ)


def test_the_devices_of_torchrun_are_taken_unless_others_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    taken = planned("experiment=quickstart")
    assert (taken.devices, taken.num_nodes, taken.batch_split) == (2, 2, (1, 1))
    assert planned("experiment=quickstart", "trainer.devices=auto", "trainer.num_nodes=2").devices == 2
    with pytest.raises(UserError, match=r"trainer\.devices x trainer\.num_nodes are 1 x 1"):
        train_tiny(Path(), "trainer.devices=1")


@pytest.mark.filterwarnings("ignore:The `srun` command is available")
@pytest.mark.parametrize(
    ("environ", "processes", "nodes", "kind"),
    [
        ({}, 2, 1, "NoneType"),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2"}, 1, 1, "LightningEnvironment"),
        ({"SLURM_JOB_ID": "7"}, 2, 1, "LightningEnvironment"),
        ({**STEP, "SLURM_NTASKS": "1"}, 2, 1, "LightningEnvironment"),
        ({**STEP, "SLURM_NTASKS": "4", "SLURM_JOB_NAME": "bash"}, 2, 1, "LightningEnvironment"),
        ({**STEP, "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2"}, 2, 1, "SLURMEnvironment"),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2", "TORCHELASTIC_RUN_ID": "x"}, 4, 1, "NoneType"),
    ],
)
def test_who_starts_the_processes(environ: dict, processes: int, nodes: int, kind: str) -> None:
    check_job(processes, nodes, environ)
    found = cluster_environment(environ)
    assert type(found).__name__ == kind
    assert not getattr(found, "auto_requeue", False)


@pytest.mark.parametrize(
    ("name", "reason", "calls"),
    [
        ("SIGUSR1", "None", ["requeue 7_3"]),
        ("SIGUSR2", "None", ["requeue 7_3"]),
        ("SIGTERM", "None", ["show job 7_3"]),  # scancel: the job is to end
        ("SIGTERM", "TimeLimit", ["show job 7_3", "requeue 7_3"]),
        ("SIGINT", "TimeLimit", []),
    ],
)
def test_which_signals_requeue(
    name: str, reason: str, calls: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a program in the place of scontrol: the real one is called in tests/slurm."""
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\necho "JobState=COMPLETING Reason={reason}"\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    job = {"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3", "SLURM_JOB_NAME": "train"}
    message = requeue(int(getattr(signal, name)), job)
    assert (tmp_path / "calls").read_text().splitlines() == calls if calls else not (tmp_path / "calls").exists()
    assert (message is not None) == any("requeue" in line for line in calls)
    assert requeue(int(getattr(signal, name)), {}) is None
