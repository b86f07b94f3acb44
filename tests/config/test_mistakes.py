"""Mistakes in a configuration: one sentence, exit status 2, no traceback."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from tests.helpers.programs import run_program, train
from vfi_train.config.program import explain_import, run
from vfi_train.config.targets import check_targets, fits
from vfi_train.errors import UserError
from vfi_train.ranges import AboveZero, Natural, Odd, Positive


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["model=ifrnett"], "there is no model=ifrnett: did you mean 'ifrnet'"),
        (["experiment=quikstart"], "there is no experiment=quikstart: did you mean 'quickstart'"),
        (["data.sized=x"], "there is no key 'sized' in data: did you mean 'size'"),
        (["modle=ifrnet"], "there is no key 'modle' in the configuration: did you mean 'module' or 'model'?"),
        (["trainer.max_steps=ten"], "trainer.max_steps=ten is not an integer; without it the value is"),
        (["optimizer.lr=fast"], "optimizer.lr=fast is not a number"),
        (["deterministic=3"], "deterministic=3 is not true or false"),
        (["optimizer.lr=[1"], "'optimizer.lr=[1' cannot be read as KEY=VALUE"),
        (["seed=1,2"], "add --multirun to sweep over the values"),
        (["loss.terms.census.wieght=1"], "there is no key 'wieght' in loss.terms.census: did you mean"),
        (
            ["+loss.terms.census.wieght=1"],
            "there is no key 'wieght' in loss.terms.census: did you mean 'weight'?",
        ),
        (["+trainer.max_step=1"], "there is no key 'max_step' in trainer: did you mean 'max_steps'"),
        (["resume=maybe"], "resume=maybe is not one of auto, never, force"),
        (["experiment=ifrnet_vimeo"], "data.root"),
        (["weights=ifrnet_huge"], "weights=ifrnet_huge is no file, no run in runs/ and no shipped weights"),
        (["data.batch_size=6", "data.micro_batch_size=4"], "does not divide by data.micro_batch_size=4"),
    ],
)
def test_a_mistake_is_one_sentence(arguments: list[str], said: str, tmp_path: Path) -> None:
    result = train(*arguments, cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    errors = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(errors) == 1, result.stderr
    assert errors[0].startswith("error: ")
    assert said in errors[0]
    assert not any(tmp_path.rglob("*.ckpt"))


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    result = train("model=ifrnett", "debug=true", cwd=tmp_path)
    assert result.returncode == 2
    assert "Traceback" in result.stderr
    assert "error: there is no model=ifrnett" in result.stderr


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    result = run_program("vfi_train.export", "model=ifrnet_tiny", "weights=x", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (2, "error: output=... is needed and was not given\n")


@pytest.mark.parametrize(
    ("value", "hint", "good"),
    [
        (3, int, True), (3.0, int, True), (3.5, int, False), (True, int, False), ("3", int, False),
        (3, float, True), ("3", float, False), (None, int | None, True), ("a", int | None, False),
        (0, bool, False), ("x", list[int], False), ("x", Path | str, True), (1, object, True),
        ([0.9], tuple[float, float], False), ([0.9, 0.99], tuple[float, float], True), ([1, "a"], list[int], False),
        (0, Positive, False), (1, Positive, True), (-1, Natural, False), (4, Odd, False), (-3, Odd, False),
        (0, AboveZero | Path, False), (0.1, AboveZero | Path, True), (None, Positive, False),
    ],
)  # fmt: skip
def test_values_are_compared_with_type_hints(value: object, hint: object, good: bool) -> None:
    assert fits(value, hint) is good


def test_a_target_that_cannot_be_imported_is_named() -> None:
    config = OmegaConf.create({"loss": {"_target_": "losses.nowhere.Nothing"}})
    with pytest.raises(UserError, match=r"loss\._target_=losses\.nowhere\.Nothing cannot be imported"):
        check_targets(config)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ImportError("libGL.so.1: cannot open shared object file", name="cv2"), "apt-get install libgl1"),
        (ModuleNotFoundError("No module named 'lpips'", name="lpips"), "the package 'lpips' is missing"),
    ],
)
def test_a_missing_library_says_what_to_install(error: ImportError, said: str) -> None:
    assert said in explain_import(error)


def interrupt(config: object) -> None:
    """What a program does when Ctrl-C is pressed."""
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("train", "the same command resumes from the last checkpoint"),
        ("prepare", "what is complete stays, and the same command makes the rest"),
        ("profile", "nothing is left half-written"),
    ],
)
def test_ctrl_c_promises_what_is_true(
    program: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [program])
    with pytest.raises(SystemExit) as ended:
        run(program, f"{__name__}:interrupt")
    assert ended.value.code == 130
    assert capsys.readouterr().err == f"error: interrupted: {said}\n"
