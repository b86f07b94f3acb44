"""Window attention: between frames, whose weights give the motion, and inside each frame."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfi_train.architectures.layers.conv_mlp import ConvMlp
from vfi_train.architectures.layers.window import WindowGrid

HEADS = 8


class MotionBlock(nn.Module):
    """Attention between the frames, then a feed-forward layer; also gives the motion.

    Args:
        width: channels.
        window: side of the windows, in tokens.
        ratio: hidden channels of the feed-forward layer, in widths.
    """

    def __init__(self, width: int, window: int, ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = MotionAttention(width, window)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = ConvMlp(width, ratio * width)

    def forward(self, x: Tensor, grid: WindowGrid, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Tokens 2B H W C, frame0's first, to the same shape; and motion 2B H W 2, pixels of this grid."""
        tokens = self.norm1(grid.split(x))
        appearance, motion = self.attn(tokens, mask)
        x = grid.join(tokens + appearance)  # the normalised tokens go on: published weights were trained so
        return x + self.mlp(self.norm2(x)), grid.join(motion)


class SelfBlock(nn.Module):
    """Attention inside each frame, then a feed-forward layer; arguments as in `MotionBlock`."""

    def __init__(self, width: int, ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = SelfAttention(width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = ConvMlp(width, ratio * width)

    def forward(self, x: Tensor, grid: WindowGrid, mask: Tensor | None) -> Tensor:
        """Tokens N H W C to the same shape."""
        tokens = self.norm1(grid.split(x))
        x = grid.join(tokens + self.attn(tokens, mask))
        return x + self.mlp(self.norm2(x))


class MotionAttention(nn.Module):
    """Every token attends to the other frame's tokens of its window; the offset of its match is its motion.

    Per head, the attention weights give the mean displacement between a token and what it attends to; a small
    network shared by x and y makes one displacement of the heads' eight.

    Source: ATM-VFI (ICASSP 2025), attention-to-motion.
    """

    coordinates: Tensor  # tokens 2: x, y of each token of a window, its centre at 0

    def __init__(self, width: int, window: int) -> None:
        super().__init__()
        self.q = nn.Linear(width, width, bias=False)
        self.kv = nn.Linear(width, 2 * width, bias=False)
        self.proj = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(HEADS, HEADS // 2), nn.GELU(), nn.Linear(HEADS // 2, 1))
        self.register_buffer("coordinates", window_coordinates(window), persistent=False)

    def set_window(self, window: int) -> None:
        """Change the side of the windows."""
        self.coordinates = window_coordinates(window).to(self.coordinates)

    def forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Appearance and motion.

        Args:
            x: normalised tokens 2BV T C of V windows of T tokens, frame0's first.
            mask: V T T, added to the attention's logits.

        Returns:
            What was found in the other frame, 2BV T C, and how far away, 2BV T 2 in pixels of this grid.
        """
        q = split_heads(self.q(x))
        # Swapping the frames' keys and values needs no other copy of the tokens to be kept.
        k, v = (split_heads(torch.cat(part.chunk(2)[::-1])) for part in self.kv(x).chunk(2, dim=-1))
        weights = attention_weights(q, k, mask)
        return self.proj(merge_heads(weights.to(v.dtype) @ v)), self._motion(weights)

    def _motion(self, weights: Tensor) -> Tensor:
        # In bfloat16 a displacement of five pixels would be off by some hundredths, times 16 at full size.
        with torch.autocast(device_type=weights.device.type, enabled=False):
            coordinates = self.coordinates.to(weights.dtype)
            displacement = weights @ coordinates - coordinates
            return self.mlp(displacement.movedim(1, -1)).squeeze(-1)


class SelfAttention(nn.Module):
    """Plain attention inside the windows of one frame."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Normalised tokens NV T C to the same shape; `mask` is V T T, added to the logits."""
        q, k, v = (split_heads(part) for part in self.qkv(x).chunk(3, dim=-1))
        if mask is not None:
            mask = mask.to(q.dtype).repeat(len(q) // len(mask), 1, 1).unsqueeze(1)
        return self.proj(merge_heads(F.scaled_dot_product_attention(q, k, v, attn_mask=mask)))


def attention_weights(q: Tensor, k: Tensor, mask: Tensor | None) -> Tensor:
    """softmax(q k' / sqrt(C) + mask) of NV heads T C, in float32 at least."""
    logits = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    if mask is not None:
        logits = (logits.unflatten(0, (-1, len(mask))) + mask.unsqueeze(1)).flatten(0, 1)
    return logits.softmax(dim=-1, dtype=torch.promote_types(logits.dtype, torch.float32))


def window_coordinates(window: int) -> Tensor:
    """x, y of the tokens of a window in row-major order, its centre at 0: window*window 2."""
    axis = torch.arange(window, dtype=torch.float32) - (window - 1) / 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack((x, y), dim=-1).flatten(0, 1)


def split_heads(x: Tensor) -> Tensor:
    """N T C to N heads T C/heads."""
    return x.unflatten(-1, (HEADS, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """The inverse of `split_heads`."""
    return x.transpose(1, 2).flatten(-2)
