"""The command line's arguments, as Hydra gets them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.programs import run_program, train
from tests.helpers.videos import pan, write_video
from vfi_train.config.overrides import hydra_arguments, parse, quote
from vfi_train.errors import UserError

PATHS = (
    "epoch=3-step=10.ckpt", "é.mp4", "/x/日本", "a: b.mp4", "it's (2).mp4", 'say "hi".png', "a\\b.png", "x;y#z&.mp4",
    "-5~.png",
)  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_a_path(path: str) -> None:
    for key in ("weights", "data.root", "+input"):
        quoted = quote(f"{key}={path}")
        assert parse([quoted])[0].value() == path
        assert quote(quoted) == quoted  # the processes of a training get what the first one got


def test_a_file_that_exists_is_no_list_and_no_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a,b.mp4", "[1]"):
        assert parse([quote(f"input={name}")])[0].value() != name
        Path(name).touch()
        assert parse([quote(f"input={name}")])[0].value() == name
    assert parse([quote("output=new,two.mp4")])[0].value() == "new,two.mp4"


def test_the_home_folder_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/é")
    assert parse([quote("weights=~/x.ckpt")])[0].value() == "/home/é/x.ckpt"


@pytest.mark.parametrize(
    "argument",
    [
        "input=[a.png,b.png]",
        "input=frames/*.png",
        "times=[0.5]",
        "seed=1,2",
        "optimizer.lr=[1",
        "x={a:1}",
        "~data.size",
    ],
)
def test_what_is_written_for_hydra_stays(argument: str) -> None:
    assert quote(argument) == argument


def test_paths_in_lists_and_sweeps() -> None:
    assert parse([quote("root=[/x/é, a=b,c]")])[0].value() == ["/x/é", "a=b", "c"]
    assert quote("weights=é.ckpt,b.ckpt", is_multirun=True) == "weights='é.ckpt',b.ckpt"
    assert quote("weights=é,b.ckpt") == "weights='é,b.ckpt'"


def test_options_may_stand_anywhere() -> None:
    assert hydra_arguments(["seed=1,2", "-m", "name=a"]) == ["-m", "sweep=[seed]", "seed=1,2", "name=a"]
    assert hydra_arguments(["~published", "--cfg", "job", "name=a"]) == ["--cfg", "job", "~published", "name=a"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-x", "-x is no option: keys are given as KEY=VALUE, without dashes"),
        ("seed=1 --foo=3", "--foo=3 is no option"),
        ("--cfg yaml", "argument --cfg/-c: invalid choice: 'yaml'"),
        ("options={threads: -5}", "the shell split options={threads: -5} at its spaces: put it in quotes, 'opt"),
        ("list=[1, 2] -m", "the shell split list=[1, 2] at its spaces"),
        ("a={b: 3", "'3' is not KEY=VALUE: write no spaces around the ="),
        ("input=my file.mp4", "'file.mp4' is not KEY=VALUE"),
        ("=3", "'=3' is not KEY=VALUE"),
        ("--config-name x", "--config-name would replace this program's configuration"),
        ("--experimental-rerun x", "--experimental-rerun would replace this program's configuration"),
    ],
)
def test_words_that_are_neither_key_nor_option(words: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        hydra_arguments(words.split(" "))
    assert str(error.value).startswith(said)


def test_brackets_in_file_names_are_no_lists() -> None:
    assert hydra_arguments(["input=a[b.mp4", "output=c].mp4"]) == ["input='a[b.mp4'", "output='c].mp4'"]


def test_patterns_stand_for_names() -> None:
    def expanded(argument: str) -> str:
        return hydra_arguments([argument], patterns_of="model")[0]

    assert expanded("model=amt_?") == "model=[amt_g,amt_l,amt_s]"
    assert expanded("model=[rife, 'amt_?', amt_s]") == "model=[rife,amt_g,amt_l,amt_s]"
    assert expanded("model=rife") == "model=rife"
    assert expanded("output=a*") == "output=a*"


def test_patterns_find_what_lies_outside(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "amt_x.yaml").write_text("_target_: toy.toy\n")
    search = f"hydra.searchpath=[file://{tmp_path}]"
    assert hydra_arguments([search, "model=amt_?"], patterns_of="model")[1] == "model=[amt_g,amt_l,amt_s,amt_x]"


def test_videos_take_such_paths(tmp_path: Path) -> None:
    write_video(tmp_path / "a: b.mp4", pan(3))
    arguments = ["model=ifrnet_tiny", "weights=ifrnet_tiny_synthetic", "input=a: b.mp4", "output=é=1, 2.mp4"]
    result = run_program("vfi_train.interpolate", *arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "é=1, 2.mp4").is_file()


def test_programs_take_such_paths(tmp_path: Path) -> None:
    result = run_program("vfi_train.export", "model=ifrnet_tiny", "weights=a=é.ckpt", "output=x.pth", cwd=tmp_path)
    assert result.stderr.startswith("error: weights=a=é.ckpt is no file")
    result = train("data=vimeo90k", "data.root=/x/日本", "data.flow=true", "model=ifrnet_s", cwd=tmp_path)
    assert result.returncode == 2
    assert "/x/日本" in result.stderr
