"""Files of an evaluation: results, tables, and the report, which needs no network and no wide screen."""

from __future__ import annotations

import base64
import csv
import hashlib
import html.parser
import io
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rich.console import Console

from tests.helpers.evaluation import composed, evaluated, result
from tests.helpers.layouts import fabricate
from vfi_train.evaluate.columns import COLUMNS
from vfi_train.evaluate.command import evaluate
from vfi_train.evaluate.console_table import print_results
from vfi_train.evaluate.results import read_results
from vfi_train.weights.load import shipped_folder

VOID = {"meta", "img", "br", "rect", "line", "circle", "polyline"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks on GoPro and SNU-FILM's four splits."""
    out = tmp_path_factory.mktemp("report")
    root = out / "data"
    fabricate("gopro", root, size=(32, 48))
    fabricate("snu_film", root, size=(32, 40), clips=12)
    shutil.move(str(root / "SNU-FILM"), out / "snu")
    given = ["model=[ifrnet_tiny,ifrnet_s]", "weights=[ifrnet_tiny_synthetic,ifrnet_s_synthetic]", "batch=4"]
    uncropped = "+benchmark.options.val_transforms=[]"
    evaluated(out, *given, "benchmark=gopro", f"root={root}", uncropped, "samples=14", "name=first")
    evaluated(
        out, *given, "benchmark=snu_film", f"root={out / 'snu'}", f"compare=[{out / 'first'}]", "num_examples=1",
        "name=x", "precision=bf16",
    )  # fmt: skip
    return out / "x"


class Page(html.parser.HTMLParser):
    """Checks that tags are closed, and collects their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def test_the_report_is_complete_and_needs_no_other_file(folder: Path) -> None:
    text = (folder / "report.html").read_text()
    page = Page(text)
    names = [tag for tag, _ in page.tags]
    assert not {"link", "iframe", "object", "base"} & set(names)
    assert ("script", {}) in page.tags  # that sorts tables
    addresses = [v for _, attributes in page.tags for k, v in attributes.items() if k in ("src", "href", "srcset")]
    assert addresses
    assert all(address.startswith("data:image/jpeg;base64,") for address in addresses)
    assert "url(" not in text
    assert "@import" not in text
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in page.tags
    for heading in ("SNU-FILM easy", "SNU-FILM extreme", "GoPro 8x test", "Which is better?"):
        assert heading in text
    assert "published 39.96" in text
    assert "not comparable: 12 of 310 samples" in text
    assert "torch bf16 instead of torch fp32 changes PSNR" in text


def test_images_show_worst_and_best_samples(folder: Path) -> None:
    text = (folder / "report.html").read_text()
    images = [
        cv2.imdecode(np.frombuffer(base64.b64decode(code), np.uint8), cv2.IMREAD_COLOR)
        for code in re.findall(r"data:image/jpeg;base64,([^\"]+)", text)
    ]
    assert len(images) == 2 * 4 * 2 * 4  # networks, splits, worst and best, tiles
    assert {image.shape for image in images} == {(32, 40, 3)}
    result = next(r for r in read_results(folder) if r.split_name == "snu_film/hard" and r.label == "ifrnet_s")
    ordered = sorted(result.samples, key=lambda row: row["scores"]["psnr"])
    assert f"ifrnet_s, worst 1 by PSNR: {ordered[0]['key']} " in text
    assert f"ifrnet_s, best 1 by PSNR: {ordered[-1]['key']} " in text


def test_charts_have_every_sample_and_network(folder: Path) -> None:
    text = (folder / "report.html").read_text()
    assert text.count('class="point"') == 4 * 12 + 14  # a scatter plot of both networks for each split
    assert text.count("Speed against quality") == 5
    assert text.count("By motion:") == 5 * 2  # PSNR and SSIM, on each split
    assert text.count("By time:") == 2  # only GoPro has several
    assert text.count("ifrnet_s: strata") == 5
    assert text.count('class="interval"') >= 2 * 5


def test_results_have_what_was_measured_and_how(folder: Path) -> None:
    content = json.loads((folder / "results.json").read_text())
    found = content["results"]
    assert [(r["label"], r["benchmark"], r["split"]) for r in found] == [
        *((n, "snu_film", s) for s in ("easy", "medium", "hard", "extreme") for n in ("ifrnet_tiny", "ifrnet_s")),
        *((n, "gopro", "test") for n in ("ifrnet_tiny", "ifrnet_s")),
    ]
    first = found[0]
    weights = shipped_folder() / "ifrnet_tiny_synthetic.safetensors"
    assert first["weights_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert first["protocol"] == "ifrnet"
    assert (first["settings"]["scale"], first["settings"]["padding_multiple"]) == (0.8, 20)
    assert first["settings"]["metrics"] == {"psnr": {}, "ssim": {"variant": "3d"}}
    assert first["metrics"] == {
        "psnr": {
            "direction": "higher is better", "range": "0 to infinity dB", "images": "RGB, 0 to 1", "backbone": "none",
            "crop": "none",
        },
        "ssim": {
            "direction": "higher is better", "range": "-1 to 1", "images": "RGB, 0 to 1", "backbone": "none",
            "crop": "none", "method": "variant 3d",
        },
    }  # fmt: skip
    assert first["data"]["split"] == "easy"
    assert first["precision"] == "bf16"
    assert first["averages"]["psnr"] == pytest.approx(np.mean([row["scores"]["psnr"] for row in first["samples"]]))
    with (folder / "results.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [float(row["psnr"]) for row in table] == [r["averages"]["psnr"] for r in found]
    assert all(json.loads(row["metrics"]) == first["metrics"] for row in table)
    with (folder / "samples.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * (4 * 12 + 14)
    assert {row["protocol"] for row in rows} == {"ifrnet"}
    assert len(content["comparisons"]) == 5 * 2


def test_the_effect_of_a_precision_is_that_of_measuring_twice(folder: Path) -> None:
    given = ["model=ifrnet_tiny", "weights=ifrnet_tiny_synthetic", "benchmark=snu_film", "num_examples=0", "name=fp32"]
    exact = evaluated(folder.parent, *given, f"root={folder.parent / 'snu'}")
    rounded = [r for r in read_results(folder) if r.label == "ifrnet_tiny" and r.benchmark == "snu_film"]
    for precise, coarse in zip(exact, rounded, strict=True):
        assert coarse.precision_effect is not None
        assert coarse.precision_effect["samples"] == 8
        for column in ("psnr", "ssim"):
            pairs = list(zip(coarse.samples, precise.samples, strict=True))[:8]
            difference = np.mean([a["scores"][column] - b["scores"][column] for a, b in pairs])
            assert coarse.precision_effect["difference"][column] == pytest.approx(difference, abs=1e-5)
            assert difference != 0


@pytest.mark.slow
def test_a_backend_is_stated_and_its_effect_measured(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    given = ["model=ifrnet_tiny", "weights=ifrnet_tiny_synthetic", "benchmark=gopro", "samples=7", "num_examples=0"]
    given += [f"root={folder.parent / 'data'}", "+benchmark.options.val_transforms=[]"]
    (exact,) = evaluated(tmp_path, *given)
    (other,) = evaluated(tmp_path, *given, "backend=onnxruntime", "name=other")
    assert (other.backend, other.precision, exact.backend) == ("onnxruntime", "fp32", "torch")
    assert read_results(tmp_path / "other")[0].backend == "onnxruntime"
    assert len(other.samples) == 7
    assert other.precision_effect is not None
    for column, value in exact.averages().items():
        difference = other.averages()[column] - value
        assert abs(difference) < 1e-3
        assert other.precision_effect["difference"][column] == pytest.approx(difference, abs=1e-6)


def test_earlier_results_are_compared_without_measuring(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = composed(f"compare=[{folder},{folder.parent / 'first'}]", f"output={folder.parent}", "name=again")
    assert evaluate(config) == []
    assert "snu_film/hard PSNR, ifrnet_s - ifrnet_tiny: " in capsys.readouterr().out
    labels = [r.label for r in read_results(folder.parent / "again")]
    assert labels.count("ifrnet_s #2") == 1  # GoPro is in both


def test_many_metrics_fit_a_terminal() -> None:
    """Every score is there with all of its digits, 80 columns wide."""
    numbers = {name: 10.123456 + k for k, name in enumerate(COLUMNS)}
    r = result("a_network_of_some_name", [1.0] * 3, metrics={name: {} for name in COLUMNS})
    for row in r.samples:
        row["scores"] = numbers
    console = Console(width=80, record=True, file=io.StringIO())
    print_results([r], console)
    text = console.export_text()
    for name, value in numbers.items():
        assert f" {value:.{COLUMNS[name].digits}f} " in text
    assert "…" not in text


def test_results_go_to_wandb(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    config = composed(f"compare=[{folder}]", f"output={folder.parent}", "name=tracked", "wandb=true")
    evaluate(config)
    (run,) = (folder.parent / "tracked" / "wandb").glob("offline-run-*")
    media = run / "files" / "media"
    (page,) = media.glob("html/*.html")
    assert page.read_text() == (folder.parent / "tracked" / "report.html").read_text()
    (table,) = media.glob("table/*.json")
    rows = json.loads(table.read_text())["data"]
    assert [row[0] for row in rows] == [r.label for r in read_results(folder)]


@pytest.mark.slow
def test_a_narrow_screen_shows_it_without_the_network(folder: Path) -> None:
    """In headless Chromium, 390 pixels wide: nothing is wider than the screen, and every image loads."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        subprocess.run(["apt-get", "update", "-q"], check=True, capture_output=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "install", "-y", "-q", "chromium"], check=True, capture_output=True, env=environment)
        browser = shutil.which("chromium")
    assert browser is not None
    look = folder / "look.html"
    look.write_text(
        '<iframe id="f" src="report.html" style="width:390px;height:800px;border:0"></iframe>'
        '<p id="said"></p><p id="sorted"></p><script>'
        "f.onload = () => { const d = f.contentDocument; d.querySelectorAll('details').forEach(x => x.open = true);"
        "d.querySelectorAll('img').forEach(x => x.loading = 'eager');"
        "const table = d.querySelectorAll('table.sortable')[2], title = [...table.tHead.rows[0].cells].at(-2);"
        "const numbers = () => [...table.tBodies[0].rows].map(r => r.cells[3].innerText).join(';');"
        "title.click(); const up = numbers(); title.click(); sorted.textContent = up + ' ' + numbers();"
        "setTimeout(() => said.textContent = [d.documentElement.scrollWidth, d.images.length,"
        "[...d.images].filter(i => i.naturalWidth > 0).length, f.contentWindow.performance.getEntriesByType('resource')"
        ".filter(e => !e.name.startsWith('data:')).length].join(' '), 500) }</script>"
    )
    done = subprocess.run(
        [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files",
         "--proxy-server=127.0.0.1:9", "--virtual-time-budget=5000", "--dump-dom", look.as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    width, images, shown, fetched = map(int, re.search(r'id="said">([\d ]+)<', done.stdout)[1].split())  # type: ignore[index]
    up, down = (list(map(float, text.split(";"))) for text in re.search(r'id="sorted">(.+?)<', done.stdout)[1].split())  # type: ignore[index]
    assert up == sorted(up) == down[::-1]
    assert len(up) == 4  # quartiles of motion
    assert width <= 390
    assert images == shown == 64
    assert fetched == 0
