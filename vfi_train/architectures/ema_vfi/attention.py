"""Attention between the frames: what matches in the other frame is appearance, where it matches is motion."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfi_train.architectures.layers.conv_mlp import ConvMlp
from vfi_train.architectures.layers.window import WindowGrid


class WindowedMap:
    """What all blocks of a stage with the same shift share: windows, their mask, their tokens' coordinates.

    Args:
        x: tokens 2B h w C.
        window, shift: see `WindowGrid`.
    """

    def __init__(self, x: Tensor, window: int, shift: int) -> None:
        batch, height, width = x.shape[:3]
        self.grid = WindowGrid(height, width, window, shift)
        mask = self.grid.mask(x.device, x.dtype)
        # 2B*nW 1 N N: one for each window of the batch, shared by the heads.
        self.mask = None if mask is None else mask.repeat(batch, 1, 1).unsqueeze(1)
        coordinates = self.grid.split(coordinate_map(height, width, x.device)[None])
        # Motion is a difference of coordinates: half precision wants them small.
        self.coordinates = coordinates - coordinates.mean(dim=1, keepdim=True)  # nW N 2


class InterFrameBlock(nn.Module):
    """A transformer block whose tokens attend to the same window of the other frame.

    Args:
        width: channels of a token.
        motion_width: channels of its motion.
        heads: divides both.

    Source: EMA-VFI (CVPR 2023), section 3.1. The shortcut starts after the first norm, as published.
    """

    def __init__(self, width: int, motion_width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = InterFrameAttention(width, motion_width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = ConvMlp(width, 4 * width)

    def forward(self, x: Tensor, where: WindowedMap) -> tuple[Tensor, Tensor]:
        """Tokens 2B h w C to tokens of the same shape and motion 2B h w M."""
        tokens = self.norm1(where.grid.split(x))
        update, motion = self.attn(tokens, where.coordinates, where.mask)
        x = where.grid.join(tokens + update)
        return x + self.mlp(self.norm2(x)), where.grid.join(motion)


class InterFrameAttention(nn.Module):
    """One attention map per head, read twice: for the other frame's values and for their coordinates."""

    def __init__(self, width: int, motion_width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.cor_embed = nn.Linear(2, motion_width)
        self.proj = nn.Linear(width, width)
        self.motion_proj = nn.Linear(motion_width, motion_width)

    def forward(self, tokens: Tensor, coordinates: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """What each token finds in the other frame, and how far away.

        Args:
            tokens: 2B*nW N C, windows of frame0 first.
            coordinates: nW N 2, of the tokens of one frame.
            mask: 2B*nW 1 N N, added to the logits.

        Returns:
            2B*nW N C to add to the tokens, and motion 2B*nW N M.
        """
        query = self._split(self.q(tokens))
        # Swapping the frames' keys and values needs no other copy of the tokens to be kept.
        key, value = (self._split(torch.cat(x.chunk(2)[::-1])) for x in self.kv(tokens).chunk(2, dim=-1))
        places = self._places(coordinates).to(value.dtype)
        places = self._split(places).repeat(len(value) // len(places), 1, 1, 1)
        found = F.scaled_dot_product_attention(query, key, torch.cat((value, places), dim=-1), attn_mask=mask)
        values, found_places = found.split_with_sizes((value.shape[-1], places.shape[-1]), dim=-1)
        return self.proj(_merge(values)), self.motion_proj(_merge(found_places - places))

    def _places(self, coordinates: Tensor) -> Tensor:
        """Embedded coordinates, nW N M, less the bias, which cancels in the difference of two places."""
        with torch.autocast(device_type=coordinates.device.type, enabled=False):
            return self.cor_embed(coordinates.to(self.cor_embed.weight.dtype)) - self.cor_embed.bias

    def _split(self, x: Tensor) -> Tensor:
        """... N C to ... heads N C/heads."""
        return x.unflatten(-1, (self.heads, -1)).transpose(-3, -2)


def coordinate_map(height: int, width: int, device: torch.device) -> Tensor:
    """Both coordinates, x first, of every token, from -1 to 1: H W 2, float32."""
    x = torch.linspace(-1, 1, width, device=device).expand(height, width)
    y = torch.linspace(-1, 1, height, device=device)[:, None].expand(height, width)
    return torch.stack((x, y), dim=-1)


def _merge(x: Tensor) -> Tensor:
    return x.transpose(-3, -2).flatten(-2)
