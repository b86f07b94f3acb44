"""Several processes: how they train together, and how all end when one fails."""

from __future__ import annotations

import inspect
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NoReturn

import lightning as L
import torch
import torch.distributed as dist
from lightning.pytorch.strategies import DDPStrategy, Strategy
from torch.nn.parallel import DistributedDataParallel

from datamodules.core.samplers import split_batch
from vfi_train.errors import UserError
from vfi_train.runtime.lightning_internals import child_processes, disable_process_observer, process_launcher

POLL = 0.2  # seconds between looks at the other processes
PATIENCE = 5.0  # seconds that a process waits for another one that failed first


def device_count(devices: str | int | Sequence[int], num_nodes: int) -> int | None:
    """Devices over all nodes, of `trainer.devices` and `trainer.num_nodes`; None: as many as there are."""
    if isinstance(devices, str) and not devices.isdigit():
        if devices in ("auto", "-1"):
            return None
        return len([d for d in devices.split(",") if d.strip()]) * num_nodes
    count = int(devices) if isinstance(devices, (int, str)) else len(devices)
    return None if count < 0 else count * num_nodes


def process_count(accelerator: str, devices: int | None) -> int:
    """How many processes train, over all nodes.

    Args:
        accelerator: `trainer.accelerator`.
        devices: see `device_count`.
    """
    on_gpus = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return devices or (torch.cuda.device_count() if on_gpus else 1)


def torchrun_counts(environ: Mapping[str, str] = os.environ) -> tuple[int, int] | None:
    """The numbers of processes per node and of nodes that torchrun started; None: it did not start this one."""
    if "TORCHELASTIC_RUN_ID" not in environ:
        return None
    local, world = int(environ["LOCAL_WORLD_SIZE"]), int(environ["WORLD_SIZE"])
    return local, world // local


def check_torchrun(devices: int | None, nodes: int, environ: Mapping[str, str] = os.environ) -> None:
    """Compare the processes that torchrun started with those of the training, which would not find each other.

    Args:
        devices: see `device_count`.
        nodes: `trainer.num_nodes`.
        environ: the environment's variables.

    Raises:
        UserError: they differ; naming what to change.
    """
    started = torchrun_counts(environ)
    if started is None or (started[0] * started[1], started[1]) == (devices, nodes):
        return
    given = "as many as there are" if devices is None else f"{devices // nodes} x {nodes}"
    raise UserError(
        f"torchrun started {started[0]} processes on each of {started[1]} nodes (WORLD_SIZE={environ['WORLD_SIZE']}), "
        f"but trainer.devices x trainer.num_nodes are {given}: leave both out, or give trainer.devices={started[0]} "
        f"trainer.num_nodes={started[1]}"
    )


def strategy(name: str, processes: int, batch_size: int, micro_batch_size: int | None) -> str | Strategy:
    """How processes train together: gradients are averaged, where `name` does not say otherwise.

    Every parameter that trains gets a gradient in every step (frozen ones are known beforehand), so no graph is
    searched for unused ones; without accumulation the graph is the same at each step. Buffers are constants here.

    Args:
        name: `trainer.strategy`.
        processes: how many.
        batch_size: samples per optimizer step, over all processes.
        micro_batch_size: the largest batch that fits one device; None: any fits.
    """
    if name not in ("auto", "ddp") or processes == 1:
        return name
    _, accumulate = split_batch(batch_size, processes, micro_batch_size)
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


def gather(items: list[Any]) -> list[Any]:
    """The items of all processes, in the order of ranks; all must call it, with lists of any length."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return items
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, items)
    return [item for part in found for item in part]


class RankMonitor:
    """Watches the processes that the first one started, over all trainings of a program; ends all when one fails."""

    def __init__(self) -> None:
        self._launcher: Any = None

    def watch(self, trainer: L.Trainer) -> None:
        """Start watching, before the processes are started."""
        launcher = process_launcher(trainer)
        if self._launcher is None and launcher is not None:
            self._launcher = launcher
            disable_process_observer()
            threading.Thread(target=self._look, name="rank_monitor", daemon=True).start()

    def _look(self) -> None:
        while True:
            time.sleep(POLL)
            for number, process in enumerate(child_processes(self._launcher), 1):
                if process.poll():
                    self._end(number, process.returncode)

    def _end(self, number: int, code: int) -> NoReturn:
        processes = child_processes(self._launcher)
        for process in processes:
            process.kill()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}, see above"
        print(f"error: process {number} of {len(processes) + 1} (counted from 0) {how}: all end", file=sys.stderr)
        exit_now(code if code > 0 else 1)


rank_monitor = RankMonitor()


def wait_for_failed_rank(error: BaseException) -> None:
    """If an error says that another process is gone, wait for that one's own error to end this process."""
    text = str(error).lower()
    if dist.is_initialized() and (isinstance(error, dist.DistError) or "gloo" in text or "nccl" in text):
        time.sleep(PATIENCE)


def exit_now(code: int) -> NoReturn:
    """End this process immediately, whatever it waits for."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
