"""Iterative reference-based estimation: a far target in short steps, each starting from the last."""

from __future__ import annotations

import torch
from torch import Tensor

from vfi_train.architectures.layers.time_map import time_plane
from vfi_train.errors import UserError


def known_reference(
    frame0: Tensor, time: Tensor, reference: Tensor | None, reference_time: Tensor | None
) -> tuple[Tensor, Tensor]:
    """A reference frame and its time or map: those given, or frame 0, whose map is zero.

    Raises:
        UserError: one is given without the other.
    """
    if reference is not None and reference_time is not None:
        return reference, reference_time
    if reference is not None or reference_time is not None:
        given = "reference" if reference_time is None else "reference_time"
        raise UserError(f"`reference` and its `reference_time` belong together; got only `{given}`: give both")
    return frame0, torch.zeros_like(time)


def frames_beside_reference(
    frame0: Tensor, frame1: Tensor, time: Tensor, reference: Tensor | None, reference_time: Tensor | None
) -> Tensor:
    """What a backbone sees of both frames, 2B 7 H W, frame 0's first: the frame, the reference, how far it is.

    The map is that of the reference for frame 0, and what it lacks of 1 for frame 1. Arguments and errors: see
    `known_reference`.

    Source: EMA-VFI as InterpAny-Clearer has it (Zhong et al., ECCV 2024).
    """
    image, known = known_reference(frame0, time, reference, reference_time)
    known = time_plane(known, image.shape[-2:])
    return torch.cat((torch.cat((frame0, image, known), dim=1), torch.cat((frame1, image, 1 - known), dim=1)))


def reference_schedule(time: Tensor, reference_time: Tensor | float, iterations: int) -> list[tuple[Tensor, Tensor]]:
    """The (target map, reference map) of each step from `reference_time` to `time`, evenly spaced.

    Args:
        time: B 1 1 1 or B 1 H W, where the last step arrives.
        reference_time: of the same shape, or 0: where the first reference is.
        iterations: number of steps, at least 1.

    Raises:
        UserError: fewer than one iteration.

    Source: InterpAny-Clearer (Zhong et al., ECCV 2024), iterative reference-based estimation.
    """
    if iterations < 1:
        raise UserError(f"reference-based estimation takes at least 1 iteration; got {iterations}")
    stops = [
        time * step / iterations + reference_time * (iterations - step) / iterations for step in range(iterations + 1)
    ]
    return list(zip(stops[1:], stops[:-1], strict=True))
