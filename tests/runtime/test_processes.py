"""One training on several processes."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from lightning.pytorch.strategies import DDPStrategy

from tests.helpers.in_process import SMALL_ATM, read_checkpoint, rows
from tests.helpers.layouts import fabricate
from tests.helpers.programs import ENVIRONMENT, is_alive, train
from vfi_train.callbacks.sample_scores import check_count
from vfi_train.runtime.distributed import device_count, process_count, strategy

TINY = (
    "experiment=quickstart", "optimizer=adamw", "optimizer.lr=1e-3", "trainer.max_steps=12", "data.size=32",
    "data.batch_size=4", "data.num_workers=0",
    "data.train_samples=40", "data.val_samples=7", "data.val_batch_size=2", "validate_every=6", "checkpoint_every=5",
    "log_every=1", "schedule.warmup_steps=2", "schedule.steps=12",
)  # fmt: skip
TWO = ("trainer.devices=2", "trainer.accelerator=cpu")


def samples(run: Path) -> dict[str, float]:
    with (run / "samples.csv").open(newline="") as file:
        return {row["key"]: float(row["psnr"]) for row in csv.DictReader(file)}


def test_two_processes_train_as_one_does(tmp_path: Path) -> None:
    runs = {}
    for name, options in (("one", ("logger=csv",)), ("two", ("logger=default", *TWO))):
        result = train(*TINY, *options, f"name={name}", cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert not result.stderr
        runs[name] = tmp_path / "runs" / f"quickstart-{name}"
    assert "global batch 4 (2 processes)" in result.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"]  # the second process left nothing
    assert len(list(runs["two"].glob("wandb/offline-run-*"))) == 1  # only the first process's
    shutil.rmtree(runs["two"] / "wandb")
    (runs["two"] / "wandb_id").unlink()
    assert sorted(p.name for p in runs["one"].rglob("*")) == sorted(p.name for p in runs["two"].rglob("*"))
    one, two = rows(runs["one"]), rows(runs["two"])
    assert [row["step"] for row in two] == [str(step) for step in range(1, 13)]
    assert [row["train/lr"] for row in two] == [row["train/lr"] for row in one]
    for name in one[0]:
        if name.startswith("train/loss") or name == "train/gradient_norm":
            expected = [float(row[name]) for row in one]
            assert [float(row[name]) for row in two] == pytest.approx(expected, rel=2e-5), name
    for row_one, row_two in zip(one, two, strict=True):
        if row_one["val/psnr"]:
            assert float(row_two["val/psnr"]) == pytest.approx(float(row_one["val/psnr"]), rel=1e-6)
            assert float(row_two["val/ssim"]) == pytest.approx(float(row_one["val/ssim"]), rel=1e-6)
    weights = [read_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"] for run in runs.values()]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(
            weights[1][name], tensor, rtol=1e-4, atol=1e-6, msg=lambda text, n=name: f"{n}: {text}"
        )
    # Seven samples on two processes: each once, with the score that it has on one.
    assert len(samples(runs["two"])) == 7
    assert samples(runs["two"]) == pytest.approx(samples(runs["one"]), rel=1e-5)
    # Resumed from a checkpoint, the last step has the same bits.
    (runs["two"] / "finished.json").unlink()
    (runs["two"] / "checkpoints" / "last.ckpt").unlink()
    result = train(*TINY, "logger=csv", *TWO, "name=two", cwd=tmp_path)
    assert "resuming" in result.stdout, result.stderr
    again = read_checkpoint(runs["two"] / "checkpoints" / "last.ckpt")["state_dict"]
    assert all(torch.equal(again[name], tensor) for name, tensor in weights[1].items())


@pytest.mark.slow
def test_torchrun_is_one_run_of_its_processes_equal_to_one_that_starts_them(tmp_path: Path) -> None:
    options = (*TINY, "logger=csv", "trainer.accelerator=cpu", "report=false")
    result = train(*options, "trainer.devices=2", "name=devices", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "vfi_train"]
    result = subprocess.run(
        [*command, *options, "name=torchrun"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("global batch 4 (2 processes)") == 1
    runs = [tmp_path / "runs" / f"quickstart-{name}" for name in ("devices", "torchrun")]
    devices, torchrun = (read_checkpoint(run / "checkpoints" / "last.ckpt") for run in runs)
    assert devices["global_step"] == torchrun["global_step"] == 12
    for name, tensor in devices["state_dict"].items():
        assert torch.equal(torchrun["state_dict"][name], tensor), name
    volatile = ("train/samples_per_second", "train/data_wait")
    logs = [[{k: v for k, v in row.items() if k not in volatile} for row in rows(run)] for run in runs]
    assert logs[0] == logs[1]
    assert samples(runs[0]) == samples(runs[1])


def test_a_sweep_for_slurm_without_slurm_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENVIRONMENT, "PATH", str(tmp_path))
    result = train(*TINY, "seed=1,2", "hydra/launcher=slurm", "--multirun", cwd=tmp_path)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith('error: hydra/launcher=slurm could not submit the jobs (Could not detect "srun"')


@pytest.mark.slow
def test_a_curriculum_on_two_processes_with_what_each_phase_freezes(backbones: Path, tmp_path: Path) -> None:
    """No search for unused parameters: a trainable one without a gradient would stop the run."""
    roots = [
        f"roots.{name}={fabricate(name, tmp_path / 'data', size=(128, 160), clips=clips)}"
        for name, clips in (("vimeo90k", 4), ("x4k1000fps", 2), ("snu_film", 3))
    ]
    small = [option.replace("val_samples=1", "val_samples=3") for option in SMALL_ATM]
    result = train(*small, *roots, "curriculum.only=[local,global]", *TWO, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    run = tmp_path / "runs" / "atmvfi_curriculum"
    local, both = (read_checkpoint(run / name / "checkpoints" / "last.ckpt") for name in ("local", "global"))
    names = [checkpoint["optimizer_states"][0]["param_groups"][0]["param_names"] for checkpoint in (local, both)]
    assert [len(found) for found in names] == [172, 60]
    for name, tensor in both["state_dict"].items():
        assert torch.equal(tensor, local["state_dict"][name]) != (name.removeprefix("architecture.") in names[1])


def test_the_error_of_one_process_ends_all_in_seconds(tmp_path: Path) -> None:
    root = fabricate("vimeo90k", tmp_path / "data", size=(64, 96), clips=9)
    broken = sorted((root / "sequences").rglob("im2.png"))[0]  # one sample: one process meets it
    broken.write_bytes(b"no image")
    options = (
        "model=ifrnet_tiny", "data=vimeo90k", f"data.root={root}", "loss=ifrnet_unlabelled", "data.batch_size=2",
        "data.num_workers=0", "trainer.max_steps=40", "schedule.warmup_steps=0", "logger=csv", "report=false",
        "data.transforms=[{_target_: datamodules.transforms.RandomCrop, size: 64}]", *TWO,
    )  # fmt: skip
    began = time.monotonic()
    result = train(*options, cwd=tmp_path, timeout=120)
    assert result.returncode == 2
    assert result.stderr.count("error:") <= 2
    assert str(broken.relative_to(root.parent)) in result.stderr
    assert "Traceback" not in result.stderr
    assert time.monotonic() - began < 90


PARENT = """
import os, subprocess, sys, time
from vfi_train.runtime.child_process import exit_with_parent
if sys.argv[1] == "first":
    exit_with_parent()
    environment = {**os.environ, "LOCAL_RANK": "1"}
    other = subprocess.Popen([sys.executable, __file__, sys.argv[2]], env=environment, stdout=subprocess.PIPE)
    print(other.pid, other.stdout.readline().decode(), flush=True)
