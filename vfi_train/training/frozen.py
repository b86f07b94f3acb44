"""Parts of a network that do not train, and what they need: weights."""

from __future__ import annotations

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from vfi_train.architectures import Architecture
from vfi_train.errors import UserError
from vfi_train.inference.padding import padded_size
from vfi_train.optim.parameters import frozen_modules


def check_frozen(network: Architecture) -> None:
    """Refuse frozen parts of a network that starts from random weights: the rest would train beside noise.

    Frozen parts that a prediction does not use are accepted: a branch that is switched off and trains later.

    Raises:
        UserError: a module with parameters, all of them frozen, takes part in a prediction.
    """
    parts = {id(module) for part in frozen_modules(network) for module in part.modules()}
    used: list[str] = []
    handles = [
        module.register_forward_pre_hook(lambda *_, name=name: used.append(name))
        for name, module in network.named_modules()
        if id(module) in parts and any(True for _ in module.parameters())
    ]
    try:
        if handles:
            with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
                size = padded_size((network.min_size, network.min_size), network)
                network(*(torch.empty(1, 3, *size) for _ in range(2)))
    finally:
        for handle in handles:
            handle.remove()
    if used:
        raise UserError(
            f"{used[0]} and {len(set(used)) - 1} other parts of the network are frozen and were never loaded: the rest "
            "would train beside random weights; give weights=FILE, or let them train (train=null, freeze=[])"
        )
