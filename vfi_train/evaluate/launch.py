"""The processes of an evaluation, one for each device, started here, by torchrun or by srun."""

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
from lightning.fabric.utilities.exceptions import MisconfigurationException

from vfi_train.errors import UserError
from vfi_train.runtime.distributed import torchrun_counts

TIMEOUT = timedelta(hours=24)  # of a process that waits for the others at the end of a split


def start(device: str, devices: int | str) -> Fabric:
    """Start the processes; from here on this is one of them.

    Args:
        device: "auto", "cpu", "cuda", ...
        devices: number of processes; "auto": as torchrun or srun started them, else 1.

    Raises:
        UserError: the devices are not available.
    """
    count, nodes = _launched() if devices == "auto" else (devices, 1)
    if not isinstance(count, int) or count < 1:
        raise UserError(f"devices={devices} is not a number of processes: give auto, or 1 or more")
    several = count * nodes > 1
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*`srun` command is available.*")
    # gloo: only rows are exchanged, no tensors.
    strategy: str | Strategy = DDPStrategy(process_group_backend="gloo", timeout=TIMEOUT) if several else "auto"
    try:
        fabric = Fabric(accelerator=device, devices=count, num_nodes=nodes, strategy=strategy)
    except (ValueError, RuntimeError, MisconfigurationException) as error:  # an unknown, missing or too many devices
        raise UserError(
            f"device={device} devices={devices} is not available ({str(error).splitlines()[0]}): give device=auto or "
            "cpu, and at most as many devices as there are"
        ) from error
    fabric.launch()
    return fabric


def gather(fabric: Fabric, rows: list[Any]) -> list[Any]:
    """The rows of all processes in the first one; an empty list in the others."""
    if fabric.world_size == 1:
        return rows
    parts: list[Any] | None = [None] * fabric.world_size if fabric.global_rank == 0 else None
    torch.distributed.gather_object(rows, parts)
    return [row for part in parts or () for row in part]


def device_name(device: torch.device) -> str:
    """The device's name in results."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type} ({platform.machine()})"


def _launched() -> tuple[int, int]:
    """The numbers of processes per machine and of machines that torchrun or srun started."""
    environment, started = os.environ, torchrun_counts()
    if started is not None:
        return started
    if "SLURM_STEP_ID" in environment and int(environment.get("SLURM_NTASKS", 1)) > 1:
        nodes = int(environment.get("SLURM_NNODES", 1))
        return int(environment["SLURM_NTASKS"]) // nodes, nodes
    return 1, 1
