"""A curriculum on two processes that is killed up to twenty times, anywhere, ends as if nothing had happened."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
import torch

from tests.helpers.in_process import read_checkpoint, rows
from tests.helpers.programs import ENVIRONMENT, is_alive, start_program, train

SEED = int(os.environ.get("CHAOS_SEED", "20"))  # of the moments, the signals and the victims
STEPS = 30  # of each phase
CURRICULUM = f"""# @package _global_
defaults: [base, _self_]
curriculum:
  phases:
    - name: first
      overrides: [trainer.max_steps={STEPS}]
      freeze: ["encoder.*"]
      weights: ifrnet_tiny_synthetic
    - name: second
      overrides: [trainer.max_steps={STEPS}, data.batch_size=2]
      weights: previous
      optimizer_state: previous
"""
TINY = (
    "experiment=quickstart", "curriculum=chaos", "data.size=32", "data.batch_size=4", "data.num_workers=1",
    "data.train_samples=28", "data.val_samples=5", "validate_every=10", "checkpoint_every=4", "log_every=1",
    "schedule.warmup_steps=2", "schedule.steps=30", "logger=csv", "trainer.devices=2", "trainer.accelerator=cpu",
    "+callbacks.pace={_target_: tests.helpers.pace.Pace, seconds: 0.12}",
)  # fmt: skip
VOLATILE = ("train/samples_per_second", "train/data_wait")


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    return [pid, *(one for child in children(pid) for one in family(child))]


def steps_done(folder: Path) -> int:
    return sum(len(rows(run.parent)) for run in folder.glob("*/metrics.csv"))


def wait_for_steps(process: ForkServerProcess, folder: Path, more: int) -> None:
    """Until so many steps have been done that were not before, or the program has ended."""
    begin = steps_done(folder)
    while process.is_alive() and steps_done(folder) < begin + more:
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the processes are found in Linux's /proc")
@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.long)])
def test_killed_again_and_again_it_ends_with_the_same_bits(
    kills: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENVIRONMENT, "PYTHONPATH", str(Path(__file__).parents[2]))  # the second process finds Pace
    (tmp_path / "conf" / "curriculum").mkdir(parents=True)
    (tmp_path / "conf" / "curriculum" / "chaos.yaml").write_text(CURRICULUM)
    command = (*TINY, f"hydra.searchpath=[file://{tmp_path / 'conf'}]")
    uninterrupted = tmp_path / "uninterrupted"
    uninterrupted.mkdir()
    result = train(*command, cwd=uninterrupted)
    assert result.returncode == 0, result.stderr
    chance = random.Random(SEED)
    folder = tmp_path / "chaos" / "runs" / "quickstart"
    (tmp_path / "chaos").mkdir()
    moments: Counter[str] = Counter()
    slowest = 0.0  # from a kill to the end of all processes, seconds
    for kill in range(kills):
        process = start_program("vfi_train", *command, cwd=tmp_path / "chaos", output=tmp_path / f"life_{kill}")
        assert process.pid is not None
        left = 2 * STEPS - steps_done(folder)
        if chance.random() < 0.2 or left < 8:
            time.sleep(chance.uniform(0, 6))  # while it starts
        else:  # anywhere in both phases: the steps that are left suffice for the kills that are
            wait_for_steps(process, folder, chance.randint(1, max(1, int(1.6 * left / (kills - kill + 1)))))
            time.sleep(chance.uniform(0, 0.8))
        output = (tmp_path / f"life_{kill}.stdout").read_text() + (tmp_path / f"life_{kill}.stderr").read_text()
        assert process.is_alive(), f"it ended by itself before kill {kill}: {output}"
        everybody = family(process.pid)
        name = chance.choice(["SIGKILL", "SIGKILL", "SIGTERM", "SIGUSR1"])
        # A warning goes to the first process (or to all, under SLURM); a crash may be anybody's.
        victim = chance.choice(everybody) if name == "SIGKILL" else process.pid
        began = time.monotonic()
        os.kill(victim, getattr(signal, name))
        process.join(60)
        assert process.exitcode not in (None, 0), f"{name} to {everybody.index(victim)}: {output}"
        deadline = time.monotonic() + 10
        while any(is_alive(pid) for pid in everybody):
            assert time.monotonic() < deadline, f"{name}: somebody of {everybody} lives on"
            time.sleep(0.1)
        slowest = max(slowest, time.monotonic() - began)
        moments[f"{name} to {'the first' if victim == process.pid else 'another'}"] += 1
    print(dict(moments), f"{steps_done(folder)} of {2 * STEPS} steps done; all ended within {slowest:.1f} s")
    result = train(*command, cwd=tmp_path / "chaos")
    assert result.returncode == 0, result.stderr
    for phase in ("first", "second"):
        run, expected = folder / phase, uninterrupted / "runs" / "quickstart" / phase
        log = [{k: v for k, v in row.items() if k not in VOLATILE} for row in rows(run)]
        assert [row["step"] for row in log] == [str(step) for step in range(1, STEPS + 1)]
        assert log == [{k: v for k, v in row.items() if k not in VOLATILE} for row in rows(expected)]
        for file in ("last.ckpt", "best.ckpt"):
            got, wanted = (read_checkpoint(at / "checkpoints" / file) for at in (run, expected))
            assert got["global_step"] == wanted["global_step"]
            for name, tensor in wanted["state_dict"].items():
                assert torch.equal(got["state_dict"][name], tensor), f"{phase}, {file}: {name}"
