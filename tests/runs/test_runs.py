"""The list of trainings and evaluations: what it says, what it compares, and how long it takes."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import resource
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module

from tests.helpers.evaluation import evaluated
from tests.helpers.in_process import rows, train_tiny
from tests.helpers.programs import ENVIRONMENT
from vfi_train.errors import UserError
from vfi_train.runs.command import list_runs
from vfi_train.runs.entries import checkpoint_hash, find_entries, higher_is_better, look_up
from vfi_train.runs.logs import curve, read_table

STEPS = ("trainer.max_steps=4", "validate_every=2", "data.val_samples=12", "trainer.accelerator=cpu")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished trainings, one that stopped, and evaluations of the first two."""
    folder = tmp_path_factory.mktemp("runs")
    trained = train_tiny(folder, *STEPS, "name=a")
    for name, old, new in (("b", "lr: 0.001", "lr: 0.002"), ("c", "seed: 1234", "seed: 7")):
        run = Path(shutil.copytree(trained, folder / "runs" / f"quickstart-{name}"))
        config = (run / "config.yaml").read_text()
        assert old in config
        (run / "config.yaml").write_text(config.replace(old, new))
        better = [f"{row['key']},{float(row['psnr']) + 0.25}\n" for row in read_table(trained / "samples.csv")]
        (run / "samples.csv").write_text("key,psnr\n" + "".join(better))
    (folder / "runs" / "quickstart-c" / "finished.json").unlink()
    runs = ",".join(str(folder / "runs" / f"quickstart-{name}") for name in "ab")
    evaluated(folder / "evaluations", f"run=[{runs}]", "benchmark=synthetic", "samples=12", "name=both")
    return folder


def listed(place: Path, *overrides: str) -> dict[str, Any]:
    """What `json=true` prints."""
    text = printed(place, "json=true", *overrides)
    found: dict[str, Any] = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    return found


def printed(place: Path, *overrides: str) -> str:
    from contextlib import redirect_stdout
    from io import StringIO

    folders = f"folders=[{place / 'runs'},{place / 'evaluations'}]"
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("runs", overrides=[folders, *overrides])
    with redirect_stdout(StringIO()) as output:
        list_runs(config)
    return output.getvalue()


def test_every_run_is_there_with_its_numbers(place: Path) -> None:
    runs = {run["name"]: run for run in listed(place, "sort=name", "hash=true")["runs"]}
    split = "synthetic/val_split"
    names = ["both:quickstart-a:", "both:quickstart-b:"]
    assert list(runs) == [*(name + split for name in names), *(f"quickstart-{name}" for name in "abc")]
    for name, status in (("a", "finished"), ("b", "finished"), ("c", "stopped")):
        run, log = runs[f"quickstart-{name}"], rows(place / "runs" / f"quickstart-{name}")
        assert (run["status"], run["step"], run["steps"], run["recipe"]) == (status, 4, 4, "quickstart")
        assert run["metrics"]["psnr"] == max(float(row["val/psnr"]) for row in log if row["val/psnr"])
    stored = json.loads((place / "evaluations" / "both" / "results.json").read_text())["results"][0]
    measured = runs[names[0] + split]
    assert measured["metrics"]["psnr"] == pytest.approx(stored["averages"]["psnr"], abs=1e-9)
    assert measured["sha256"] == stored["weights_sha256"] == runs["quickstart-a"]["sha256"]
    assert measured["protocol"] == stored["protocol"]


def test_the_commands_are_those_that_go_on(place: Path) -> None:
    runs = {run["name"]: run["commands"] for run in listed(place)["runs"]}
    go_on = shlex.split(runs["quickstart-c"]["go on"])  # a copy of quickstart-a: its command
    assert go_on[:4] == ["python", "-m", "vfi_train", "experiment=quickstart"]
    assert {*STEPS, "name=a", "data.size=32"} <= set(go_on)
    assert "go on" not in runs["quickstart-a"]
    run = place / "runs" / "quickstart-a"
    assert runs["quickstart-a"]["evaluate"] == f"python -m vfi_train.evaluate run={run} benchmark=synthetic"
    words = shlex.split(runs["quickstart-a"]["export"])
    assert words[2:5] == ["vfi_train.export", "model=ifrnet_tiny", f"weights={run}"]


