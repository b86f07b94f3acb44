"""The documentation builds without a warning, and a browser that reads it loads nothing from the network."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.pages import ROOT
from tests.helpers.programs import ENVIRONMENT

pytestmark = pytest.mark.slow  # the site is built, as by `make docs`
# What a browser loads by itself; links that a reader follows are <a href>.
LOADED = re.compile(
    r"<(?:script|img|iframe|source|video|embed|object|use)\b[^>]*\b(?:src|href|data)=[\"']?(?:https?:)?//"
    r"|<link\b(?![^>]*rel=[\"']?(?:canonical|prev|next|license))[^>]*href=[\"']?(?:https?:)?//"
    r"|url\([\"']?(?:https?:)?//|@import\s+[\"']?(?:https?:)?//",
    re.I,
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**ENVIRONMENT, "NO_MKDOCS_2_WARNING": "1"}
    process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stdout + process.stderr
    return folder


def test_nothing_is_loaded_from_the_network(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 30
    for path in [*pages, *site.rglob("*.css"), *site.rglob("*.svg")]:
        found = LOADED.search(path.read_text())
        assert found is None, f"{path.relative_to(site)}: {found and found[0]}"


def test_scripts_have_no_reason_to_load_anything(site: Path) -> None:
    """The theme's script fetches Mermaid for pages with such drawings, and facts of a repository that is named."""
    for page in site.rglob("*.html"):
        text = page.read_text()
        assert 'class="mermaid"' not in text
        assert 'data-md-component="source"' not in text, page
    hosts = set()
    for script in site.rglob("*.js"):
        hosts |= set(re.findall(r"[\"'`](https?://[\w.-]+)", script.read_text()))
    assert hosts <= {"https://api.github.com", "https://unpkg.com", "https://gitlab.com", "http://www.w3.org"}


def test_search_works_from_disk(site: Path) -> None:
    """The index as a script, and our stand-in for a Worker in place of the CDN's."""
    assert "SIGTERM" in (site / "search" / "search_index.js").read_text()
    assert "IFrameWorker" in (site / "assets" / "iframe-worker.js").read_text()
    assert '<script src="assets/iframe-worker.js">' in (site / "index.html").read_text()


def test_the_api_pages_have_what_a_reader_looks_for(site: Path) -> None:
    for page, names in {
        "contract": ("Batch", "Prediction", "require"),
        "losses": ("Term", "LossSet", "Charbonnier"),
        "datamodules": ("StoredData", "train_items", "VFIDataModule"),
        "architectures": ("Architecture", "encode", "decode", "create_model"),
        "inference": ("Interpolator",),
        "weights": ("load_published",),
    }.items():
        text = (site / "api" / f"{page}.html").read_text()
        assert [name for name in names if not re.search(rf'id="[\w.]*\b{name}"', text)] == [], page
