"""AMT's own loss term: flow distillation with several flow fields per direction."""

from __future__ import annotations

from torch import Tensor

from losses.base import Weight
from losses.distillation import FlowDistillation, robust_weight
from vfi_train.errors import UserError
from vfi_train.ranges import NonNegative


class MultiFieldFlowDistillation(FlowDistillation):
    """`FlowDistillation` for a network whose finest flows are many fields, B N 2 H W.

    The trust in a label at a pixel is that of the field that differs most from it. The finest fields themselves are
    not distilled: they may differ from the label where another motion explains the frames better.

    Args:
        weight: published 0.002 (AMT-S, AMT-L) and 0.005 (AMT-G).
        beta: decay of the trust per pixel of error.

    Source: AMT (Li et al., CVPR 2023), `MultipleFlowLoss` of the published repository.
    """

    def __init__(self, weight: Weight = 0.002, beta: NonNegative = 0.3) -> None:
        super().__init__(weight, beta)

    def trust(self, finest: Tensor, label: Tensor) -> Tensor:
        """Trust in a label (B 2 H W) given the finest fields (B N 2 H W): B 1 H W, without gradient."""
        if finest.ndim != 5:
            raise UserError(
                f"{type(self).__name__} takes flow fields B N 2 H W and got {tuple(finest.shape)}: "
                "use FlowDistillation for a network with one flow per direction"
            )
        return robust_weight(finest.transpose(1, 2), label.unsqueeze(2), self.beta).amin(2)
