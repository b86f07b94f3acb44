"""Composing a configuration of `conf` outside of a program's own start."""

from __future__ import annotations

from collections.abc import Sequence

from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from vfi_train.config import epochs  # noqa: F401 (registers the resolver of ${epochs:N})


def compose_config(name: str | None, overrides: Sequence[str] = (), with_hydra: bool = False) -> DictConfig:
    """The configuration `conf/NAME.yaml` with overrides, as a program composes it from its command line.

    Args:
        name: a file of `conf`: "train", "data/vimeo90k"; None: only what the overrides add.
        overrides: as on the command line.
        with_hydra: keep the block `hydra`, which holds the choices of groups.
    """
    active = GlobalHydra.instance()
    program, active.hydra = active.hydra, None  # Hydra composes for one application at a time
    try:
        with initialize_config_module("conf", version_base="1.3"):
            return compose(name, overrides=list(overrides), return_hydra_config=with_hydra)
    finally:
        active.hydra = program
