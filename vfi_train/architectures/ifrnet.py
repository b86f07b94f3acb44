"""IFRNet: intermediate feature refine network (Kong et al., CVPR 2022).

One encoder makes a four-level pyramid of each frame; four decoders go from 1/16 to full size, each refining the
flows to both frames together with a feature of the frame in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from vfi_train.architectures.base import Architecture, Encoding
from vfi_train.architectures.layers.reference import known_reference
from vfi_train.architectures.layers.residual import SideChannelBlock, conv_prelu, join
from vfi_train.architectures.layers.reversal import blend_splatted
from vfi_train.architectures.layers.time_map import time_plane
from vfi_train.architectures.layers.warp import resize, resize_flow, warp_both
from vfi_train.architectures.registry import register_model
from vfi_train.contract import Prediction
from vfi_train.errors import UserError

Synthesis = Literal["warp", "splat"]


@register_model
def ifrnet(reference: bool = False, synthesis: Synthesis = "warp") -> IFRNet:
    """IFRNet, 4,959,692 parameters.

    Args:
        reference: start from a reference frame too (`IFRNetR`), as `ifrnet_dr` does; an option of every size.
        synthesis: how the frames are moved to the wanted time, see `IFRNet`; an option of every size.
    """
    return _build(reference, synthesis, widths=(32, 48, 72, 96), side_channels=32)


@register_model
def ifrnet_s(reference: bool = False, synthesis: Synthesis = "warp") -> IFRNet:
    """IFRNet small, 2,803,610 parameters."""
    return _build(reference, synthesis, widths=(24, 36, 54, 72), side_channels=24)


@register_model
def ifrnet_l(reference: bool = False, synthesis: Synthesis = "warp") -> IFRNet:
    """IFRNet large, 19,699,460 parameters; its first convolution is 7x7."""
    return _build(reference, synthesis, widths=(64, 96, 144, 192), side_channels=64, first_kernel=7)


@register_model
def ifrnet_tiny(reference: bool = False, synthesis: Synthesis = "warp") -> IFRNet:
    """Ours, for the quickstart and for tests: IFRNet's structure at a size that two CPU cores train in minutes."""
    return _build(reference, synthesis, widths=(8, 12, 18, 24), side_channels=8)


@register_model
def ifrnet_d() -> IFRNet:
    """InterpAny-Clearer's [D]: `ifrnet` by the name of its training recipe, with distance index maps."""
    return ifrnet()


@register_model
def ifrnet_r() -> IFRNet:
    """InterpAny-Clearer's [T,R]: the network of `ifrnet_dr`, trained on uniform maps."""
    return ifrnet(reference=True)


@register_model
def ifrnet_dr() -> IFRNet:
    """InterpAny-Clearer's [D,R]: 5,127,308 parameters."""
    return ifrnet(reference=True)


@dataclass
class IFRNetEncoding(Encoding):
    """Features of both frames and the mean that was taken off."""

    mean: Tensor  # B 1 1 1
    features: list[Tensor]  # 2B C h w, frame 0's first; level 1 (half size) first


