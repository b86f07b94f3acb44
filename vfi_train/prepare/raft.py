"""Optical flow by RAFT, for flow labels and distance index maps.

torchvision's network, with weights of a file that the user names.

Source: RAFT (Teed and Deng, ECCV 2020), its checkpoint "raft-things", as InterpAny-Clearer (Zhong et al., ECCV 2024,
section 3.1) uses it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_train.errors import UserError
from vfi_train.weights.names import NameMap, to_ours
from vfi_train.weights.published_checkpoint import load_strict, read_checkpoint, strip_prefixes, unwrap

if TYPE_CHECKING:
    from torchvision.models.optical_flow import RAFT

MULTIPLE = 8
MIN_SIDE = 128  # RAFT's coarsest correlation level would be one pixel wide below it


def load_raft(path: str | Path) -> RAFT:
    """RAFT (the large one) with the weights of a file, in evaluation mode.

    Args:
        path: a checkpoint in the names of the published repository ("raft-things") or in torchvision's
            (`Raft_Large_Weights.C_T_V1`, the same weights).

    Raises:
        UserError: there is no such file, or it is no checkpoint of the large RAFT.
    """
    from torchvision.models.optical_flow import raft_large  # slow to import, and few need it

    if not Path(path).is_file():
        raise UserError(
            f"RAFT needs its weights, and there is no file {path}: give the path of raft-things.pth or of "
            "torchvision's raft_large_C_T_V1"
        )
    tensors = strip_prefixes(unwrap(read_checkpoint(path), str(path)))
    raft = raft_large(weights=None, progress=False)
    counters = {name: value for name, value in raft.state_dict().items() if name.endswith("num_batches_tracked")}
    ours = {to_ours(name, NAMES): tensor for name, tensor in tensors.items() if ".norm3." not in name}
    load_strict(raft, counters | ours, str(path))  # batch counters are not used: a file may lack them
    return raft.eval().requires_grad_(False)


@torch.no_grad()
def raft_flow(raft: RAFT, frame0: Tensor, frame1: Tensor, updates: int) -> Tensor:
    """Flow from `frame0` to `frame1`.

    Args:
        raft: from `load_raft`.
        frame0: B 3 H W, RGB, 0..1, sides of at least 128. Sides that 8 does not divide are padded by repeating the
            border, the smaller half at the left and top, and the flow is cropped back.
        frame1: the same shape.
        updates: how often RAFT refines its flow.

    Returns:
        B 2 H W, float32, pixels, x then y, on the pixels of `frame0`.

    Raises:
        UserError: the frames differ in shape or are too small, or there is no update.
    """
    if frame0.shape != frame1.shape or frame0.ndim != 4 or frame0.shape[1] != 3 or min(frame0.shape[2:]) < MIN_SIDE:
        raise UserError(
            f"RAFT takes two frames B 3 H W of one size, at least {MIN_SIDE}x{MIN_SIDE}; "
            f"got {tuple(frame0.shape)} and {tuple(frame1.shape)}"
        )
    if updates < 1:
        raise UserError(f"RAFT needs at least one update; got {updates}")
    height, width = frame0.shape[2:]
    rows, columns = -height % MULTIPLE, -width % MULTIPLE
    top, left = rows // 2, columns // 2
    padding = (left, columns - left, top, rows - top)
    pair = [F.pad(2 * frame.float() - 1, padding, mode="replicate") for frame in (frame0, frame1)]
    with torch.autocast(frame0.device.type, enabled=False):  # correlation coordinates need float32
        flow: Tensor = raft(*pair, num_flow_updates=updates)[-1]
    return flow[..., top : top + height, left : left + width]


def _encoder(published: str, ours: str) -> NameMap:
    return [
        (f"{published}.conv1.{{leaf}}", f"{ours}.convnormrelu.0.{{leaf}}"),
        (f"{published}.norm1.{{leaf}}", f"{ours}.convnormrelu.1.{{leaf}}"),
        (f"{published}.conv2.{{leaf}}", f"{ours}.conv.{{leaf}}"),
        (f"{published}.{{layer}}.{{n}}.conv{{k}}.{{leaf}}", f"{ours}.{{layer}}.{{n}}.convnormrelu{{k}}.0.{{leaf}}"),
        (f"{published}.{{layer}}.{{n}}.norm{{k}}.{{leaf}}", f"{ours}.{{layer}}.{{n}}.convnormrelu{{k}}.1.{{leaf}}"),
        (f"{published}.{{rest}}", f"{ours}.{{rest}}"),
    ]


# From the published names to torchvision's. A block's `norm3` is its `downsample.1` a second time.
NAMES: NameMap = [
    *_encoder("fnet", "feature_encoder"),
    *_encoder("cnet", "context_encoder"),
    ("update_block.encoder.conv.{leaf}", "update_block.motion_encoder.conv.0.{leaf}"),
    ("update_block.encoder.convc{k}.{leaf}", "update_block.motion_encoder.convcorr{k}.0.{leaf}"),
    ("update_block.encoder.convf{k}.{leaf}", "update_block.motion_encoder.convflow{k}.0.{leaf}"),
    ("update_block.gru.conv{gate}1.{leaf}", "update_block.recurrent_block.convgru1.conv{gate}.{leaf}"),
    ("update_block.gru.conv{gate}2.{leaf}", "update_block.recurrent_block.convgru2.conv{gate}.{leaf}"),
    ("update_block.mask.0.{leaf}", "mask_predictor.convrelu.0.{leaf}"),
    ("update_block.mask.2.{leaf}", "mask_predictor.conv.{leaf}"),
]
