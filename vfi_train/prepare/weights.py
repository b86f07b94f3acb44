"""`task=weights`: the published weights that metrics, losses and flow labels need, fetched to where they are read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from losses.backbones import FILES, SOURCE
from vfi_train.errors import UserError, nearest
from vfi_train.prepare.download import announce, mirrored
from vfi_train.prepare.estimators import RAFT_FILE
from vfi_train.prepare.fetch import fetch

WEIGHTS = {**FILES, "raft": RAFT_FILE}  # as in torchvision, a name ends with the beginning of the file's SHA-256
SIZES = {"alexnet": "244 MB", "vgg16": "553 MB", "vgg19": "575 MB", "squeezenet1_1": "5 MB", "raft": "21 MB"}
GROUPS = {"lpips": ("alexnet", "vgg16", "squeezenet1_1"), "dists": ("vgg16",), "vgg": ("vgg16", "vgg19")}
TERMS = "BSD 3-Clause as torchvision's; trained on ImageNet, or for raft on FlyingChairs and FlyingThings3D"


def fetch_weights(names: Sequence[str], folder: Path, mirror: str | None = None) -> None:
    """Fetch weights.

    Args:
        names: of weights or groups of them; none: all.
        folder: where to.
        mirror: an address to fetch the files from instead.

    Raises:
        UserError: there are no such weights, or they cannot be fetched.
    """
    expanded = list(dict.fromkeys(name for one in names or WEIGHTS for name in GROUPS.get(one, (one,))))
    for name in expanded:
        if name not in WEIGHTS:
            raise UserError(f"what={name} is not known: {nearest(name, [*WEIGHTS, *GROUPS])}")
    for name in expanded:
        file = WEIGHTS[name]
        url = mirrored(SOURCE + file, mirror)
        path = folder / file
        if not path.is_file():
            announce(name, f"weights {file}", TERMS, [url], SIZES[name])
        is_new = fetch(url, path, file.removesuffix(".pth").rpartition("-")[2])
        print(f"{path}: {'fetched' if is_new else 'exists and is complete'}", flush=True)
