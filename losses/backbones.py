"""Frozen networks that judge images: where their weights lie, and how a loss term keeps them.

Their weights are torchvision's, trained on ImageNet. They are nobody's parameters and in no checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from losses.base import Term, Weight
from vfi_train.errors import UserError

SOURCE = "https://download.pytorch.org/models/"
FILES = {
    "alexnet": "alexnet-owt-7be5be79.pth",
    "vgg16": "vgg16-397923af.pth",
    "vgg19": "vgg19-dcbb9e9d.pth",
    "squeezenet1_1": "squeezenet1_1-b8a52dc0.pth",
}  # the digits are the beginning of the file's SHA-256


def backbone_folder(folder: str | Path | None = None) -> Path:
    """Where weights are looked for: `folder`, or torch's cache (`checkpoints` under `torch.hub.get_dir()`)."""
    return Path(torch.hub.get_dir(), "checkpoints") if folder is None else Path(folder).expanduser()


def backbone_weights(name: str, folder: str | Path | None = None, reader: str = "this loss") -> dict[str, Tensor]:
    """The tensors of torchvision's `features` of a network in `FILES`: "0.weight", "0.bias", "2.weight", ...

    Args:
        name: which network.
        folder: see `backbone_folder`.
        reader: who asks, for the message.

    Raises:
        UserError: the file is not there, or holds something else.
    """
    place, file = backbone_folder(folder), FILES[name]
    if not (place / file).is_file():
        raise UserError(
            f"{reader} needs {file} in {place}, which is not there: run `python -m vfi_train.prepare task=weights` "
            f"where the internet is, or fetch {SOURCE}{file}, and put it there or name its folder by backbones=FOLDER"
        )
    try:
        tensors = torch.load(place / file, map_location="cpu", weights_only=True)
        features = {key.removeprefix("features."): t for key, t in tensors.items() if key.startswith("features.")}
    except Exception as error:  # torch.load raises many kinds
        raise _wrong_file(name, place / file, error) from error
    if not features:
        raise _wrong_file(name, place / file, "no tensor is called features.*")
    return features


def load_backbone(network: nn.Module, name: str, folder: str | Path | None, reader: str) -> None:
    """Give `network`, whose tensors are called as torchvision's `features`, the weights of `name` and freeze it."""
    features = backbone_weights(name, folder, reader)
    try:
        network.load_state_dict({key: features[key] for key in network.state_dict()})
    except (KeyError, RuntimeError) as error:
        raise _wrong_file(name, backbone_folder(folder) / FILES[name], error) from error
    network.requires_grad_(False).eval()


class JudgedTerm(Term):
    """A term that asks a frozen network, which moves along with it but is no part of it for anybody else.

    Args:
        weight: see `Term`.
        judge: the network.
    """

    skipped_at_zero = True

    def __init__(self, weight: Weight, judge: nn.Module) -> None:
        super().__init__(weight)
        # In a tuple, so that it is no submodule; `_apply` takes it along all the same.
        self._judge = (judge,)

    @property
    def judge(self) -> Any:
        """The frozen network."""
        return self._judge[0]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        self.judge._apply(fn, recurse)
        return super()._apply(fn, recurse)


def _wrong_file(name: str, path: Path, reason: object) -> UserError:
    said = (str(reason).splitlines() or [""])[0].strip() or type(reason).__name__
    return UserError(
        f"{path} does not hold torchvision's {name} weights ({said}): fetch it again from {SOURCE}{path.name}"
    )
