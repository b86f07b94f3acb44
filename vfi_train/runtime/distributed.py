"""Several processes: how they train together, and how all of them end when one fails."""

from __future__ import annotations

import inspect
import os
import signal
import sys
import threading
import time
from datetime import timedelta
from typing import Any, NoReturn

import lightning as L
import torch
import torch.distributed as dist
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.pytorch.strategies import DDPStrategy, Strategy
from omegaconf import DictConfig
from torch.nn.parallel import DistributedDataParallel

from datamodules.core.samplers import split_batch
from vfi_train.errors import UserError

POLL = 0.2  # seconds between looks at the other processes
VERDICT = 5.0  # seconds that a process waits to learn whether another one failed first


def process_count(config: DictConfig) -> int:
    """How many processes train, over all nodes."""
    on_gpus = config.trainer.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return device_count(config) or (torch.cuda.device_count() if on_gpus else 1)


def strategy(config: DictConfig) -> str | Strategy:
    """How they train together: gradients are averaged, where the configuration says nothing else.

    Every parameter that trains gets a gradient in every step (frozen ones are known beforehand), so that no graph is
    searched for unused ones; without accumulation the graph is the same at each step. Buffers are constants here.
    """
    count = process_count(config)
    if config.trainer.strategy not in ("auto", "ddp") or count == 1:
        return str(config.trainer.strategy)
    _, accumulate = split_batch(config.data.batch_size, count, config.data.micro_batch_size)
    known = inspect.signature(DistributedDataParallel).parameters
    options: dict[str, Any] = {}
    options["forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"] = False  # its old name
    return DDPStrategy(
        find_unused_parameters=False,
        gradient_as_bucket_view=True,
        static_graph=accumulate == 1,
        timeout=timedelta(minutes=30),  # what one process may take while the others wait
        **options,
    )


def check_launcher(config: DictConfig) -> None:
    """Refuse a sweep whose jobs would start each other again.

    Raises:
        UserError: several processes in a job of a launcher that runs it inside of the sweep's own process.
    """
    hydra = HydraConfig.get()
    launcher = str(hydra.launcher.get("_target_", ""))
    if hydra.mode != RunMode.MULTIRUN or process_count(config) == 1 or launcher.endswith("SlurmLauncher"):
        return
    raise UserError(
        f"--multirun with trainer.devices={config.trainer.devices} needs a launcher that gives each job processes of "
        "its own: hydra/launcher=slurm (here each process would run the whole sweep again), or a loop over single runs"
    )


def gather(items: list[Any]) -> list[Any]:
    """The items of all processes, those of the first one first; all must call it. They may be as many as they like."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return items
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, items)
    return [item for part in found for item in part]


class RankMonitor:
    """Watches the processes that the first one started, over all trainings of a program."""

    def __init__(self) -> None:
        self._launcher: Any = None

    def watch(self, trainer: L.Trainer) -> None:
        """Begin, before the processes are started."""
        launcher = trainer.strategy.launcher
        if self._launcher is None and hasattr(launcher, "procs"):
            self._launcher = launcher
            threading.Thread(target=self._look, name="rank_monitor", daemon=True).start()

    def _look(self) -> None:
        while True:
            time.sleep(POLL)
            for number, process in enumerate(self._launcher.procs, 1):
                if process.poll():
                    self._end(number, process.returncode)

    def _end(self, number: int, code: int) -> NoReturn:
        for process in self._launcher.procs:
            process.kill()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}, see above"
        count = len(self._launcher.procs) + 1
        print(f"error: process {number} of {count} (counted from 0) {how}: all end", file=sys.stderr)
        exit_now(code if code > 0 else 1)


rank_monitor = RankMonitor()


def wait_for_failed_rank(error: BaseException) -> None:
    """Before an error is told: if it says that another process is gone, let that one's own error end this one."""
    said = str(error).lower()
    if dist.is_initialized() and (isinstance(error, dist.DistError) or "gloo" in said or "nccl" in said):
        time.sleep(VERDICT)


def exit_now(code: int) -> NoReturn:
    """End this process at once, whatever it waits for."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def device_count(config: DictConfig) -> int | None:
    """How many devices train, over all nodes; None: as many as there are."""
    devices = config.trainer.devices
    if isinstance(devices, str) and not devices.isdigit():
        if devices == "auto" or devices == "-1":
            return None
        return len([d for d in devices.split(",") if d.strip()]) * config.trainer.num_nodes
    count = len(devices) if not isinstance(devices, (int, str)) else int(devices)
    return None if count < 0 else count * config.trainer.num_nodes


def device_shares(config: DictConfig) -> tuple[int, int]:
    """Samples per device and micro-batch, and micro-batches per optimizer step, of the first dataset.

    Raises:
        UserError: the batch does not divide.
    """
    return split_batch(config.data.batch_size, device_count(config) or 1, config.data.micro_batch_size)
