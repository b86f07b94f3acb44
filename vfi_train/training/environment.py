"""What a run was made with: its command, the code's commit, the versions of packages, the machine's kind."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from vfi_train.config.overrides import given_words

PACKAGES = (
    "vfi_train", "torch", "torchvision", "lightning", "timm", "numpy", "opencv-python", "av", "hydra-core",
    "torchmetrics", "lpips", "wandb",
)  # fmt: skip
SECONDS = 5  # that git may take


def environment() -> dict[str, Any]:
    """Plain values for a log; unknown ones are None. Does not name the machine."""
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no") if commit else None
    return {
        "command": given_words(),
        "git_commit": commit or None,
        "git_changed_files": None if changed is None else len(changed.splitlines()),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _git(*arguments: str) -> str | None:
    command = ["git", "--no-optional-locks", "-C", str(Path(__file__).parent), *arguments]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
