"""Flow heads: from features and images to what is added to flow and mask."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfi_train.architectures.layers.residual import conv_prelu, join
from vfi_train.architectures.layers.warp import resize, resize_flow


class FlowHead(nn.Module):
    """Three convolutions at 1/`stride` of the frames' size; the last one has its PReLU too.

    Args:
        features: channels of the feature after it is spread over four times its height and width.
        images: channels of the images, and of the previous flow if there is one.
        width: hidden channels.
        stride: the frames' size in units of the head's; four strides are one step of the feature.

    Source: EMA-VFI (CVPR 2023), section 3.3.
    """

    def __init__(self, features: int, images: int, width: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Sequential(conv_prelu(features + images, width), conv_prelu(width, width), conv_prelu(width, 5))

    def forward(self, feature: Tensor, images: Sequence[Tensor], flow: Tensor | None = None) -> Tensor:
        """What is to be added to flow (4 channels, pixels of the images) and mask logit (1 channel).

        Args:
            feature: B 16C h w, h = H / (4 stride).
            images: B C H W each: frames, and later warped frames and the mask's logit.
            flow: B 4 H W, the flow so far.

        Returns:
            B 5 H W, float32 at least.
        """
        # Twice by two is not once by four: the order of channels differs.
        parts = [F.pixel_shuffle(F.pixel_shuffle(feature, 2), 2), resize(join(images), 1 / self.stride)]
        if flow is not None:
            parts.append(resize_flow(flow, 1 / self.stride))
        hidden = self.conv[:2](join([part.to(feature.dtype) for part in parts]))
        # bfloat16 would round a flow of ten pixels to a sixteenth, times the stride.
        with torch.autocast(device_type=hidden.device.type, enabled=False):
            last = self.conv[2]
            estimate = last(hidden.to(next(last.parameters()).dtype))
            estimate = estimate.to(torch.promote_types(estimate.dtype, torch.float32))
            change, logit = resize(estimate, self.stride).split_with_sizes((4, 1), dim=1)
            return torch.cat((change * self.stride, logit), dim=1)
