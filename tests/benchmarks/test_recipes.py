"""The table of published trainings."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import recipes

DOCS = Path(__file__).parents[2] / "docs"


def test_published_recipes_are_in_the_table_and_ours_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiments = tmp_path / "conf" / "experiment"
    experiments.mkdir(parents=True)
    (tmp_path / "docs").mkdir()
    for name in ("ifrnet_vimeo", "quickstart"):  # which has milestones, and no paper
        (experiments / f"{name}.yaml").touch()
    monkeypatch.setattr(recipes, "ROOT", tmp_path)
    recipes.main()
    page = (tmp_path / "docs" / "recipes.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) == 1
    assert rows[0] in (DOCS / "recipes.md").read_text()
