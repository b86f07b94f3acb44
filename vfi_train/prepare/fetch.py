"""Files from the internet: resumed where a connection broke, checked, and whole when they appear under their name."""

from __future__ import annotations

import hashlib
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from vfi_train.errors import UserError
from vfi_train.prepare import disk

BLOCK = 2**20  # bytes
TIMEOUT = 30.0  # seconds without an answer
TRIES = 5  # without progress
PAUSE = 2.0  # seconds after a broken connection, times the tries so far


def fetch(url: str, path: Path, sha256: str | None = None) -> bool:
    """Have the file of an address at `path`; whether it had to be fetched.

    Until it is whole it is called `.NAME.part`, beside which `.NAME.part.json` tells which version it is a part of.

    Args:
        url: http or https.
        path: where to.
        sha256: that the file must have, or its beginning.

    Raises:
        UserError: the server does not give it, the disk has no room, or it is another file.
    """
    if path.is_file():
        if sha256 is not None and not digest(path).startswith(sha256):
            raise UserError(f"{path} is there, but its SHA-256 is not {sha256}: delete it, and it is fetched again")
        return False
    if not url.startswith(("http://", "https://")):
        raise UserError(f"{url} is no address that can be fetched: it begins with neither http:// nor https://")
    part = path.with_name(f".{path.name}.part")
    with disk.told_when_full(path.parent), _progress() as bar:
        path.parent.mkdir(parents=True, exist_ok=True)
        task = bar.add_task(path.name, total=None)
        _persist(url, part, lambda done, total: bar.update(task, completed=done, total=total))
    found = digest(part) if sha256 is not None else None
    if found is not None and not found.startswith(str(sha256)):
        part.unlink()
        raise UserError(f"{url} gives a file of SHA-256 {found}, not {sha256}: it is another file, or was damaged")
    part.replace(path)
    _note(part).unlink(missing_ok=True)
    return True


def size_of(url: str) -> int | None:
    """Bytes of the file, if the server tells."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=TIMEOUT) as answer:
            return int(answer.headers["Content-Length"]) if answer.headers["Content-Length"] else None
    except (OSError, http.client.HTTPException, ValueError):
        return None


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _persist(url: str, part: Path, report: Callable[[int, int | None], None]) -> None:
    """Fetch until the part is the whole; connections that break are taken up again."""
    tries = 0
    while True:
        before = _size(part)
        try:
            if _continue(url, part, report):
                return
            reason = "the connection ended early"
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise UserError(f"{url} answers {error.code} {error.reason}: look whether it has moved") from error
            reason = f"{error.code} {error.reason}"
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        tries = 0 if _size(part) > before else tries + 1
        if tries == TRIES:
            kept = f"; what has arrived is kept in {part}" if _size(part) else ""
            raise UserError(f"{url} cannot be fetched ({reason}): the same command tries again{kept}")
        time.sleep(PAUSE * tries)


def _continue(url: str, part: Path, report: Callable[[int, int | None], None]) -> bool:
    """Fetch what is missing; whether the part is whole now."""
    done, version = _size(part), _version(part)
    headers = {"Accept-Encoding": "identity"}
    if done and version:
        headers |= {"Range": f"bytes={done}-", "If-Range": version}
    try:
        answer: Any = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # there is nothing after what we have
            raise
        whole = str(error.headers.get("Content-Range", "")).rpartition("/")[2]
        if whole == str(done):
            return True
        part.unlink()
        return False
    with answer:
        if answer.status != 206:
            done = 0
        length = answer.headers["Content-Length"]
        total = done + int(length) if length else None
        if total is not None:
            disk.require(part.parent, total - done, url)
        _note(part).write_text(json.dumps({"version": answer.headers["ETag"] or answer.headers["Last-Modified"]}))
        with part.open("ab" if done else "wb") as file:
            while block := answer.read(BLOCK):
                file.write(block)
                done += len(block)
                report(done, total)
    return total is None or done == total


def _version(part: Path) -> str | None:
    """What the server called the version that we have a part of; a weak name does not promise the same bytes."""
    try:
        version = json.loads(_note(part).read_text())["version"]
    except (OSError, ValueError, KeyError):
        return None
    return None if version is None or version.startswith("W/") else version


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))
