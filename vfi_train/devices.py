"""Where a network runs."""

from __future__ import annotations

import torch

from vfi_train.errors import UserError


def find_device(name: str) -> torch.device:
    """The device that `device=` means; "auto" is the GPU where there is one.

    Raises:
        UserError: there is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device={name} is not here ({str(error).splitlines()[0]}): give auto or cpu") from error
    return device
