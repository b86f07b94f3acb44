"""Frozen backbones of loss terms, with torchvision's ImageNet weights.

Their tensors are no parameters of the module that owns the loss, and are in no checkpoint.
"""

from __future__ import annotations

import pickle
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
}  # each name ends in the first digits of the file's SHA-256


def backbone_folder(folder: str | Path | None = None) -> Path:
    """`folder`, or torch's cache (`checkpoints` in `torch.hub.get_dir()`)."""
    return Path(torch.hub.get_dir(), "checkpoints") if folder is None else Path(folder).expanduser()


def backbone_weights(name: str, folder: str | Path | None = None, reader: str = "this loss") -> dict[str, Tensor]:
    """The tensors of `features` of a torchvision network: "0.weight", "0.bias", "2.weight", ...

    Args:
        name: a key of `FILES`.
        folder: see `backbone_folder`.
        reader: what needs the weights, for the message.

    Raises:
        UserError: the file is missing or holds something else.
    """
    place, file = backbone_folder(folder), FILES[name]
    if not (place / file).is_file():
        raise UserError(
            f"{reader} needs {file}, which is not in {place}: run `python -m vfi_train.prepare task=weights` on a "
            f"machine with internet access, or download {SOURCE}{file}; give its folder by backbones=FOLDER"
        )
    try:
        tensors = torch.load(place / file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise _wrong_file(name, place / file, error) from error
    found = tensors.items() if isinstance(tensors, dict) else ()
    features = {key.removeprefix("features."): t for key, t in found if key.startswith("features.")}
    if not features:
        raise _wrong_file(name, place / file, "no tensor is named features.*")
    return features


def load_backbone(network: nn.Module, name: str, folder: str | Path | None, reader: str) -> None:
    """Load the weights of `name` into `network`, whose tensors are named as in torchvision's `features`; freeze it."""
    features = backbone_weights(name, folder, reader)
    try:
        network.load_state_dict({key: features[key] for key in network.state_dict()})
    except (KeyError, RuntimeError) as error:
        raise _wrong_file(name, backbone_folder(folder) / FILES[name], error) from error
    network.requires_grad_(False).eval()


class BackboneTerm(Term):
    """A term with a frozen network, which is no submodule but follows `to`, `half`, ...

    Args:
        weight: see `Term`.
        backbone: the network.
    """

    skipped_at_zero = True

    def __init__(self, weight: Weight, backbone: nn.Module) -> None:
        super().__init__(weight)
        self._backbone = (backbone,)  # in a tuple, so that it is not registered as a submodule

    @property
    def backbone(self) -> Any:
        """The frozen network."""
        return self._backbone[0]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        self.backbone._apply(fn, recurse)
        return super()._apply(fn, recurse)


def _wrong_file(name: str, path: Path, reason: object) -> UserError:
    detail = (str(reason).splitlines() or [""])[0].strip() or type(reason).__name__
    return UserError(
        f"{path} does not hold torchvision's {name} weights ({detail}): download it again from {SOURCE}{path.name}"
    )
