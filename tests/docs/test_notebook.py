"""docs/tutorials/first_look.ipynb: executed, with fewer steps."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.helpers.pages import DOCS, ROOT

NOTEBOOK = DOCS / "tutorials" / "first_look.ipynb"
CHECK = "assert scores['shipped'] > scores['mean of the frames'] + 5; print(sorted(scores))"


@pytest.mark.slow
def test_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells[2].source = notebook.cells[2].source.replace("STEPS = 800", "STEPS = 26").replace("=200", "=13")
    notebook.cells.append(nbformat.v4.new_code_cell(CHECK))
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert notebook.cells[-1].outputs[0].text == "['26 steps', 'mean of the frames', 'shipped']\n"
    assert (tmp_path / "runs" / "quickstart-notebook" / "finished.json").exists()


def test_it_was_executed() -> None:
    cells = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    kinds = {kind for cell in cells for output in cell.outputs for kind in output.get("data", {})}
    assert "image/png" in kinds
    assert not any(output.output_type == "error" for cell in cells for output in cell.outputs)
