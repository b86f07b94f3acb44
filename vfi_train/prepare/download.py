"""`task=download`: datasets that can be fetched; of the others, what is to be done by hand."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import urlparse

from omegaconf import DictConfig, ListConfig
from rich.console import Console
from rich.table import Table

from vfi_train.errors import UserError, nearest
from vfi_train.prepare import disk
from vfi_train.prepare.dataset import output_folder
from vfi_train.prepare.fetch import fetch, size_of
from vfi_train.prepare.published import DATASETS, Published


def download(config: DictConfig) -> None:
    """Fetch `config.what` to `config.output` and unpack it; see conf/prepare.yaml.

    Raises:
        UserError: there is no such dataset, it is to be fetched by hand, or it cannot be fetched.
    """
    wanted = asked(config)
    if not wanted:
        show_datasets()
        return
    known = [published(name) for name in wanted]
    folder = output_folder(config)
    for name, place in zip(wanted, known, strict=True):
        addresses = [mirrored(url, config.download.mirror) for url in place.files]
        state(name, place.what, place.terms, addresses, place.about)
        for url in addresses:
            path = folder / file_name(url)
            new = fetch(url, path, config.download.sha256)
            print(f"{path}: {'fetched' if new else 'is there'}", flush=True)
            if config.download.extract and path.suffix == ".zip":
                extract(path, folder)
    if set(wanted) <= set(DATASETS):
        print(f"next: python -m vfi_train.prepare task=verify data={wanted[0]} data.root=FOLDER")


def asked(config: DictConfig) -> list[str]:
    """`config.what` as a list."""
    if config.what is None:
        return []
    return [str(name) for name in config.what] if isinstance(config.what, ListConfig) else [str(config.what)]


def published(name: str) -> Published:
    """What is known of a dataset, or of a bare address.

    Raises:
        UserError: there is no such dataset, or it is to be fetched by hand.
    """
    if "://" in name:
        return Published("an address that you gave", "yours to know", (name,))
    if name not in DATASETS:
        raise UserError(f"what={name} is not known: {nearest(name, DATASETS)}")
    if not DATASETS[name].files:
        found = DATASETS[name]
        raise UserError(f"what={name} is fetched by hand (terms: {found.terms}): {found.by_hand}")
    return DATASETS[name]


def state(name: str, what: str, terms: str, addresses: Sequence[str], about: str) -> None:
    """Say what is going to be fetched, under which terms, and how much it is."""
    sizes = [size_of(url) for url in addresses]
    if all(sizes):
        about = f"{sum(size or 0 for size in sizes) / 1e9:,.3f} GB"
    elif about:
        about = f"about {about}"
    print(f"{name}: {what}\nterms: {terms}\nsize: {about or 'not told'}\nfrom: {' '.join(addresses)}", flush=True)


def mirrored(url: str, mirror: str | None) -> str:
    """The address of the same file in another place."""
    return url if mirror is None else f"{mirror.rstrip('/')}/{file_name(url)}"


def file_name(url: str) -> str:
    """The last part of an address's path."""
    name = PurePosixPath(urlparse(url).path).name
    if not name:
        raise UserError(f"{url} names no file")
    return name


def extract(archive: Path, folder: Path) -> None:
    """Unpack what is not there yet, each file whole or not at all.

    Raises:
        UserError: the archive is broken, or the disk has no room.
    """
    try:
        with zipfile.ZipFile(archive) as content:
            members = [m for m in content.infolist() if not m.is_dir()]
            left = [m for m in members if not _is_there(folder, m)]
            disk.require(folder, sum(m.file_size for m in left), f"what {archive} holds")
            print(f"{archive}: unpacking {len(left):,} files to {folder}", flush=True)
            with disk.told_when_full(folder):
                for member in left:
                    member.filename += ".part"
                    partial = Path(content.extract(member, folder))  # never outside of the folder
                    partial.replace(partial.with_suffix(""))
    except (zipfile.BadZipFile, EOFError) as error:
        raise UserError(f"{archive} is a broken archive ({error}): delete it, and it is fetched again") from error


def show_datasets() -> None:
    """A table of all datasets: terms, size, and how to get them."""
    table = Table(title="datasets: task=download what=NAME output=FOLDER", show_lines=True)
    for column in ("name", "what", "terms", "how"):
        table.add_column(column, overflow="fold")
    for name, place in DATASETS.items():
        how = f"fetched from {urlparse(place.files[0]).netloc}, about {place.about}" if place.files else place.by_hand
        table.add_row(name, place.what, place.terms, how)
    Console().print(table)


def _is_there(folder: Path, member: zipfile.ZipInfo) -> bool:
    path = folder / member.filename
    return path.is_file() and path.stat().st_size == member.file_size
