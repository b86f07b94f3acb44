"""Plain versions of what the networks are made of, to stand in for the project's own while a step runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfi_train.architectures import ifrnet
from vfi_train.architectures.amt import network as amt
from vfi_train.architectures.amt import update as amt_update
from vfi_train.architectures.atm_vfi import attention as atm_attention
from vfi_train.architectures.atm_vfi import network as atm
from vfi_train.architectures.atm_vfi import synthesis as atm_synthesis
from vfi_train.architectures.ema_vfi import attention as ema_attention
from vfi_train.architectures.ema_vfi import network as ema
from vfi_train.architectures.layers import prelu, window
from vfi_train.architectures.layers.warp import resize, resize_flow
from vfi_train.architectures.rife import blocks as rife_blocks
from vfi_train.architectures.rife_v4 import network as rife4


@contextlib.contextmanager
def plain_layers() -> Iterator[None]:
    """Within, networks compute with the plain layers. Parameters are the same."""
    with contextlib.ExitStack() as stack:
        for owner, name, value in REPLACED:
            stack.enter_context(mock.patch.object(owner, name, value))
        yield


def warp(image: Tensor, flow: Tensor, *, padding_mode: str = "border") -> Tensor:
    """A new grid each time."""
    b, _, h, w = flow.shape
    x = torch.linspace(-1.0, 1.0, w, device=flow.device).view(1, 1, 1, w).expand(b, -1, h, -1)
    y = torch.linspace(-1.0, 1.0, h, device=flow.device).view(1, 1, h, 1).expand(b, -1, -1, w)
    grid = torch.cat((x, y), 1)
    scaled = torch.cat((flow[:, 0:1] / ((w - 1.0) / 2.0), flow[:, 1:2] / ((h - 1.0) / 2.0)), 1)
    at = (grid + scaled).permute(0, 2, 3, 1)
    return F.grid_sample(image, at, mode="bilinear", padding_mode=padding_mode, align_corners=True)


def warp_both(images: Tensor, flow: Tensor) -> Tensor:
    """One frame after the other."""
    image0, image1 = images.chunk(2)
    return torch.cat((warp(image0, flow[:, :2]), warp(image1, flow[:, 2:])))


def warp_maps(maps: Tensor, flow: Tensor) -> Tensor:
    """RIFE 4's: frames, then their features."""
    if maps.shape[1] == 3:
        return warp_both(maps, flow)
    return torch.cat((warp_both(maps[:, :3], flow), warp_both(maps[:, 3:], flow)), dim=1)


class Correlation:
    """RAFT's: both volumes, each pooled level by level, each level sampled by itself."""

    def __init__(self, features0: Tensor, features1: Tensor, levels: int = 4, radius: int = 3) -> None:
        b, c, h, w = features0.shape
        self.radius = radius
        volume = torch.matmul(features0.view(b, c, -1).transpose(1, 2), features1.view(b, c, -1)) / c**0.5
        self.pyramids = []
        for both in (volume, volume.transpose(1, 2)):
            pyramid = [both.reshape(b * h * w, 1, h, w)]
            for _ in range(levels - 1):
                pyramid.append(F.avg_pool2d(pyramid[-1], 2))
            self.pyramids.append(pyramid)
        y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
        self.grid = torch.stack((x, y)).float().to(features0)

    def lookup(self, displacement01: Tensor, displacement10: Tensor) -> Tensor:
        found = []
        for pyramid, displacement in zip(self.pyramids, (displacement01, displacement10), strict=True):
            centres = (self.grid + displacement).permute(0, 2, 3, 1)
            b, h, w, _ = centres.shape
            steps = torch.arange(-self.radius, self.radius + 1, device=centres.device)
            delta = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1)
            for i, image in enumerate(pyramid):
                at = centres.reshape(b * h * w, 1, 1, 2) / 2**i + delta
                sides = torch.tensor((image.shape[-1], image.shape[-2]), device=at.device)
                sampled = F.grid_sample(image, 2 * at / (sides - 1) - 1, align_corners=True)
                found.append(sampled.view(b, h, w, -1))
        return torch.cat(found, dim=-1).permute(0, 3, 1, 2).contiguous()


def encode_ifrnet(self: Any, frame0: Tensor, frame1: Tensor, *, scale: float = 1.0) -> Any:
    """One frame after the other."""
    mean = torch.cat((frame0, frame1), 2).mean((1, 2, 3), keepdim=True)
    return ifrnet.IFRNetEncoding(frame0, frame1, scale, mean, encode_both(self, frame0 - mean, frame1 - mean))


def encode_amt(self: Any, frame0: Tensor, frame1: Tensor, *, scale: float = 1.0) -> Any:
    """The same, and the correlation."""
    mean = torch.cat((frame0, frame1), 2).mean((1, 2, 3), keepdim=True)
    small0, small1 = frame0 - mean, frame1 - mean
    matching = self.feat_encoder(torch.cat((small0, small1))).chunk(2)
    correlation: Any = Correlation(*matching, self.levels, self.radius)
    return amt.AMTEncoding(frame0, frame1, scale, mean, encode_both(self, small0, small1), correlation)


