"""RIFE's own terms: flow distillation from the privileged teacher, and flow smoothness.

Its other terms are `Laplacian(field="frame")` and `Laplacian(field="teacher.frame")`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from losses.base import Term, Weight
from vfi_train.contract import Batch, Prediction
from vfi_train.ranges import NonNegative


class TeacherDistillation(Term):
    """Distance of each flow of the student to the teacher's, where the teacher's blend has the smaller error.

    Per flow block: the mean over all pixels of the mask times the root mean square difference of the four flow
    channels. The teacher's flow and the mask have no gradient. The published root has an infinite gradient where
    student and teacher agree exactly; here it is zero.

    Args:
        weight: published 0.01 (RIFE), 0.002 (InterpAny-Clearer), 0.002 or 0.005 (RIFE's advice for `rife_m`).
        margin: by which the student's mean absolute error must exceed the teacher's.

    Source: RIFE, section 3.3 (privileged distillation); the mask as in the published code.
    """

    reads = ("teacher", "merged", "flow0", "flow1")

    def __init__(self, weight: Weight = 0.01, margin: NonNegative = 0.01) -> None:
        super().__init__(weight)
        self.margin = margin

    def forward(self, prediction: Prediction, batch: Batch) -> Tensor:
        """A scalar, summed over the flow blocks; see `Term.forward`."""
        assert prediction.flow0 is not None
        assert prediction.flow1 is not None
        teacher = prediction.teacher
        assert teacher is not None
        assert teacher.flow0 is not None
        assert teacher.flow1 is not None
        label = torch.cat((teacher.flow0[-1], teacher.flow1[-1]), dim=1).detach()
        terms = []
        students = zip(prediction.flow0, prediction.flow1, self.masks(prediction, batch), strict=True)
        for flow0, flow1, mask in students:
            difference = label - torch.cat((flow0, flow1), dim=1)
            squared = difference.square().mean(dim=1, keepdim=True)
            # The root's gradient at zero is infinite: take the root of 1 there, and subtract it.
            zero = (squared == 0).to(squared.dtype)
            distance = torch.sqrt(squared + zero) - zero
            terms.append((mask * distance).mean())
        return torch.stack(terms).sum()

    def masks(self, prediction: Prediction, batch: Batch) -> list[Tensor]:
        """For each flow block B 1 H W: 1 where its blend has the larger error than the teacher's, else 0."""
        assert prediction.merged is not None
        assert prediction.teacher is not None
        target = batch["target"]
        with torch.no_grad():
            limit = channel_error(prediction.teacher.frame, target) + self.margin
            return [(channel_error(merged, target) > limit).to(limit.dtype) for merged in prediction.merged]


class FlowSmoothness(Term):
    """Mean of |df/dx| + |df/dy| of the finest flows, by 3x3 Sobel kernels, zeros around the image.

    Source: InterpAny-Clearer's RIFE [D], an option that is off in its recipes; weight 0.1.
    """

    reads = ("flow0", "flow1")
    kernels: Tensor  # 2 1 3 3: d/dx, d/dy

    def __init__(self, weight: Weight = 0.1) -> None:
        super().__init__(weight)
        slope, blur = torch.tensor([1.0, 0.0, -1.0]), torch.tensor([1.0, 2.0, 1.0])
        kernels = torch.stack((torch.outer(blur, slope), torch.outer(slope, blur)))
        self.register_buffer("kernels", kernels[:, None], persistent=False)

    def forward(self, prediction: Prediction, batch: Batch) -> Tensor:
        """A scalar; see `Term.forward`."""
        assert prediction.flow0 is not None
        assert prediction.flow1 is not None
        return self.slopes(torch.cat((prediction.flow0[-1], prediction.flow1[-1]), dim=1)).mean()

    def slopes(self, x: Tensor) -> Tensor:
        """|dx| + |dy| of each channel, B C H W to the same shape."""
        gradients = F.conv2d(x.reshape(-1, 1, *x.shape[2:]), self.kernels.to(x), padding=1)
        return gradients.abs().sum(dim=1).reshape(x.shape)


def channel_error(x: Tensor, y: Tensor) -> Tensor:
    """Mean absolute difference over the channels: B C H W to B 1 H W."""
    return (x - y).abs().mean(dim=1, keepdim=True)
