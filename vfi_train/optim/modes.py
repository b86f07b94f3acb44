"""Optimizers that train with other weights than they evaluate with, such as schedule-free ones."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.optim import Optimizer


class OptimizerModes:
    """Switches an optimizer's weights for a validation or a checkpoint, and back without rounding.

    The optimizer's own way back computes the training weights again, which changes their last bits: a training would
    depend on when it was validated. They are kept instead. For an optimizer without modes, nothing happens.

    Source: Defazio et al., The Road Less Scheduled, NeurIPS 2024.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.exist = all(callable(getattr(optimizer, name, None)) for name in ("train", "eval"))
        self._training: list[Tensor] | None = None  # kept while the evaluation weights are in place

    def weights(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Copies of the evaluation weights and of the training weights, by name."""
        training = self._training is None
        self.evaluate()
        names = [name for group in self.optimizer.param_groups for name in group["param_names"]]
        evaluation = [parameter.detach().clone() for parameter in self.parameters]
        kept = dict(zip(names, self._training or evaluation, strict=True))
        if training:
            self.train()
        return dict(zip(names, evaluation, strict=True)), kept

    def restore(self, training: Mapping[str, Tensor]) -> None:
        """Take over a checkpoint's training weights at the next `train`; its evaluation weights are in place."""
        names = [name for group in self.optimizer.param_groups for name in group["param_names"]]
        self._training = [training[name] for name in names]

    @property
    def parameters(self) -> list[Tensor]:
        """All parameters of the optimizer."""
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    def train(self) -> None:
        """Put the training weights in place."""
        if not self.exist:
            return
        self.optimizer.train()  # type: ignore[attr-defined]
        if self._training is not None:
            for parameter, kept in zip(self.parameters, self._training, strict=True):
                parameter.data.copy_(kept)
            self._training = None

    def evaluate(self) -> None:
        """Put the evaluation weights in place, until `train`."""
        if self.exist and self._training is None:
            self._training = [parameter.detach().clone() for parameter in self.parameters]
            self.optimizer.eval()  # type: ignore[attr-defined]
