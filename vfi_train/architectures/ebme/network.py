"""The network: motion between the inputs on a pyramid, then splatting and fusion at the wanted time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_train.architectures.base import Architecture, Encoding
from vfi_train.architectures.ebme.fusion import FusionNet, downsample
from vfi_train.architectures.ebme.motion import MotionEstimator
from vfi_train.architectures.layers.warp import resize, resize_flow
from vfi_train.contract import Prediction
from vfi_train.errors import UserError


@dataclass
class EBMEEncoding(Encoding):
    """Flows between the frames, and what the fusion needs of them."""

    flows: list[Tensor]  # B 4 h w, coarse to fine, the last at full size: frame 0 to 1, then 1 to 0
    frames: Tensor  # 2B 3 H W, frame 0's first; twice the size where the fusion works so
    context: list[Tensor]  # 2B C h w, half size first


class EBME(Architecture):
    """EBME: bi-directional motion estimation between the inputs, average splatting, fusion.

    Args:
        levels: of the motion's pyramid, which share their weights; an attribute too, so that one set of weights serves
            any number. Published: 3 for 256x448, 5 for 1280x720, 7 for 4K; see `pyramid_levels`.
        high_resolution: fuse at twice the size, and downsample by learned weights (EBME-H).

    Raises:
        UserError: no level.
    """

    family = "ebme"
    channel_order = "bgr"
    arbitrary_time = True
    checkpointed = ("motion.feat_pyramid", "motion.flow_estimator", "fusion.contextnet.*", "fusion.down*", "fusion.up*")

    def __init__(self, levels: int = 3, high_resolution: bool = False) -> None:
        super().__init__()
        if levels < 1:
            raise UserError(f"EBME takes a pyramid of 1 level or more; got levels={levels}")
        self.levels, self.high_resolution = levels, high_resolution
        self.motion = MotionEstimator()
        self.fusion = FusionNet(downsampling=high_resolution)

    @property
    def full_size_multiple(self) -> int:  # type: ignore[override]
        """Of the fusion's U-net: 16, or 8 where it works at twice the size."""
        return 8 if self.high_resolution else 16

    @property
    def size_multiple(self) -> int:  # type: ignore[override]
        """2^(levels + 1) for the motion, and what the fusion needs."""
        return max(self.full_size_multiple, 2 ** (self.levels + 1))

    @property
    def min_size(self) -> int:  # type: ignore[override]
        """One pixel on the coarsest map."""
        return self.size_multiple

    def adapt_to(self, height: int, width: int) -> bool:
        """Take the levels that suit the size; see `pyramid_levels`."""
        self.levels = pyramid_levels(height, width)
        return True

    def encode(self, frame0: Tensor, frame1: Tensor, *, scale: float = 1.0) -> EBMEEncoding:
        """Motion between the frames, and their context features: neither depends on the time.

        `scale` other than 1 is an extension without published meaning: the motion is that of resized frames, enlarged.
        """
        frames = torch.cat((frame0, frame1))
        flows = self.motion(resize(frames, scale), self.levels)
        flows[-1] = resize_flow(flows[-1], 1 / scale)
        frames = resize(frames, 2) if self.high_resolution else frames
        return EBMEEncoding(frame0, frame1, scale, flows, frames, self.fusion.contextnet(frames))

    def decode(
        self,
        encoding: Encoding,
        time: Tensor,
        *,
        target: Tensor | None = None,
        reference: Tensor | None = None,
        reference_time: Tensor | None = None,
    ) -> Prediction:
        """Predict the frame at `time`; what serves other families has no effect.

        The flows are those between the frames (`forward_flow0`, `forward_flow1`), one for each level at the size of its
        frames. Where the fusion works at twice the size, warped frames, mask, blend and residual are the means of 2x2
        pixels, and `frame` is not exactly their sum.
        """
        assert isinstance(encoding, EBMEEncoding)
        forward, backward = encoding.flows[-1].chunk(2, dim=1)
        flow = torch.cat((time * forward, (1 - time) * backward))
        flow = resize_flow(flow, 2) if self.high_resolution else flow
        frame, feature, *maps = self.fusion(encoding.frames, encoding.context, flow)
        if self.fusion.downsample_mask is not None:
            frame = downsample(frame, self.fusion.downsample_mask(feature).to(frame.dtype))
            maps = [F.avg_pool2d(x, 2) for x in maps]
        warped0, warped1, mask, merged, residual = maps
        return Prediction(
            frame=frame,
            merged=[merged],
            forward_flow0=[f[:, :2] for f in encoding.flows],
            forward_flow1=[f[:, 2:] for f in encoding.flows],
            warped0=[warped0],
            warped1=[warped1],
            mask=[mask],
            residual=residual,
        )


def pyramid_levels(height: int, width: int) -> int:
    """How many levels suit frames of a size: 3 up to 448 pixels, then one more for each doubling of the longer side.

    The published demo looks at the width only, and takes fewer than 3 levels, with which the network was never trained,
    below 225 pixels.

    Source: EBME's repository, `demo/interp_imgs.py`.
    """
    return max(3, math.ceil(math.log2(max(height, width) / 448) + 3))
