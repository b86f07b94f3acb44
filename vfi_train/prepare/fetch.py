"""Files from the internet: resumed after a broken connection, checked, and complete when they get their name."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from datamodules.storage.atomic_write import partial_path, write_text
from vfi_train.errors import UserError, make_folder
from vfi_train.prepare import disk
from vfi_train.runtime.console import MIB
from vfi_train.runtime.file_hash import hash_file
from vfi_train.runtime.progress import ProgressReporter

BLOCK = MIB  # that is read at once
TIMEOUT = 30.0  # seconds without a response
TRIES = 5  # without progress
PAUSE = 2.0  # seconds after a broken connection, times the tries so far


def fetch(url: str, path: Path, sha256: str | None = None) -> bool:
    """Have the file of an address at `path`; whether it had to be fetched.

    Until it is complete it is called `.NAME.part`, beside `.NAME.part.json`, which says of which version it is a part.

    Args:
        url: http or https.
        path: where to.
        sha256: that the file must have, or its beginning.

    Raises:
        UserError: the server does not give it, the disk has no room, or it is another file.
    """
    if path.is_file():
        if sha256 is not None and not hash_file(path).startswith(sha256):
            raise UserError(f"{path} exists, but its SHA-256 is not {sha256}: delete it, and it is fetched again")
        return False
    if not url.startswith(("http://", "https://")):
        raise UserError(f"{url} cannot be fetched: give an address that begins with http:// or https://")
    part = partial_path(path)
    make_folder(path.parent, "output")
    _fetch_part(url, part, path.name)
    found = hash_file(part) if sha256 is not None else None
    if found is not None and not found.startswith(str(sha256)):
        part.unlink()
        _note(part).unlink(missing_ok=True)
        raise UserError(f"{url} gives a file of SHA-256 {found}, not {sha256}: it is another file, or was damaged")
    part.replace(path)
    _note(part).unlink(missing_ok=True)
    return True


def size_of(url: str) -> int | None:
    """Bytes of the file, if the server says."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=TIMEOUT) as response:
            length = response.headers["Content-Length"] or ""
            return int(length) if length.isdigit() else None
    except (OSError, http.client.HTTPException):  # the sizes are only shown; `fetch` reports what is wrong
        return None


def _fetch_part(url: str, part: Path, title: str) -> None:
    """Fetch until the part is complete; broken connections are resumed."""
    tries = 0
    while True:
        before = _size(part)
        try:
            if _resume(url, part, title):
                return
            reason = "the connection ended early"
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise UserError(
                    f"{url} responds with {error.code} {error.reason}: check whether it has moved"
                ) from error
            reason = f"{error.code} {error.reason}"
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        tries = 0 if _size(part) > before else tries + 1
        if tries == TRIES:
            kept = f"; what has arrived is kept in {part}" if _size(part) else ""
            raise UserError(f"{url} cannot be fetched ({reason}): the same command tries again{kept}")
        time.sleep(PAUSE * tries)


def _resume(url: str, part: Path, title: str) -> bool:
    """Fetch what is missing; whether the part is complete now."""
    done, version = _size(part), _version(part)
    headers = {"Accept-Encoding": "identity"}
    if done and version:
        headers |= {"Range": f"bytes={done}-", "If-Range": version}
    try:
        response: Any = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # nothing follows what we have
            raise
        if str(error.headers.get("Content-Range", "")).rpartition("/")[2] == str(done):
            return True
        part.unlink()
        return False
    with response:
        if response.status != 206:
            done = 0
        length = response.headers["Content-Length"]
        total = done + int(length) if length else None
        if total is not None:
            disk.require(part.parent, total - done, url)
        write_text(_note(part), json.dumps({"version": response.headers["ETag"] or response.headers["Last-Modified"]}))
        mib = None if total is None else total // MIB
        with (
            part.open("ab" if done else "wb") as file,
            ProgressReporter(f"{title}, MiB", mib, completed=done // MIB) as progress,
        ):
            while block := response.read(BLOCK):
                file.write(block)
                done += len(block)
                progress.update(done // MIB, lambda: f"{progress.rate():.1f} MiB/s")
    return total is None or done == total


def _version(part: Path) -> str | None:
    """The server's name of the version that we have a part of; a weak name does not promise the same bytes."""
    note = _note(part)
    if not note.is_file():
        return None
    version = json.loads(note.read_text())["version"]
    return None if version is None or version.startswith("W/") else version


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0