else:
    if sys.argv[1] == "early":
        exit_with_parent()
    print("is up", flush=True)
    while sys.argv[1] == "late" and os.getppid() == int(os.environ["VFI_TRAIN_FIRST_PROCESS"]):
        time.sleep(0.01)
    exit_with_parent()
time.sleep(60)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="by Linux's prctl")
@pytest.mark.parametrize("when", ["early", "late"])
def test_no_process_outlives_the_first(when: str, tmp_path: Path) -> None:
    """Whether it is up when the first one is killed, or still loads the program."""
    (tmp_path / "program.py").write_text(PARENT)
    environment = {**ENVIRONMENT, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, str(tmp_path / "program.py"), "first", when]
    first = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    other = int(first.stdout.readline().split()[0])
    first.kill()
    first.communicate()
    deadline = time.monotonic() + 20
    while is_alive(other):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_sweep_whose_jobs_would_start_each_other_is_refused(tmp_path: Path) -> None:
    result = train(*TINY, *TWO, "seed=1,2", "--multirun", cwd=tmp_path)
    assert result.returncode == 2
    assert "--multirun with trainer.devices=2 needs a launcher" in result.stderr
    assert "hydra/launcher=slurm" in result.stderr
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["multirun.yaml"]  # Hydra's own


def test_the_strategy_of_several_processes() -> None:
    many = strategy("auto", 4, 8, None)
    assert isinstance(many, DDPStrategy)
    options = many._ddp_kwargs
    assert (options["find_unused_parameters"], options["gradient_as_bucket_view"]) == (False, True)
    assert options["static_graph"] is True
    accumulated = strategy("ddp", 2, 8, 2)
    assert accumulated._ddp_kwargs["static_graph"] is False  # the graph of a step that only gathers is another
    assert strategy("auto", 1, 8, None) == "auto"
    assert strategy("fsdp", 2, 8, None) == "fsdp"
    assert process_count("auto", device_count([0, 2], 3)) == 6
    assert process_count("cpu", device_count("auto", 1)) == 1
    assert device_count("0,3", 1) == 2


def test_samples_are_counted() -> None:
    check_count(["a", "b"], 2)
    with pytest.raises(RuntimeError, match="3 samples were validated of 2; more than once: a"):
        check_count(["a", "b", "a"], 2)
    with pytest.raises(RuntimeError, match="1 samples were validated of 2"):
        check_count(["a"], 2)
