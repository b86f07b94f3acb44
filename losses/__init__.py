"""Loss terms, one file per family of terms; a configuration picks a set of them."""

from losses.base import LossSet, Term

__all__ = ["LossSet", "Term"]
