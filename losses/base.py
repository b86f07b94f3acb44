"""Loss terms and weighted sets of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any, cast

import torch
from torch import Tensor, nn

from losses.schedule import PiecewiseLinear
from vfi_train.contract import FLOW_KINDS, Batch, Prediction
from vfi_train.errors import UserError
from vfi_train.ranges import NonNegative

Weight = NonNegative | PiecewiseLinear


class Term(nn.Module):
    """One loss term: a scalar for a batch, before its weight.

    Args:
        weight: factor of the term in the total; a number, or a function of the optimizer step.

    `reads` lists the fields of the prediction and the optional keys of the batch that a term needs ("features",
    "batch.flow"); a set reports those that are absent.
    """

    reads: tuple[str, ...] = ()
    skipped_at_zero = False  # while the weight is 0; not for terms that are some parameter's only source of gradient

    def __init__(self, weight: Weight = 1.0) -> None:
        super().__init__()
        if not isinstance(weight, int | float | PiecewiseLinear):
            raise UserError(f"weight={weight} is neither a number of 0 or more nor a losses.schedule.PiecewiseLinear")
        self.weight = weight

    def forward(self, prediction: Prediction, batch: Batch) -> Tensor:
        """The unweighted loss, a scalar; all tensors are float32 (float64 where the inputs are)."""
        raise NotImplementedError

    def parts(self, prediction: Prediction, batch: Batch) -> dict[str, Tensor]:
        """Summands of the loss, each logged separately; most terms have one, without a name."""
        return {"": self(prediction, batch)}

    def weight_at(self, step: int) -> float:
        """The weight at an optimizer step."""
        return self.weight(step) if isinstance(self.weight, PiecewiseLinear) else self.weight


class LossSet(nn.Module):
    """Weighted terms and their sum.

    Args:
        terms: name -> term, in the order of logging.
    """

    def __init__(self, terms: dict[str, Term]) -> None:
        super().__init__()
        if not terms:
            raise UserError("a loss needs at least one term and got none: see conf/loss for examples")
        self.terms = nn.ModuleDict(terms)

    def forward(self, prediction: Prediction, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """Each term times its weight by name (NAME_PART for each part of several), and their sum as `total`.

        `step` is the optimizer step, for weights that depend on it. Autocast is off: census and robust weights need
        float32.

        Raises:
            UserError: a term reads a field that the prediction or the batch does not have.
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

    def check(self, prediction: Prediction, keys: Collection[str]) -> None:
        """Check that a prediction of this kind, and a batch with these keys, have what the terms read.

        Raises:
            UserError: naming the term and the field.
        """
        for name, term in self.named_terms():
            _require(name, term, prediction, keys)

    def named_terms(self) -> list[tuple[str, Term]]:
        """Names and terms, in the order of logging."""
        return [(name, cast(Term, term)) for name, term in self.terms.items()]


def _require(name: str, term: Term, prediction: Prediction, keys: Collection[str]) -> None:
    for field in term.reads:
        if not field.startswith("batch."):
            prediction.require(field, reader=f"the loss term {name!r}")
        elif field.removeprefix("batch.") not in keys:
            key = field.removeprefix("batch.")
            kind = f" ({FLOW_KINDS[key]})" if key in FLOW_KINDS else ""
            raise UserError(
                f"the loss term {name!r} reads {key!r} of the batch{kind}, which this dataset does not provide "
                f"(it provides {', '.join(keys)}): enable it in the data config, or remove the term from the loss"
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