class IFRNet(Architecture):
    """IFRNet of any width.

    Args:
        widths: channels of the pyramid levels, 1/2 to 1/16.
        side_channels: channels that a residual block refines a second time.
        first_kernel: kernel of the first convolution.
        synthesis: "warp": the wanted frame's pixels fetch their colours along the last flows (published). "splat": the
            last flows are reversed, and the frames' pixels are moved along them; see `layers.reversal`. The weights
            are the same.

    Raises:
        UserError: another synthesis.
    """

    family = "ifrnet"
    size_multiple = 16
    min_size = 16
    arbitrary_time = True
    takes_time_map = True
    faster_channels_last = True
    checkpointed = ("encoder.*", "decoder*")

    def __init__(
        self,
        widths: tuple[int, int, int, int],
        side_channels: int,
        first_kernel: int = 3,
        synthesis: Synthesis = "warp",
    ) -> None:
        super().__init__()
        if synthesis not in get_args(Synthesis):
            raise UserError(f"synthesis={synthesis} is none of {', '.join(get_args(Synthesis))}")
        self.synthesis = synthesis
        c1, c2, c3, c4 = widths
        self.encoder = Encoder(widths, first_kernel)
        of_reference = c4 + 1 if self.takes_reference else 0
        self.decoder4 = Decoder(2 * c4 + 1 + of_reference, 2 * c4, 4 + c3, side_channels)
        self.decoder3 = Decoder(3 * c3 + 4, 3 * c3, 4 + c2, side_channels)
        self.decoder2 = Decoder(3 * c2 + 4, 3 * c2, 4 + c1, side_channels)
        self.decoder1 = Decoder(3 * c1 + 4, 3 * c1, 8, side_channels)

    def encode(self, frame0: Tensor, frame1: Tensor, *, scale: float = 1.0) -> IFRNetEncoding:
        """Pyramids of both frames, whose common mean (a number per sample) is taken off first."""
        mean = torch.stack((frame0, frame1)).mean(dim=(0, 2, 3, 4)).view(-1, 1, 1, 1)
        features = self.encoder(resize(torch.cat((frame0 - mean, frame1 - mean)), scale))
        return IFRNetEncoding(frame0, frame1, scale, mean, features)

    def decode(
        self,
        encoding: Encoding,
        time: Tensor,
        *,
        target: Tensor | None = None,
        reference: Tensor | None = None,
        reference_time: Tensor | None = None,
    ) -> Prediction:
        """Predict the frame at `time`; `target` adds its encoder features for the geometry loss."""
        assert isinstance(encoding, IFRNetEncoding)
        e, up = encoding, 1 / encoding.scale
        coarse = self.coarse_input(e, time, reference, reference_time)
        flow, feature = self.decoder4(*coarse).split_with_sizes((4, self.decoder4.out_channels - 4), dim=1)
        flows, features = [flow], [feature]
        for level, decoder in ((2, self.decoder3), (1, self.decoder2), (0, self.decoder1)):
            warped = warp_both(e.features[level], flow)
            decoded = decoder(feature, *warped.chunk(2), flow)
            delta, feature = decoded.split_with_sizes((4, decoder.out_channels - 4), dim=1)
            flow = delta + resize_flow(flow, 2)
            flows.append(flow)
            features.append(feature)
        last = features.pop()  # of the last decoder: mask logit, residual colours
        flows[-1] = flow = resize_flow(flow, up)
        mask, residual = resize(torch.sigmoid(last[:, :1]), up), resize(last[:, 1:], up)
        frames = torch.cat((e.frame0 - e.mean, e.frame1 - e.mean))
        if self.synthesis == "splat":
            merged = blend_splatted(frames, flow, mask) + e.mean
        else:
            warped0, warped1 = warp_both(frames, flow).chunk(2)
            merged = mask * warped0 + (1 - mask) * warped1 + e.mean
        return Prediction(
            frame=torch.clamp(merged + residual, 0, 1),
            merged=[merged],
            flow0=[f[:, :2] for f in flows],
            flow1=[f[:, 2:] for f in flows],
            mask=[mask],
            residual=residual,
            features=features,
            # Level 4 of the target is not read by any loss.
            target_features=None if target is None else self.encoder(target - e.mean, levels=3)[::-1],
        )

    def coarse_input(
        self, e: IFRNetEncoding, time: Tensor, reference: Tensor | None, reference_time: Tensor | None
    ) -> list[Tensor]:
        """What decoder 4 reads at 1/16: both frames' features and the time. No other place sees the time."""
        coarsest = e.features[3]
        return [*coarsest.chunk(2), time_plane(time, coarsest.shape[-2:])]


class IFRNetR(IFRNet):
    """IFRNet that starts from a reference frame with a known distance map; without one, from frame 0 at map 0.

    The reference's features at 1/16, unwarped, and its map stand beside those of the frames. Options as `IFRNet`.

    Source: InterpAny-Clearer (Zhong et al., ECCV 2024), iterative reference-based estimation.
    """

    takes_reference = True

    def coarse_input(
        self, e: IFRNetEncoding, time: Tensor, reference: Tensor | None, reference_time: Tensor | None
    ) -> list[Tensor]:
        """See `IFRNet.coarse_input`. The mean of only the two frames is subtracted."""
        image, known = known_reference(e.frame0, time, reference, reference_time)
        feature0, feature1, plane = super().coarse_input(e, time, None, None)
        feature = self.encoder(resize(image - e.mean, e.scale))[3]
        return [feature0, feature1, feature, plane, time_plane(known, plane.shape[-2:])]


class Encoder(nn.Module):
    """Four levels of two convolutions, each level at half the size of the one before."""

    def __init__(self, widths: tuple[int, int, int, int], first_kernel: int) -> None:
        super().__init__()
        channels = 3
        for level, width in enumerate(widths, start=1):
            kernel = first_kernel if level == 1 else 3
            block = nn.Sequential(conv_prelu(channels, width, kernel, stride=2), conv_prelu(width, width))
            self.add_module(f"pyramid{level}", block)
            channels = width

    def forward(self, x: Tensor, levels: int = 4) -> list[Tensor]:
        """Features of an image B 3 H W, half size first."""
        pyramid = []
        for level in range(1, levels + 1):
            x = self.get_submodule(f"pyramid{level}")(x)
            pyramid.append(x)
        return pyramid


class Decoder(nn.Module):
    """Entry convolution, residual block, transposed convolution to twice the size."""

    def __init__(self, in_channels: int, width: int, out_channels: int, side_channels: int) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.convblock = nn.Sequential(
            conv_prelu(in_channels, width),
            SideChannelBlock(width, side_channels),
            nn.ConvTranspose2d(width, out_channels, 4, stride=2, padding=1),
        )

    def forward(self, *maps: Tensor) -> Tensor:
        """Maps B C H W with `in_channels` together to B out 2H 2W."""
        return self.convblock(join(maps))


def _build(
    reference: bool,
    synthesis: Synthesis,
    widths: tuple[int, int, int, int],
    side_channels: int,
    first_kernel: int = 3,
) -> IFRNet:
    network = IFRNetR if reference else IFRNet
    return network(widths, side_channels, first_kernel, synthesis)
