"""Train, compare and reproduce video frame interpolation networks.

`from vfi_train import Interpolator` asks a trained network for frames; see docs/library.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vfi_train.inference.interpolator import Interpolator

__all__ = ["Interpolator"]


def __getattr__(name: str) -> Any:
    """Import what is asked for, and no sooner: `import vfi_train` alone does not wait for torch."""
    if name == "Interpolator":
        from vfi_train.inference.interpolator import Interpolator

        return Interpolator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
