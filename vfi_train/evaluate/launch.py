"""Processes that share an evaluation, a device each: started here, by torchrun or by srun."""

from __future__ import annotations

import logging
import os
import platform
import warnings
from datetime import timedelta
from typing import Any

import torch
import torch.distributed
from lightning.fabric import Fabric
from lightning.fabric.strategies import DDPStrategy, Strategy
from omegaconf import DictConfig

from vfi_train.errors import UserError

PATIENCE = timedelta(hours=24)  # that a process waits for the others at the end of a part


def start(config: DictConfig) -> Fabric:
    """The processes, of which this is one from here on.

    Raises:
        UserError: the devices are not there.
    """
    devices, nodes = _launched() if config.devices == "auto" else (config.devices, 1)
    if not isinstance(devices, int) or devices < 1:
        raise UserError(f"devices={config.devices} is not a number of processes: give auto, or 1 or more")
    several = devices * nodes > 1
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*`srun` command is available.*")
    # Rows are exchanged, no tensors: gloo does on any device.
    strategy: str | Strategy = DDPStrategy(process_group_backend="gloo", timeout=PATIENCE) if several else "auto"
    try:
        fabric = Fabric(accelerator=str(config.device), devices=devices, num_nodes=nodes, strategy=strategy)
    except Exception as error:
        raise UserError(
            f"device={config.device} devices={config.devices} is not here ({str(error).splitlines()[0]}): give "
            "device=auto or cpu, and as many devices as there are"
        ) from error
    fabric.launch()
    return fabric


def gather(fabric: Fabric, rows: list[Any]) -> list[Any]:
    """The rows of all processes, in the first one; nothing in the others."""
    if fabric.world_size == 1:
        return rows
    parts: list[Any] | None = [None] * fabric.world_size if fabric.global_rank == 0 else None
    torch.distributed.gather_object(rows, parts)
    return [row for part in parts or () for row in part]


def device_name(device: torch.device) -> str:
    """What computes."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type} ({platform.machine()})"


def _launched() -> tuple[int, int]:
    """Processes on each machine, and machines, as torchrun or srun says."""
    environment = os.environ
    if "TORCHELASTIC_RUN_ID" in environment:
        local, world = int(environment["LOCAL_WORLD_SIZE"]), int(environment["WORLD_SIZE"])
        return local, world // local
    if "SLURM_STEP_ID" in environment and int(environment.get("SLURM_NTASKS", 1)) > 1:
        nodes = int(environment.get("SLURM_NNODES", 1))
        return int(environment["SLURM_NTASKS"]) // nodes, nodes
    return 1, 1
