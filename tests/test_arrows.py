"""Which room may import which (the contracts in pyproject.toml), and that private names stay where they are."""

from __future__ import annotations

import ast
from pathlib import Path

from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).parents[1]
PACKAGES = ("vfi_train", "datamodules", "losses")


def test_the_contracts_between_rooms_hold(capsys) -> None:  # type: ignore[no-untyped-def]
    status = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_private_names_are_not_imported() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno} imports {alias.name} of {node.module}"
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] in PACKAGES
        for alias in node.names
        if alias.name.startswith("_")
    ]
    assert found == []


def test_tests_import_helpers_and_no_other_tests() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno} imports {node.module}"
        for path in (ROOT / "tests").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("tests.")
        if not str(node.module).startswith(("tests.helpers", "tests.goldens"))
    ]
    assert found == []
