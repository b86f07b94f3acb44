"""Plain PyTorch networks. `create_model(name)` builds one, `list_models()` names them all."""

from vfi_train.architectures.base import Architecture, Encoding
from vfi_train.architectures.registry import create_model, list_models, register_model

__all__ = ["Architecture", "Encoding", "create_model", "list_models", "register_model"]