def test_a_running_training_is_found_by_its_lock(place: Path) -> None:
    path = place / "runs" / "quickstart-c" / ".lock"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert {e.name: e.status for e in find_entries([place / "runs"])}["quickstart-c"] == "training"
    assert {e.name: e.status for e in find_entries([place / "runs"])}["quickstart-c"] == "stopped"


def test_a_log_that_is_being_written_is_read_up_to_its_last_complete_line(place: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(place / "runs" / "quickstart-a", tmp_path / "runs" / "x"))
    with (run / "metrics.csv").open("a") as file:
        file.write("5,0.1")
    (tmp_path / "runs" / "new").mkdir()
    (tmp_path / "runs" / "new" / "config.yaml").write_text("trainer:\n  max_steps: 9\n")
    found = {entry.name: entry for entry in find_entries([tmp_path / "runs"])}
    assert (found["x"].step, found["new"].step, found["new"].steps) == (4, 0, 9)
    assert checkpoint_hash(found["new"]) is None


def test_a_damaged_log_does_not_end_the_list(place: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(place / "runs" / "quickstart-a", tmp_path / "runs" / "x"))
    whole = (run / "metrics.csv").read_bytes()
    before = curve(run / "metrics.csv", "psnr")
    (run / "metrics.csv").write_bytes(whole + b"\xff\xfe\0,1,2\n9\n")
    (entry,) = find_entries([tmp_path / "runs"])
    assert (entry.step, curve(run / "metrics.csv", "psnr")) == (9, before)


def test_two_are_compared(place: Path) -> None:
    found = listed(place, "compare=[quickstart-a,quickstart-b]")
    assert found["differences"] == {"quickstart-b": ["optimizer.lr: 0.001 -> 0.002"]}
    assert list(found["curves"]["quickstart-a"]) == ["2", "4"]
    (comparison,) = found["comparisons"]
    assert [comparison[key] for key in ("difference", "low", "high")] == pytest.approx([0.25] * 3)
    assert (comparison["samples"], comparison["verdict"]) == (12, "quickstart-b")
    both = listed(place, "compare=[both:quickstart-a:synthetic/val_split,both:quickstart-b:synthetic/val_split]")
    stored = json.loads((place / "evaluations" / "both" / "results.json").read_text())["comparisons"]
    assert [c["difference"] for c in both["comparisons"]] == [c["difference"] for c in stored]
    text = printed(place, "compare=[quickstart-a,quickstart-b]")
    assert "quickstart-b differs in:\n  optimizer.lr: 0.001 -> 0.002\n" in text
    assert "quickstart-b - quickstart-a: +0.25 dB (95 % interval +0.25 to +0.25, 12 samples)" in text
    other = listed(place, "compare=[quickstart-a,quickstart-c]")
    assert "seed: 1234 -> 7" in other["differences"]["quickstart-c"]
    assert [c["split_name"] for c in other["comparisons"]] == ["last validation/Synthetic"]


@pytest.mark.parametrize("metric", ["psnr", "ssim"])
def test_the_best_of_each_kind(place: Path, metric: str) -> None:
    everything, best = listed(place)["runs"], listed(place, "best=true", f"metric={metric}")["runs"]
    for run in best:
        others = [r["metrics"][metric] for r in everything if (r["kind"], r["on"]) == (run["kind"], run["on"])]
        assert run["metrics"][metric] == max(others)
    assert {run["kind"] for run in best} == {"training", "evaluation"}


def test_part_of_a_benchmark_is_no_rival_of_the_whole(place: Path, tmp_path: Path) -> None:
    """Nor is a number that is none; infinite ones are text, as JSON has none."""
    (tmp_path / "evaluations").mkdir()
    table = (place / "evaluations" / "both" / "results.csv").read_text().splitlines()
    titles, first, _ = csv.reader(table)
    cells = {"fewer": ("psnr", "99", "6"), "equal": ("psnr", "inf", "12"), "flat": ("psnr", "nan", "12")}
    for name, (column, value, samples) in cells.items():
        folder = Path(shutil.copytree(place / "evaluations" / "both", tmp_path / "evaluations" / name))
        row = {**dict(zip(titles, first, strict=True)), column: value, "samples": samples}
        with (folder / "results.csv").open("w", newline="") as file:
            csv.writer(file).writerows([titles, list(row.values())])
    folders = f"folders=[{tmp_path / 'evaluations'},{place / 'evaluations'}]"
    best = {run["name"]: run for run in listed(place, folders, "best=true")["runs"]}
    assert {name: run["samples"] for name, run in best.items()} == {"fewer": 6, "equal": 12}
    assert best["equal"]["metrics"]["psnr"] == "inf"
    flat = next(run for run in listed(place, folders)["runs"] if run["name"] == "flat")
    assert set(flat["metrics"]) == {"ssim"}


