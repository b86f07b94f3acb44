"""README, CONTRIBUTING and the pages: what they name exists, and their commands can be composed."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
from hydra import compose, initialize_config_module

from tests.helpers.commands import plan_of
from tests.helpers.marks import some_slow
from tests.helpers.pages import DOCS, PAGES, ROOT, TEXTS, commands
from vfi_train.config.overrides import check_values, hydra_arguments
from vfi_train.search.space import collect_space

CONFIGS = {"vfi_train": "train"}  # of a program, where its name differs
FOLDERS = "vfi_train|losses|datamodules|conf|tests|benchmarks|slurm|docs|findings"


def composable() -> list[list[str]]:
    """One command for each program and set of keys, of the pages that are not executed: composing takes a while."""
    pages = [ROOT / "README.md", *(page for page in PAGES if page.parent.name != "tutorials")]
    every = [command for page in pages for command in commands(page)]
    every = [c for c in every if c[0] != "vfi_train.replay" and "--multirun" not in c and "\\" not in c]
    found = {(program, *sorted(a.partition("=")[0] for a in rest)): [program, *rest] for program, *rest in every}
    return list(found.values())


@pytest.mark.parametrize("command", some_slow([(c,) for c in composable()], every=2), ids=" ".join)
def test_a_command_can_be_composed(command: list[str]) -> None:
    program, *arguments = command
    if program == "vfi_train":
        plan_of(*arguments)
        return
    if program == "vfi_train.search":
        arguments = collect_space(arguments)
    overrides = hydra_arguments(arguments, patterns_of="model")
    config_name = CONFIGS.get(program, program.rpartition(".")[2])
    with initialize_config_module("conf", version_base="1.3"):
        check_values(compose(config_name, overrides=overrides), overrides, config_name)


def test_what_is_chosen_is_there() -> None:
    for page in TEXTS:
        for command in commands(page):
            if any(argument.startswith("hydra.searchpath") for argument in command):
                continue
            for key, _, value in (argument.partition("=") for argument in command[1:]):
                if key in ("model", "experiment", "benchmark", "protocol"):
                    for name in value.strip("[]").split(","):
                        assert (ROOT / "conf" / key / f"{name}.yaml").is_file(), f"{page}: {' '.join(command)}"


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_on_the_page_exist(page: Path) -> None:
    """Paths in backticks, but for patterns (NAME, FAMILY, *)."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.S | re.M)
    named = set(re.findall(rf"`((?:{FOLDERS})/[\w./-]*)`", text))
    missing = [name for name in named if not re.search(r"[A-Z]{4}", Path(name).stem) and not (ROOT / name).exists()]
    assert missing == []
    modules = set(re.findall(r"`((?:vfi_train|losses|datamodules)(?:\.\w+)+)", text))
    for module in modules:
        parts = module.split(".")
        places = [ROOT.joinpath(*parts[:n]) for n in range(len(parts), 0, -1)]
        place = next(p for p in places if p.is_dir() or p.with_suffix(".py").is_file())
        rest = parts[len(place.relative_to(ROOT).parts) :]
        file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        assert not rest or rest[0] in file.read_text(), f"{page}: {module}"


def test_links_outside_of_the_site_lead_somewhere() -> None:
    """The site's own links are checked by strict mode."""
    for page in TEXTS:
        if DOCS in page.parents and page.name != "README.md":
            continue
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page}: {target}"


@pytest.mark.parametrize(
    ("page", "file"),
    [("contributing", "CONTRIBUTING.md"), ("changelog", "CHANGELOG.md"), ("results", "benchmarks/RESULTS.md")],
)
def test_a_page_of_a_file_links_to_it_in_its_folder_and_holds_it_on_the_site(page: str, file: str) -> None:
    path = DOCS / f"{page}.md"
    written = re.sub("<!--.*?-->", "", path.read_text()).strip()
    assert written == f"[{file}](../{file})"
    shown = SimpleNamespace(file=SimpleNamespace(abs_src_path=str(path)))
    on_site = runpy.run_path(str(DOCS / "hooks.py"))["on_page_markdown"](path.read_text(), shown, None, None)
    assert on_site.splitlines()[0] == (ROOT / file).read_text().splitlines()[0]
    assert len(on_site.splitlines()) > 40
    links = [link for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", on_site) if not (DOCS / link).exists()]
    assert links == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= 800


def test_room_readmes_are_short() -> None:
    for page in TEXTS:
        if page.name == "README.md" and page.parent != ROOT:
            assert len(page.read_text().splitlines()) <= 12, page


def test_drawings_are_those_of_the_script() -> None:
    script = runpy.run_path(str(DOCS / "drawings.py"))
    drawings = {**script["DRAWINGS"], "rooms": (*script["rooms"](), False)}
    assert {path.stem for path in (DOCS / "drawings").iterdir()} == set(drawings)
    for name, arguments in drawings.items():
        assert (DOCS / "drawings" / f"{name}.svg").read_text() == script["draw"](*arguments), name
