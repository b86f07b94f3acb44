"""Train, compare and reproduce video frame interpolation networks.

`from vfi_train import Interpolator` predicts frames with a trained network; see docs/library.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vfi_train.inference.interpolator import Interpolator

__all__ = ["Interpolator"]


def __getattr__(name: str) -> Any:
    """Import on first use, so that `import vfi_train` does not wait for torch."""
    if name == "Interpolator":
        from vfi_train.inference.interpolator import Interpolator

        return Interpolator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