@pytest.mark.parametrize(
    ("metric", "higher"),
    [
        ("psnr_ema", True),
        ("ssim", True),
        ("lpips_vgg", False),
        ("lpips_alex_ema", False),
        ("dists", False),
        ("flolpips_dis", False),
        ("tof", False),
        ("vmaf", True),
    ],
)
def test_directions(metric: str, higher: bool) -> None:
    assert higher_is_better(metric) is higher


def test_the_order(place: Path) -> None:
    values = [run["metrics"]["psnr"] for run in listed(place, "sort=metric")["runs"]]
    assert values == sorted(values, reverse=True)
    dates = [run["date"] for run in listed(place)["runs"]]
    assert dates == sorted(dates, reverse=True)
    text = printed(place, "limit=2", "commands=true")
    assert "2 of 5: limit=null shows all" in text
    every = " ".join(printed(place, "limit=null", "commands=true").split())  # which are the two latest is the clock's
    assert every.count("evaluate: python -m vfi_train.evaluate ") >= 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sort=dates", "sort=dates is no column: did you mean 'date'"),
        ("metric=pnsr", "metric=pnsr was measured by none of the runs: did you mean 'psnr'"),
        ("compare=[quickstart-a,quickstart-z]", "compare=quickstart-z is nothing below the folders: did you mean"),
        ("compare=quickstart-a", "names fewer than two"),
        ("limit=0", "limit=0 is not a number of rows"),
        ("folders=nowhere", "folders=nowhere: there is no such folder"),
    ],
)
def test_mistakes(place: Path, override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        listed(place, override)


def test_scalars_are_looked_up_as_yaml_has_them(place: Path) -> None:
    import yaml

    text = (place / "runs" / "quickstart-a" / "config.yaml").read_text()
    config = yaml.safe_load(text)
    for keys in (("data", "_target_"), ("trainer", "max_steps"), ("callbacks", "best", "monitor"), ("name",)):
        value = config
        for key in keys:
            value = value[key]
        assert look_up(text, *keys) == str(value)
    assert look_up(text, "weights") is None
    assert look_up(text, "data", "nothing") is None
    assert look_up(text, "nothing", "at", "all") is None


def test_a_thousand_runs_take_less_than_two_seconds_and_no_torch(place: Path, tmp_path: Path) -> None:
    """Of the processor, start of Python included: other programs of the machine do not count."""
    log = (place / "runs" / "quickstart-a" / "metrics.csv").read_text().splitlines(keepends=True)
    log += [f"{step},{log[-1].partition(',')[2]}" for step in range(5, 105)]
    for number in range(1000):
        run = tmp_path / "runs" / f"sweep-{number}"
        (run / "checkpoints").mkdir(parents=True)
        for name in ("config.yaml", "finished.json", "provenance.json"):
            os.link(place / "runs" / "quickstart-a" / name, run / name)
        (run / "metrics.csv").write_text("".join(log))
    code = (
        "import runpy, sys; sys.argv = ['runs', 'limit=null', 'sort=metric']\n"
        "try: runpy.run_module('vfi_train.runs', run_name='__main__')\n"
        "finally: assert 'torch' not in sys.modules"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("sweep-") == 1000
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2


def test_checkpoints_are_hashed_as_files(place: Path) -> None:
    entry = next(e for e in find_entries([place / "runs"]) if e.name == "quickstart-b")
    import hashlib

    path = entry.path / "checkpoints" / "best.ckpt"
    assert checkpoint_hash(entry) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert torch.load(path, weights_only=True)
