"""Weights: published checkpoints, our runs and the small ones shipped with the package."""

from vfi_train.weights.load import find_weights, list_shipped, load_weights
from vfi_train.weights.published_checkpoint import load_published, published_state_dict, weight_files

__all__ = ["find_weights", "list_shipped", "load_published", "load_weights", "published_state_dict", "weight_files"]
