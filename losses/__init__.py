"""Loss terms, one file per family; a configuration selects a set of them."""

from losses.base import LossSet, Term

__all__ = ["LossSet", "Term"]
