"""What a loss term is, and the set of terms that a configuration names."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import torch
from torch import Tensor, nn

from losses.schedule import PiecewiseLinear
from vfi_train.contract import Batch, Prediction
from vfi_train.errors import UserError

Weight = float | PiecewiseLinear


class Term(nn.Module):
    """One loss term: a number for a batch, before its weight.

    Args:
        weight: what the term is multiplied by in the total; a number, or one that follows the optimizer steps.

    A term says in `reads` which fields of the prediction and which optional keys of the batch it needs
    ("features", "batch.flow"), so that a set fails with one sentence where one is absent.
    """

    reads: tuple[str, ...] = ()
    skipped_at_zero = (
        False  # not computed while its weight is 0: for terms that no parameter's gradient depends on alone
    )

    def __init__(self, weight: Weight = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, prediction: Prediction, batch: Batch) -> Tensor:
        """The unweighted loss, a scalar; all tensors are float32 (float64 where the inputs are)."""
        raise NotImplementedError

    def parts(self, prediction: Prediction, batch: Batch) -> dict[str, Tensor]:
        """What adds up to the loss and is logged by itself; most terms have one part, which has no name."""
        return {"": self(prediction, batch)}

    def weight_at(self, step: int) -> float:
        """The weight at an optimizer step."""
        return self.weight(step) if isinstance(self.weight, PiecewiseLinear) else self.weight


class LossSet(nn.Module):
    """Weighted terms and their sum.

    Args:
        terms: name -> term, in the order in which they are logged.
    """

    def __init__(self, terms: dict[str, Term]) -> None:
        super().__init__()
        if not terms:
            raise UserError("a loss needs at least one term; got none: see conf/loss for examples")
        self.terms = nn.ModuleDict(terms)

    def forward(self, prediction: Prediction, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """Each term times its weight under its name, and their sum as `total`.

        A term of several parts stands as NAME_PART for each. `step` is the optimizer step, for weights that
        follow it. Computed in float32 whatever autocast says: census and robust weights need its digits.

        Raises:
            UserError: a term reads what the prediction or the batch does not have.
        """
        with torch.autocast(device_type=prediction.frame.device.type, enabled=False):
            prediction = _float32(prediction)
            values = {}
            for name, term in self.named_terms():
                _require(name, term, prediction, batch)
                if term.skipped_at_zero and not term.weight_at(step):
                    values[name] = prediction.frame.new_zeros(())
                    continue
                for part, value in term.parts(prediction, batch).items():
                    values[f"{name}_{part}" if part else name] = term.weight_at(step) * value
            return {**values, "total": torch.stack(list(values.values())).sum()}

    def named_terms(self) -> list[tuple[str, Term]]:
        """The terms and their names, in the order in which they are logged."""
        return [(name, cast(Term, term)) for name, term in self.terms.items()]


def _require(name: str, term: Term, prediction: Prediction, batch: Batch) -> None:
    for field in term.reads:
        if not field.startswith("batch."):
            prediction.require(field, reader=f"the loss term {name!r}")
        elif field.removeprefix("batch.") not in batch:
            key = field.removeprefix("batch.")
            raise UserError(
                f"the loss term {name!r} reads {key!r} of the batch, which this dataset does not give "
                f"(it gives {', '.join(batch)}): switch it on in the data config, or take the term out of the loss"
            )


def _float32(prediction: Prediction) -> Prediction:
    """The prediction with its half-precision tensors as float32."""

    def convert(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
        if isinstance(value, list):
            return [convert(v) for v in value]
        return _float32(value) if isinstance(value, Prediction) else value

    changes: dict[str, Any] = {f.name: convert(getattr(prediction, f.name)) for f in dataclasses.fields(prediction)}
    return dataclasses.replace(prediction, **changes)
