"""Features of single frames: the convolutional pyramid and the tokens fused from three of its levels."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from vfi_train.architectures.layers.residual import conv_prelu, join


class FeaturePyramid(nn.ModuleList):
    """Levels of two convolutions; every level but the first halves the size.

    Args:
        widths: channels of the levels, full size first.
        in_channels: of what is read.
    """

    def __init__(self, widths: Sequence[int], in_channels: int = 3) -> None:
        strides = (1, *(2 for _ in widths[1:]))
        inputs = (in_channels, *widths[:-1])
        super().__init__(encoder_level(*level) for level in zip(inputs, widths, strides, strict=True))

    def forward(self, frames: Tensor) -> list[Tensor]:
        """Features of frames N C H W, full size first."""
        levels, x = [], frames
        for level in self:
            x = level(x)
            levels.append(x)
        return levels


def encoder_level(in_channels: int, out_channels: int, stride: int = 2) -> nn.Sequential:
    """One level of the pyramid: N C H W to N C' H/stride W/stride."""
    return nn.Sequential(conv_prelu(in_channels, out_channels, stride=stride), conv_prelu(out_channels, out_channels))


class CrossScaleFusion(nn.Module):
    """Three neighbouring levels brought to the coarsest one's size and mixed into normalised tokens.

    The finest level is seen twice, through a dense and through a dilated convolution.

    Args:
        fine, middle, coarse: channels of the levels.

    Source: ATM-VFI (ICASSP 2025), cross-scale feature fusion.
    """

    def __init__(self, fine: int, middle: int, coarse: int) -> None:
        super().__init__()
        self.width = middle + 2 * fine + coarse
        self.layers = nn.ModuleList(
            (
                nn.Conv2d(middle, middle, 3, stride=2, padding=1),
                nn.Conv2d(fine, fine, 3, stride=4, padding=1),
                nn.Conv2d(fine, fine, 3, stride=4, padding=2, dilation=2),
            )
        )
        self.proj = nn.Conv2d(self.width, self.width, 1)
        self.norm = nn.LayerNorm(self.width)

    def forward(self, fine: Tensor, middle: Tensor, coarse: Tensor) -> Tensor:
        """N C H W at 4, 2 and 1 times the coarse size to tokens N H W `width`."""
        parts = (self.layers[0](middle), self.layers[1](fine), self.layers[2](fine), coarse)
        return self.norm(self.proj(join(parts)).permute(0, 2, 3, 1))
