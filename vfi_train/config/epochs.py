"""Lengths in epochs: `${epochs:N}` in a configuration is the number of optimizer steps of N epochs."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf


def count_epoch(config: DictConfig, data: Any) -> None:
    """Fill in `config.steps_per_epoch` from the training set, where a length is given in epochs."""
    from datamodules.core.datamodule import split_batch

    if config.steps_per_epoch is None and "${epochs:" in OmegaConf.to_yaml(config):
        data.setup("fit")
        accumulate = split_batch(config.data.batch_size, 1, config.data.micro_batch_size)[1]
        config.steps_per_epoch = max(1, len(data.train_dataloader()) // accumulate)


def steps_of_epochs(epochs: float, *, _root_: DictConfig) -> int | None:
    """The optimizer steps of a number of epochs; None until the data was counted."""
    return None if _root_.steps_per_epoch is None else round(epochs * _root_.steps_per_epoch)


OmegaConf.register_new_resolver("epochs", steps_of_epochs, replace=True)
