"""`weights=hf://OWNER/NAME`: weights in the folder layout of the Hugging Face Hub, from its local cache first.

A folder holds `model.safetensors` and `config.json`, which has the hash of the weights. Nothing in it is run.
"""

from __future__ import annotations

import json
from pathlib import Path

from vfi_train.errors import UserError, first_line
from vfi_train.runtime.file_hash import hash_file

SCHEME = "hf://"
CONFIG, TENSORS = "config.json", "model.safetensors"


def is_hub_folder(folder: Path) -> bool:
    """Whether a folder has the layout that `export format=hub` writes."""
    return (folder / CONFIG).is_file() and (folder / TENSORS).is_file()


def hub_folder(name: str) -> Path:
    """The folder of `hf://OWNER/NAME` or `hf://OWNER/NAME@REVISION`, fetched if the local cache lacks it.

    Raises:
        UserError: the name is no such name, or it is not in the cache and can't be fetched.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    repository, _, revision = name.removeprefix(SCHEME).partition("@")
    if repository.count("/") != 1:
        raise UserError(f"weights={name} is no name on the Hugging Face Hub: give hf://OWNER/NAME")

    def find(local: bool) -> Path:
        return Path(
            snapshot_download(
                repository, revision=revision or None, allow_patterns=[CONFIG, TENSORS], local_files_only=local
            )
        )

    try:
        try:
            folder = find(local=True)
        except LocalEntryNotFoundError:
            folder = None
        return folder if folder is not None and is_hub_folder(folder) else find(local=False)
    except HFValidationError as error:
        raise UserError(f"weights={name} is no name on the Hugging Face Hub: {error}") from None
    except OSError as error:  # of the Hub and of the way to it
        raise UserError(
            f"weights={name} is not in the local cache and can't be fetched ({first_line(error)}): check the name and "
            "the network, or give a folder that was downloaded elsewhere"
        ) from None


def hub_file(folder: Path) -> Path:
    """The weights in a folder of the Hub's layout, their hash compared with that of config.json.

    Raises:
        UserError: something is missing, or the file is not the one that was written.
    """
    if not is_hub_folder(folder):
        raise UserError(f"{folder} lacks {CONFIG} or {TENSORS}: python -m vfi_train.export format=hub writes both")
    try:
        expected = json.loads((folder / CONFIG).read_text())["weights_sha256"]
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"{folder / CONFIG} was not written by vfi_train: give the file {TENSORS} itself, if you trust it"
        ) from None
    if hash_file(folder / TENSORS) != expected:
        raise UserError(f"{folder / TENSORS} is not the file that was exported (its SHA-256 differs): fetch it again")
    return folder / TENSORS
