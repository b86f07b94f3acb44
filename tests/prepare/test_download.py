"""Files fetched from a local server, with and without errors."""

from __future__ import annotations

import hashlib
import http.server
import json
import shutil
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from losses.backbones import FILES
from tests.helpers.prepare_tasks import task
from vfi_train.errors import UserError
from vfi_train.prepare import fetch as fetching
from vfi_train.prepare.command import prepare
from vfi_train.prepare.dataset_sources import DATASETS
from vfi_train.prepare.fetch import fetch
from vfi_train.runtime.file_hash import hash_file

CONTENT = np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8).tobytes()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Site:
    """A server's files, its errors, and the requests that it got."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    etag: str | None = '"first"'
    ranges: bool = True
    breaks_after: list[int] = field(default_factory=list)  # bytes of each response, as long as the list is not empty
    status: int = 200
    length: bool = True
    requests: list[str | None] = field(default_factory=list)  # the Range of each GET


class Handler(http.server.BaseHTTPRequestHandler):
    """HTTP with ranges, which Python's own file server does not have."""

    site: Site

    def do_GET(self) -> None:
        self.respond(body=True)

    def do_HEAD(self) -> None:
        self.respond(body=False)

    def respond(self, body: bool) -> None:
        site = self.site
        content = site.files.get(self.path)
        wanted = self.headers["Range"]
        if body:
            site.requests.append(wanted)
        if content is None or site.status != 200:
            self.send_error(404 if content is None else site.status)
            return
        start = 0
        if wanted and site.ranges and self.headers["If-Range"] in (None, site.etag):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.end_headers()
                return
        self.send_response(206 if start else 200)
        if site.etag:
            self.send_header("ETag", site.etag)
        if site.length:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if body:
            rest = content[start:]
            self.wfile.write(rest[: site.breaks_after.pop(0)] if site.breaks_after else rest)

    def log_message(self, *_: Any) -> None:
        """Silent."""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(fetching, "PAUSE", 0.01)
    monkeypatch.setattr(fetching, "BLOCK", 2**14)
    found = Site(files={"/data/set.bin": CONTENT})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {"site": found}))
    found.url = f"http://127.0.0.1:{server.server_port}/data"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_fetched_whole_and_only_once(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "set.bin"
    assert fetch(f"{site.url}/set.bin", path, SHA256)
    assert path.read_bytes() == CONTENT
    assert left_over(path.parent) == ["set.bin"]
    assert not fetch(f"{site.url}/set.bin", path, SHA256[:8])
    assert site.requests == [None]


def test_a_broken_connection_is_taken_up_where_it_broke(site: Site, tmp_path: Path) -> None:
    site.breaks_after = [100_000, 50_000, 0, 1]
    fetch(f"{site.url}/set.bin", tmp_path / "set.bin", SHA256)
    assert (tmp_path / "set.bin").read_bytes() == CONTENT
    starts = [0 if wanted is None else int(wanted[6:-1]) for wanted in site.requests]
    assert starts == [0, 100_000, 150_000, 150_000, 150_001]


def test_the_same_command_goes_on_later(site: Site, tmp_path: Path) -> None:
    site.breaks_after = [100_000] + [0] * fetching.TRIES
    path = tmp_path / "set.bin"
    with pytest.raises(UserError, match=r"\(the connection ended early\).*kept in \S+\.set\.bin\.part$"):
        fetch(f"{site.url}/set.bin", path, SHA256)
    assert left_over(tmp_path) == [".set.bin.part", ".set.bin.part.json"]
    fetch(f"{site.url}/set.bin", path, SHA256)
    assert site.requests[-1] == "bytes=100000-"
    assert path.read_bytes() == CONTENT
    assert left_over(tmp_path) == ["set.bin"]


@pytest.mark.parametrize(("etag", "ranges"), [('"other"', True), (None, True), ('W/"first"', True), ('"first"', False)])
def test_a_part_of_another_version_is_thrown_away(etag: str | None, ranges: bool, site: Site, tmp_path: Path) -> None:
    """Also where the server cannot promise that it is the same one, or cannot give ranges."""
    site.etag, site.ranges = (etag, True) if etag != '"other"' else ('"first"', True)
    site.breaks_after = [100_000] + [0] * fetching.TRIES
    path = tmp_path / "set.bin"
    with pytest.raises(UserError, match="cannot be fetched"):
        fetch(f"{site.url}/set.bin", path)
    changed = CONTENT[::-1]
    site.etag, site.ranges, site.files["/data/set.bin"] = etag, ranges, changed
    fetch(f"{site.url}/set.bin", path)
    assert path.read_bytes() == changed


def test_a_part_that_is_the_whole_needs_nothing_more(site: Site, tmp_path: Path) -> None:
    (tmp_path / ".set.bin.part").write_bytes(CONTENT)
    (tmp_path / ".set.bin.part.json").write_text(json.dumps({"version": site.etag}))
    assert fetch(f"{site.url}/set.bin", tmp_path / "set.bin", SHA256)
    assert site.requests == [f"bytes={len(CONTENT)}-"]
    assert (tmp_path / "set.bin").read_bytes() == CONTENT


def test_what_is_wrong_is_one_sentence(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "set.bin"
    with pytest.raises(UserError, match=rf"gives a file of SHA-256 {SHA256}, not {'0' * 64}"):
        fetch(f"{site.url}/set.bin", path, "0" * 64)
    assert not list(tmp_path.glob("*.bin"))
    with pytest.raises(UserError, match=r"none\.bin responds with 404 Not Found"):
        fetch(f"{site.url}/none.bin", path)
    site.status = 503
    with pytest.raises(UserError, match=r"\(503 Service Unavailable\): the same command tries again$"):
        fetch(f"{site.url}/set.bin", path)
    assert len(site.requests) == 2 + fetching.TRIES
    site.status = 200
    with pytest.raises(UserError, match=r"cannot be fetched: give an address"):
        fetch("ftp://127.0.0.1/set.bin", path)
    monkeypatch.setattr(fetching, "TRIES", 1)
    with pytest.raises(UserError, match=r"cannot be fetched \(.*refused"):
        fetch("http://127.0.0.1:9/set.bin", path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 0, 1000))  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"set\.bin takes 0\.00 GiB, but \S+ has 0\.00 GiB free"):
        fetch(f"{site.url}/set.bin", path)
    path.write_bytes(b"something else")
    with pytest.raises(UserError, match=r"set\.bin exists, but its SHA-256 is not"):
        fetch(f"{site.url}/set.bin", path, SHA256)


