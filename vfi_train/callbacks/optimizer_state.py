"""An optimizer that starts with the state of another training's optimizer."""

from __future__ import annotations

from pathlib import Path

import lightning as L

from vfi_train.errors import UserError
from vfi_train.optim.parameters import load_optimizer_state, optimizer_state_by_name
from vfi_train.runtime.console import say
from vfi_train.weights import find_weights
from vfi_train.weights.published_checkpoint import read_checkpoint


class OptimizerState(L.Callback):
    """Loads, before the first step, the optimizer's state of each tensor from a checkpoint.

    Tensors are matched by name; those that the checkpoint's training did not optimize start empty. Learning rates and
    other options are those of this training.

    Args:
        source: as `weights=` takes it: a run (its best checkpoint; "RUN:last"), or a file.
        runs: the folder where runs are looked for by name.

    Raises:
        UserError: the file is no checkpoint of a training, or none of its tensors is one of this training's.
    """

    def __init__(self, source: str, runs: str | Path = "runs") -> None:
        self.path = find_weights(source, runs, "optimizer_state")
        content = read_checkpoint(self.path)
        states = content.get("optimizer_states") if isinstance(content, dict) else None
        if not states or "param_names" not in states[0]["param_groups"][0]:
            raise UserError(
                f"optimizer_state={source}: {self.path} holds no optimizer state with names of tensors: give a "
                "checkpoint of a training of this program, or null for an empty state"
            )
        self.by_name = optimizer_state_by_name(states[0])

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Load the state."""
        (optimizer,) = trainer.optimizers
        found = load_optimizer_state(optimizer, self.by_name)
        total = sum(len(group["params"]) for group in optimizer.param_groups)
        if not found:
            raise UserError(f"the optimizer state in {self.path} has none of the tensors that train here")
        self.by_name = {}
        say(f"the optimizer's state of {len(found)} of {total} tensors comes from {self.path}")
