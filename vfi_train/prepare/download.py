"""`task=download`: datasets that can be fetched, and instructions for the others."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import urlparse

from rich.console import Console
from rich.table import Table

from vfi_train.errors import UserError, nearest
from vfi_train.prepare import disk
from vfi_train.prepare.dataset_sources import DATASETS, DatasetSource
from vfi_train.prepare.fetch import fetch, size_of


def download(
    names: Sequence[str],
    output: Callable[[], Path],
    mirror: str | None = None,
    sha256: str | None = None,
    extract: bool = True,
) -> None:
    """Fetch datasets, and unpack them.

    Args:
        names: of datasets, or addresses of files.
        output: gives the folder, or an error if there is none; called after the names were checked.
        mirror: an address to fetch the files from instead.
        sha256: of a file that is given by its address.
        extract: unpack zip archives.

    Raises:
        UserError: there is no such dataset, it must be fetched by hand, or it cannot be fetched.
    """
    sources = [find_source(name) for name in names]
    folder = output()
    for name, source in zip(names, sources, strict=True):
        addresses = [mirrored(url, mirror) for url in source.files]
        announce(name, source.what, source.terms, addresses, source.size)
        for url in addresses:
            path = folder / file_name(url)
            is_new = fetch(url, path, sha256)
            print(f"{path}: {'fetched' if is_new else 'exists'}", flush=True)
            if extract and path.suffix == ".zip":
                extract_archive(path, folder)
    if set(names) <= set(DATASETS):
        print(f"next: python -m vfi_train.prepare task=verify data={names[0]} data.root=FOLDER")


def find_source(name: str) -> DatasetSource:
    """Where a dataset, or the file of an address, comes from.

    Raises:
        UserError: there is no such dataset, or it must be fetched by hand.
    """
    if "://" in name:
        return DatasetSource("an address that you gave", "not known here", (name,))
    if name not in DATASETS:
        raise UserError(f"what={name} is not known: {nearest(name, DATASETS)}")
    source = DATASETS[name]
    if not source.files:
        raise UserError(f"what={name} must be fetched by hand (terms: {source.terms}): {source.by_hand}")
    return source


def announce(name: str, what: str, terms: str, addresses: Sequence[str], estimate: str) -> None:
    """Print what will be fetched, under which terms, and its size; `estimate`: where the server does not say it."""
    sizes = [size_of(url) for url in addresses]
    size = f"about {estimate}" if estimate else "unknown"
    if all(sizes):
        size = f"{sum(found or 0 for found in sizes) / 1e9:,.3f} GB"
    print(f"{name}: {what}\nterms: {terms}\nsize: {size}\nfrom: {' '.join(addresses)}", flush=True)


def mirrored(url: str, mirror: str | None) -> str:
    """The address of the same file in another place."""
    return url if mirror is None else f"{mirror.rstrip('/')}/{file_name(url)}"


def file_name(url: str) -> str:
    """The last part of an address's path."""
    name = PurePosixPath(urlparse(url).path).name
    if not name:
        raise UserError(f"{url} names no file: give the address of one")
    return name


def extract_archive(archive: Path, folder: Path) -> None:
    """Unpack the files that do not exist yet, each completely or not at all.

    Raises:
        UserError: the archive is broken, the disk has no room, or another file of a name in it exists.
    """
    try:
        with zipfile.ZipFile(archive) as content:
            members = [member for member in content.infolist() if not member.is_dir()]
            sizes = {
                m.filename: (folder / m.filename).stat().st_size for m in members if (folder / m.filename).is_file()
            }
            other = [folder / m.filename for m in members if sizes.get(m.filename, m.file_size) != m.file_size]
            left = [member for member in members if member.filename not in sizes]
            if other:
                raise UserError(
                    f"{other[0]} exists and is another file than the one in {archive}"
                    + (f", and so do {len(other) - 1} more" if len(other) > 1 else "")
                    + ": move it away, or choose another output=..."
                )
            disk.require(folder, sum(m.file_size for m in left), f"the content of {archive}")
            print(f"{archive}: unpacking {len(left):,} files to {folder}", flush=True)
            for member in left:
                _extract(content, member, folder)
    except (zipfile.BadZipFile, EOFError) as error:
        raise UserError(f"{archive} is a broken archive ({error}): delete it, and it is fetched again") from error


def show_datasets() -> None:
    """Print a table of all datasets: terms, size, and how to get them."""
    table = Table(title="datasets: task=download what=NAME output=FOLDER", show_lines=True)
    for column in ("name", "what", "terms", "how"):
        table.add_column(column, overflow="fold")
    for name, source in DATASETS.items():
        host = urlparse(source.files[0]).netloc if source.files else ""
        how = f"fetched from {host}, about {source.size}" if host else source.by_hand
        table.add_row(name, source.what, source.terms, how)
    Console().print(table)


def _extract(content: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=".", suffix=".part", dir=folder) as place:
        partial = Path(content.extract(member, place))  # never outside of the folder
        path = folder / partial.relative_to(place)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.replace(path)