def test_a_server_that_tells_no_length(site: Site, tmp_path: Path) -> None:
    site.length = False
    fetch(f"{site.url}/set.bin", tmp_path / "set.bin", SHA256)
    assert hash_file(tmp_path / "set.bin") == SHA256


def zipped(path: Path, files: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path.read_bytes()


def test_a_dataset_is_fetched_and_unpacked_its_terms_and_size_stated_first(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inside = {"vimeo_triplet/tri_trainlist.txt": b"00001/0001\n", "vimeo_triplet/sequences/00001/0001/im1.png": CONTENT}
    site.files["/data/vimeo_triplet.zip"] = zipped(tmp_path / "made.zip", {**inside, "../outside.txt": b"no"})
    config = task("download", what="vimeo90k", output=str(tmp_path / "in" / "out"), download={"mirror": site.url})
    prepare(config)
    said = capsys.readouterr().out.splitlines()
    assert said[1].startswith("terms: none stated on http://toflow.csail.mit.edu")
    assert said[2] == f"size: {len(site.files['/data/vimeo_triplet.zip']) / 1e9:.3f} GB"
    assert said[-1] == "next: python -m vfi_train.prepare task=verify data=vimeo90k data.root=FOLDER"
    out = tmp_path / "in" / "out"
    for name, content in inside.items():
        assert (out / name).read_bytes() == content
    assert not (tmp_path / "in" / "outside.txt").exists()
    (out / "vimeo_triplet/tri_trainlist.txt").unlink()
    own = out / "vimeo_triplet/sequences/00001/0001/im1.png"
    own.write_bytes(b"the user's own")
    with pytest.raises(UserError, match=r"im1\.png exists and is another file than the one in \S+: move it away"):
        prepare(config)
    assert own.read_bytes() == b"the user's own"
    own.unlink()
    prepare(config)
    for name, content in inside.items():
        assert (out / name).read_bytes() == content
    assert len(site.requests) == 1
    assert not [path for path in out.rglob("*") if path.name.endswith(".part")]


def test_a_bare_address_with_its_checksum(site: Site, tmp_path: Path) -> None:
    config = task("download", what=f"{site.url}/set.bin", output=str(tmp_path), download={"sha256": SHA256})
    prepare(config)
    assert (tmp_path / "set.bin").read_bytes() == CONTENT


def test_what_is_fetched_by_hand_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"^what=co3d must be fetched by hand \(terms: CC BY-NC 4\.0, .*\): agree on"):
        prepare(task("download", what="co3d", output=str(tmp_path)))
    with pytest.raises(UserError, match=r"^what=vimeo is not known: did you mean 'vimeo90k' or"):
        prepare(task("download", what="vimeo", output=str(tmp_path)))
    with pytest.raises(UserError, match=r"^task=download needs a folder"):
        prepare(task("download", what="davis"))
    prepare(task("download"))
    said = capsys.readouterr().out
    assert all(name in said for name in DATASETS)
    for name, place in DATASETS.items():
        assert bool(place.files) != bool(place.by_hand), name
        assert place.terms, name


def test_a_broken_archive_is_one_sentence(site: Site, tmp_path: Path) -> None:
    site.files["/data/a.zip"] = zipped(tmp_path / "made.zip", {"a.txt": CONTENT})[:1000]
    with pytest.raises(UserError, match=r"a\.zip is a broken archive \(.*\): delete it, and it is fetched again"):
        prepare(task("download", what=f"{site.url}/a.zip", output=str(tmp_path)))


def test_weights_go_where_they_are_looked_for(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name ends with the beginning of the file's SHA-256, which is checked."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "cache"))
    monkeypatch.setitem(FILES, "alexnet", f"alexnet-owt-{SHA256[:8]}.pth")
    monkeypatch.setattr("vfi_train.prepare.weights.WEIGHTS", FILES)
    site.files |= {f"/data/{FILES['alexnet']}": CONTENT, f"/data/{FILES['vgg16']}": CONTENT}
    prepare(task("weights", what=["alexnet"], download={"mirror": site.url}))
    assert (tmp_path / "cache" / "checkpoints" / FILES["alexnet"]).read_bytes() == CONTENT
    with pytest.raises(UserError, match=r"vgg16-397923af\.pth gives a file of SHA-256"):
        prepare(task("weights", what=["alexnet", "vgg"], download={"mirror": site.url}, output=str(tmp_path / "mine")))
    assert (tmp_path / "mine" / FILES["alexnet"]).is_file()
    assert not (tmp_path / "mine" / FILES["vgg16"]).exists()
    with pytest.raises(UserError, match=r"^what=vg16 is not known: did you mean 'vgg16'"):
        prepare(task("weights", what="vg16"))
