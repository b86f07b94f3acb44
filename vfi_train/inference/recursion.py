"""Times k / 2^n from a network for the middle frame: the interval is halved, again and again.

Source: the inference scripts of fixed-time networks, and AMT's 2^n demo.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction

from torch import Tensor

from vfi_train.contract import Prediction
from vfi_train.errors import UserError
from vfi_train.inference.request import Request

LARGEST_DENOMINATOR = 1024  # 2^10


def predict_recursively(
    request: Request, predict_middle: Callable[[Request], Prediction], depth: int | None = None
) -> Iterator[Prediction]:
    """The prediction at each time of a request; every frame on the way is computed once, and used unrounded.

    Args:
        request: its times are numbers; it has no reference, and `before` and `after` only for time 0.5.
        predict_middle: gives the prediction at time 0.5.
        depth: see `dyadic`.

    Raises:
        UserError: a map, a reference or context is given, or a time is not reached.
    """
    if request.reference is not None or any(isinstance(time, Tensor) for time in request.times):
        raise UserError("recursive=True takes times as numbers and no reference: leave recursive out")
    has_context = request.before is not None or request.after is not None
    if has_context and any(time != 0.5 for time in request.times):
        raise UserError(
            "recursive=True halves the interval, and there are no frames half an interval before and after it: take "
            "time 0.5, or give only the two frames"
        )
    known = {Fraction(0): Prediction(request.frame0), Fraction(1): Prediction(request.frame1)}
    for time in request.times:
        wanted = dyadic(float(time), depth)
        low, high = Fraction(0), Fraction(1)
        while wanted not in known:
            middle = (low + high) / 2
            if middle not in known:
                pair = replace(request, frame0=known[low].frame, frame1=known[high].frame, times=[0.5], target=None)
                prediction = predict_middle(pair)
                frame = prediction.frame.clamp(0, 1)
                # Fields of smaller intervals, such as flows, do not refer to frame0 and frame1.
                known[middle] = replace(prediction, frame=frame) if middle == Fraction(1, 2) else Prediction(frame)
            low, high = (low, middle) if wanted < middle else (middle, high)
        yield known[wanted]


def dyadic(time: float, depth: int | None = None) -> Fraction:
    """The time as k / 2^n, n up to 10; other times to the nearest k / 2^depth.

    Raises:
        UserError: the time is not 0..1, or is another time and there is no `depth`.
    """
    exact = Fraction(time)
    if 0 <= exact <= 1 and exact.denominator <= LARGEST_DENOMINATOR:
        return exact
    if 0 <= exact <= 1 and depth is not None:
        return Fraction(round(exact * 2**depth), 2**depth)
    near = Fraction(round(min(max(time, 0), 1) * 64), 64)
    raise UserError(
        f"recursive=True reaches times k / 2^n from 0 to 1 (n up to 10); got {time}: take {near} = {float(near)}"
    )
