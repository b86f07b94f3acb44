"""Flow distillation: learning from flow labels of another network."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from losses.base import Term, Weight
from vfi_train.contract import Batch, Prediction
from vfi_train.ranges import NonNegative


def robust_weight(flow: Tensor, label: Tensor, beta: float = 0.3) -> Tensor:
    """Trust in a label: exp(-beta * end-point error), B 1 ..., without gradient.

    Args:
        flow, label: B 2 ..., pixels.
        beta: decay of the trust per pixel of error.

    Source: IFRNet, section 3.4 (task-oriented flow distillation).
    """
    x, y = (flow.detach() - label).unbind(1)
    return torch.exp(-beta * torch.sqrt(x.square() + y.square())).unsqueeze(1)


def adaptive_charbonnier(difference: Tensor, weight: Tensor) -> Tensor:
    """Mean of (difference^2 + eps^2)^alpha with alpha = weight / 2, eps = 10^(-(10 weight - 1) / 3).

    A Charbonnier loss where the weight is 1, a constant without gradient where it is 0. The weight, whose shape
    broadcasts to the difference's, has no gradient.
    """
    return _AdaptiveCharbonnier.apply(difference, weight)  # type: ignore[no-any-return, no-untyped-call]


class FlowDistillation(Term):
    """Distance of the coarser flows, upsampled to full size, to flow labels, weighted by the trust in the labels.

    The finest flow, which gives the trust, is not distilled. Flows are in pixels of their own map; upsampling
    rescales their values. Where the finest flows are many fields (B N 2 H W), the trust at a pixel is that of the field
    that differs most from the label: fields may differ where another motion explains the frames better.

    Args:
        weight: published 0.01 (IFRNet), 0.002 (AMT-S, AMT-L) and 0.005 (AMT-G).
        beta: decay of the trust per pixel of error; 0 trusts every label fully.

    Source: IFRNet, section 3.4; many fields: AMT (Li et al., CVPR 2023), `MultipleFlowLoss` of its repository.
    """

    reads = ("flow0", "flow1", "batch.flow")

    def __init__(self, weight: Weight = 0.01, beta: NonNegative = 0.3) -> None:
        super().__init__(weight)
        self.beta = beta

    def forward(self, prediction: Prediction, batch: Batch) -> Tensor:
        """A scalar, summed over levels and directions; see `Term.forward`."""
        assert prediction.flow0 is not None
        assert prediction.flow1 is not None
        *coarse0, finest0 = prediction.flow0
        *coarse1, finest1 = prediction.flow1
        labels = batch["flow"]
        label0, label1 = labels.split(2, dim=1)
        weight = torch.cat((self.trust(finest0, label0), self.trust(finest1, label1)), dim=1).unsqueeze(2)
        terms = []
        for flows in zip(coarse0, coarse1, strict=True):
            flow = torch.cat(flows, dim=1)
            factor = labels.shape[-1] / flow.shape[-1]
            upsampled = F.interpolate(flow, size=labels.shape[-2:], mode="bilinear", align_corners=False)
            difference = (factor * upsampled - labels).unflatten(1, (2, 2))
            terms.append(2 * adaptive_charbonnier(difference, weight))  # the sum over two directions, from their mean
        return torch.stack(terms).sum()

    def trust(self, finest: Tensor, label: Tensor) -> Tensor:
        """Trust in a label (B 2 H W) given the finest flow or flow fields: B 1 H W, without gradient."""
        fields = finest if finest.ndim == 5 else finest.unsqueeze(1)
        return robust_weight(fields.transpose(1, 2), label.unsqueeze(2), self.beta).amin(2)


class _AdaptiveCharbonnier(torch.autograd.Function):
    """Computes the gradient with the loss, so that nothing else is kept for the backward pass."""

    @staticmethod
    def forward(ctx: Any, difference: Tensor, weight: Tensor) -> Tensor:
        sums = difference.square() + torch.pow(10.0, -(20 * weight - 2) / 3)
        # exp(alpha log u) instead of pow: its gradient needs no second power.
        values = torch.exp(torch.log(sums).mul_(weight / 2))
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward((values / sums).mul_(weight).mul_(difference).div_(values.numel()))
        return values.mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * outer, None
