"""RIFE 4: our tensors have the published names, but for the head."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from vfi_train.weights.names import NameMap

NAMES: NameMap = [("encode.{rest}", "head.{rest}")]

# Parts of the authors' training that stayed in some files: a teacher, and a net of unknown use.
DROPPED = ["teacher.*", "caltime.*"]

# Our teacher is only for training, and not the published one.
OPTIONAL = ["teacher.*"]

LAYOUTS = (
    "state dict with `module.` prefix or bare (`flownet.pkl`, `flownet_v4.25.pkl`, ...); the authors' teacher and "
    "`caltime` dropped"
)

# By the first convolution (width, input channels), the first of block 4 (width) and the head's channels.
_VARIANTS = {
    (96, 7, None, None): "rife_v4_6",
    (96, 15, 16, 4): "rife_v4_25 or rife_v4_26",
    (96, 15, 12, 4): "rife_v4_25_lite",
    (192, 15, 32, 4): "rife_v4_25_heavy",
    (96, 39, 16, 16): "rife_v4_26_heavy",
}


def variant(tensors: Mapping[str, Tensor]) -> str | None:
    """The architectures that tensors of these (published) names and shapes belong to; None where it is not known."""

    def side(name: str, axis: int) -> int | None:
        tensor = tensors.get(name)
        return tensor.shape[axis] if tensor is not None and tensor.ndim == 4 else None

    first = "block0.conv0.0.0.weight"
    if first not in tensors:
        return None
    if any(name.startswith("contextnet.") for name in tensors):
        return "the RIFE of 2022 (rife, rife_m, rife_d, rife_dr)"
    if "block0.convblock.0.beta" not in tensors:
        return "RIFE 4.0 to 4.4, which has no architecture here"
    if any(name.startswith("encode.") for name in tensors) and "block4.conv0.0.0.weight" not in tensors:
        return "RIFE 4.7 to 4.24, which has no architecture here"
    if side("block0.lastconv.0.weight", 1) == 20:
        return "RIFE 4.5, which has no architecture here"
    found = (side(first, 0), side(first, 1), side("block4.conv0.0.0.weight", 0), side("encode.cnn3.weight", 1))
    return _VARIANTS.get(found)  # type: ignore[arg-type]
