"""The inputs of a network as one value, and changes of all tensors of a request or a prediction at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vfi_train.contract import Prediction


@dataclass(frozen=True)
class Request:
    """Images B 3 H W, and times as numbers or as tensors B 1 1 1 or B 1 H W."""

    frame0: Tensor
    frame1: Tensor
    times: list[float | Tensor]
    target: Tensor | None = None
    reference: Tensor | None = None
    reference_time: float | Tensor | None = None
    before: Tensor | None = None
    after: Tensor | None = None

    def map(self, image: Callable[[Tensor], Tensor], time_map: Callable[[Tensor], Tensor]) -> Request:
        """The request with `image` applied to images, and `time_map` to times that are tensors."""

        def time(value: float | Tensor) -> float | Tensor:
            return time_map(value) if isinstance(value, Tensor) and value.ndim == 4 else value

        return Request(
            image(self.frame0),
            image(self.frame1),
            [time(value) for value in self.times],
            None if self.target is None else image(self.target),
            None if self.reference is None else image(self.reference),
            None if self.reference_time is None else time(self.reference_time),
            None if self.before is None else image(self.before),
            None if self.after is None else image(self.after),
        )

    def joined(self, other: Request) -> Request:
        """Both requests as one batch; times must be tensors."""

        def join(a: object, b: object) -> object:
            if isinstance(a, list) and isinstance(b, list):
                return [join(x, y) for x, y in zip(a, b, strict=True)]
            return torch.cat((a, b)) if isinstance(a, Tensor) and isinstance(b, Tensor) else a

        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in dataclasses.fields(self))
        return Request(*(join(a, b) for a, b in pairs))  # type: ignore[arg-type]


def map_prediction(prediction: Prediction, change: Callable[[str, Tensor], Tensor]) -> Prediction:
    """The prediction with `change(name of the field, tensor)` applied to each of its tensors."""

    def apply(name: str, value: object) -> object:
        if isinstance(value, Tensor):
            return change(name, value)
        if isinstance(value, list):
            return [apply(name, item) for item in value]
        return map_prediction(value, change) if isinstance(value, Prediction) else value

    names = [field.name for field in dataclasses.fields(prediction)]
    return replace(prediction, **{name: apply(name, getattr(prediction, name)) for name in names})  # type: ignore[arg-type]