def encode_rife4(self: Any, frame0: Tensor, frame1: Tensor, *, scale: float = 1.0) -> Any:
    """The head for one frame after the other."""
    frames = torch.cat((frame0, frame1))
    maps = torch.cat((frames, torch.cat((self.head(frame0), self.head(frame1)))), dim=1)
    return rife4.RIFE4Encoding(frame0, frame1, scale, frames, maps, [shrink / scale for shrink in self.shrinks])


def encode_both(self: Any, frame0: Tensor, frame1: Tensor) -> list[Tensor]:
    return [torch.cat(levels) for levels in zip(self.encoder(frame0), self.encoder(frame1), strict=True)]


def encoder_forward(self: Any, x: Tensor, levels: int = 4) -> list[Tensor]:
    """All four levels, whoever asks."""
    pyramid = []
    for level in range(1, 5):
        x = self.get_submodule(f"pyramid{level}")(x)
        pyramid.append(x)
    return pyramid[:levels]


def update_forward(self: Any, feature: Tensor, flow: Tensor, correlation: Tensor) -> tuple[Tensor, Tensor]:
    """The correlation is enlarged before the convolution."""
    matches = self.act(self.convc1(resize(correlation, self.correlation_factor)))
    if self.convc2 is not None:
        matches = self.act(self.convc2(matches))
    motion = self.act(self.convf2(self.act(self.convf1(flow))))
    joint = self.act(self.conv(torch.cat((matches, motion), dim=1)))
    hidden = self.gru(torch.cat((joint, flow, resize(feature, 1 / self.factor)), dim=1))
    return resize(self.feat_head(hidden), self.factor), resize_flow(self.flow_head(hidden), self.factor)


def split_windows(self: Any, x: Tensor) -> Tensor:
    b, c, m = x.shape[0], x.shape[-1], self.window
    (top, bottom), (left, right) = self._padding(self.height), self._padding(self.width)
    x = F.pad(x, (0, 0, left, right, top, bottom))
    if self.shift:
        x = torch.roll(x, (-self.shift, -self.shift), dims=(1, 2))
    x = x.view(b, x.shape[1] // m, m, x.shape[2] // m, m, c)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, m * m, c)


def join_windows(self: Any, windows: Tensor) -> Tensor:
    m, c = self.window, windows.shape[-1]
    (top, bottom), (left, right) = self._padding(self.height), self._padding(self.width)
    h, w = self.height + top + bottom, self.width + left + right
    x = windows.view(-1, h // m, w // m, m, m, c).permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, h, w, c)
    if self.shift:
        x = torch.roll(x, (self.shift, self.shift), dims=(1, 2))
    return x[:, top : top + self.height, left : left + self.width].contiguous()


def inter_frame_attention(self: Any, tokens: Tensor, coordinates: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Attention weights written out, read once for values and once for coordinates."""
    n, t, c = tokens.shape
    other = torch.cat((tokens[n // 2 :], tokens[: n // 2]))
    q = self.q(tokens).reshape(n, t, self.heads, -1).permute(0, 2, 1, 3)
    k, v = self.kv(other).reshape(n, t, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
    places = self.cor_embed(coordinates.repeat(n // len(coordinates), 1, 1))
    split_places = places.reshape(n, t, self.heads, -1).permute(0, 2, 1, 3)
    logits = (q @ k.transpose(-2, -1)) * q.shape[-1] ** -0.5
    if mask is not None:
        logits = logits + mask
    weights = logits.softmax(dim=-1)
    values = (weights @ v).transpose(1, 2).reshape(n, t, c)
    motion = (weights @ split_places).transpose(1, 2).reshape(n, t, -1)
    return self.proj(values), self.motion_proj(motion - places)


def self_attention(self: Any, x: Tensor, mask: Tensor | None) -> Tensor:
    """The same within a frame."""
    n, t, c = x.shape
    q, k, v = self.qkv(x).reshape(n, t, 3, atm_attention.HEADS, -1).permute(2, 0, 3, 1, 4)
    logits = (q @ k.transpose(-2, -1)) * q.shape[-1] ** -0.5
    if mask is not None:
        logits = logits + mask.repeat(n // len(mask), 1, 1).unsqueeze(1)
    return self.proj((logits.softmax(dim=-1) @ v).transpose(1, 2).reshape(n, t, c))


REPLACED: list[tuple[Any, str, Any]] = [
    (ifrnet, "warp_both", warp_both),
    (amt, "warp", warp),
    (amt, "warp_both", warp_both),
    (ema, "warp_both", warp_both),
    (atm, "warp", warp),
    (atm_synthesis, "warp", warp),
    (rife_blocks, "warp_both", warp_both),
    (rife4, "warp_both", warp_maps),
    (rife4.RIFE4, "encode", encode_rife4),
    (ifrnet.IFRNet, "encode", encode_ifrnet),
    (ifrnet.Encoder, "forward", encoder_forward),
    (amt.AMT, "encode", encode_amt),
    (amt_update.UpdateBlock, "forward", update_forward),
    (window, "BLOCKED", -100.0),
    (window.WindowGrid, "split", split_windows),
    (window.WindowGrid, "join", join_windows),
    (ema_attention.InterFrameAttention, "forward", inter_frame_attention),
    (atm_attention.SelfAttention, "forward", self_attention),
    (prelu.PReLU, "forward", nn.PReLU.forward),
]
