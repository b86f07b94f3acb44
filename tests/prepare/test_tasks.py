"""One program for all tasks: mistakes are one sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from tests.helpers.prepare_tasks import CONF, task
from vfi_train.errors import UserError
from vfi_train.prepare.command import TASKS, prepare


@pytest.mark.parametrize("name", TASKS)
def test_each_task_is_documented(name: str) -> None:
    assert f"#   {name} " in (CONF / "prepare.yaml").read_text()


@pytest.mark.parametrize("name", ["verify", "pack", "flow", "distance", "triplets"])
def test_a_task_without_its_dataset_says_what_to_give(name: str) -> None:
    with pytest.raises(UserError, match=rf"^task={name} needs a dataset: give data=NAME data\.root=FOLDER$"):
        prepare(task(name))
    with pytest.raises(UserError, match=rf"^task={name} needs the dataset's folder: give data\.root=FOLDER$"):
        prepare(task(name, "vimeo90k", data={"root": None}))


def test_no_task_and_an_unknown_one() -> None:
    nothing = task("verify")
    nothing.task = None
    with pytest.raises(UserError, match=r"^task=NAME is needed: verify, pack, flow"):
        prepare(nothing)
    with pytest.raises(UserError, match=r"^task=verfy is not known: did you mean 'verify'\?$"):
        prepare(task("verfy"))


def test_an_output_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file is a file: give a folder$"):
        prepare(task("weights", what="raft", output=str(tmp_path / "file")))


def test_every_option_is_taken_by_a_function() -> None:
    config = OmegaConf.load(CONF / "prepare.yaml")
    code = "".join(path.read_text() for path in (CONF.parent / "vfi_train" / "prepare").glob("*.py"))
    for block in ("verify", "pack", "flow", "distance", "triplets", "download"):
        for key in config[block]:
            assert re.search(rf"\b{key}\b: |(config\.{block}|{block})\.{key}\b", code), f"{block}.{key}"
