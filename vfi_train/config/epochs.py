"""Lengths in epochs: `${epochs:N}` in a configuration is the number of optimizer steps of N epochs."""

from __future__ import annotations

import math
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from vfi_train.errors import UserError

PREFIX, SUFFIX = "${epochs:", "}"


def resolved(config: DictConfig, steps_per_epoch: int | None = None) -> dict[str, Any]:
    """The configuration without interpolations, as plain containers: keys in alphabetical order, but those of
    `data.datasets` as they are written.

    Args:
        config: a training's.
        steps_per_epoch: optimizer steps of an epoch; None: as the configuration says, and where it does not, lengths in
            epochs are None.
    """
    if steps_per_epoch is not None:
        config = config.copy()
        config.steps_per_epoch = steps_per_epoch
    written: Any = OmegaConf.to_container(config, resolve=True)
    container: dict[str, Any] = yaml.safe_load(yaml.safe_dump(written))
    names = written["data"].get("datasets") or ()
    if names:
        container["data"]["datasets"] = {name: container["data"]["datasets"][name] for name in names}
    return container


def has_uncounted_epochs(config: DictConfig) -> bool:
    """Whether a length is in epochs and the optimizer steps of an epoch are not known."""
    return config.steps_per_epoch is None and PREFIX in OmegaConf.to_yaml(config)


def length_as_written(config: DictConfig) -> str | None:
    """`trainer.max_steps` in words, "400 epochs"; None: it is no length in epochs."""
    written = str(OmegaConf.to_container(config.trainer, resolve=False)["max_steps"])  # type: ignore[index, call-overload]
    return f"{written[len(PREFIX) : -len(SUFFIX)]} epochs" if written.startswith(PREFIX) else None


def steps_of_epochs(*epochs: Any, _root_: DictConfig) -> int | None:
    """The optimizer steps of a number of epochs; None until the data was counted.

    Raises:
        UserError: it is given something else than one number of 0 or more.
    """
    number = epochs[0] if len(epochs) == 1 else None
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < math.inf:
        raise UserError(
            f"{PREFIX}{','.join(map(str, epochs))}{SUFFIX} is not a number of epochs: give one of 0 or more, such as "
            f"{PREFIX}300{SUFFIX}"
        )
    return None if _root_.steps_per_epoch is None else round(number * _root_.steps_per_epoch)


OmegaConf.register_new_resolver("epochs", steps_of_epochs, replace=True)
