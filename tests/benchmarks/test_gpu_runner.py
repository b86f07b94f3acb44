"""All tables of a GPU in one call: what fails is named, what takes too long is ended, and the others go on."""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu import TABLES, WHOLE, Table, run_all

ROOT = Path(__file__).parents[2]


def test_the_shares_of_all_tables_are_below_ten_minutes() -> None:
    assert sum(table.seconds for table in TABLES) <= WHOLE < 600
    assert len({table.name for table in TABLES}) == len(TABLES)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_benchmark_takes_what_it_gets(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its arguments are looked at, and nothing is measured."""

    class ParsedError(Exception):
        pass

    def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
        for arguments in (table.arguments, table.small or ()):
            given = argparse.ArgumentParser.parse_known_args(parser, ["--device", "cpu", *arguments, "--results"])
            assert given[1] == []
        raise ParsedError

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse)
    with pytest.raises(ParsedError):
        importlib.import_module(f"benchmarks.{table.script}").main()


@pytest.mark.slow
def test_what_fails_or_takes_too_long_is_named_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "good.py").write_text(
        "import os, sys, pathlib; pathlib.Path(os.environ['VFI_BENCHMARK_PAGE']).write_text(' '.join(sys.argv[1:]))"
    )
    (tmp_path / "benchmarks" / "wrong.py").write_text("raise SystemExit('what went wrong')")
    (tmp_path / "benchmarks" / "slow.py").write_text(
        "import subprocess, sys, pathlib\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"pathlib.Path({str(tmp_path / 'child')!r}).write_text(str(child.pid))\n"
        "child.wait()"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    page = tmp_path / "page.md"
    tables = [Table(name, 20.0, (), ()) for name in ("wrong", "slow")] + [Table("good", 60.0, ("--rounds", "2"), ())]
    failed = run_all(tables, "cuda", False, page, 300.0)
    assert failed == ["wrong (exit status 1)", "slow (ended after its 20 s)"]
    assert page.read_text() == "--device cuda --rounds 2 --results"
    assert "what went wrong" in capsys.readouterr().out
    state = Path(f"/proc/{(tmp_path / 'child').read_text()}/stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"
    assert run_all(tables[2:], "cuda", False, page, 0.0) == ["good --rounds 2 (no time was left)"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu"])
    with pytest.raises(SystemExit, match="make bench-gpu measures on a CUDA device, and PyTorch finds none here"):
        gpu.main()


@pytest.mark.slow
@pytest.mark.long
def test_the_rehearsal_writes_every_section(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--small", "--page", str(page)]
    done = subprocess.run([*command, "--seconds", "1500"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    text = page.read_text()
    assert text.startswith("# Measured on a GPU\n")
    for name in ("train_step", "train_step:bf16-mixed", "frames", "inference", "evaluate", "times", "splat", "curve"):
        assert f"<!-- {name}: made by benchmarks/" in text
    assert f"torch {torch.__version__.split('+')[0]}" in text
