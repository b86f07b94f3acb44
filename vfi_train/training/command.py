"""One training: from a configuration to a finished run."""

from __future__ import annotations

import logging
import threading
import warnings
from pathlib import Path

from omegaconf import DictConfig

from vfi_train.config.targets import check_targets
from vfi_train.loggers.wandb import close_wandb
from vfi_train.runtime.console import is_first_process
from vfi_train.runtime.distributed import check_launcher, device_count, wait_for_failed_rank
from vfi_train.runtime.slurm import check_job, requeue
from vfi_train.runtime.stop_signals import Stopped, stop_signals
from vfi_train.training.build import plain
from vfi_train.training.run import train_run
from vfi_train.training.run_directory import RunDirectory, run_name

WANDB_SECONDS = 20  # that W&B may take to end before SLURM is asked to requeue, which ends W&B at once


def train(config: DictConfig) -> None:
    """Train what `config` says in its run directory; go on where it stopped; end with a table of results.

    Asked to stop by a signal, it saves the step that it is at and raises `Stopped`.
    """
    quiet()
    if not (config.dry_run or config.check):
        check_launcher(config)
        check_job(device_count(config), config.trainer.num_nodes)
    with stop_signals:
        try:
            stop_signals.answer_early_ones()
            train_what(config)
        except BaseException as error:
            wait_for_failed_rank(error)
            closing = threading.Thread(target=close_wandb, args=(True,))
            closing.start()
            if isinstance(error, Stopped) and is_first_process():
                closing.join(WANDB_SECONDS)
                error.outlook = requeue(error.number) or error.outlook
            closing.join()
            raise


def train_what(config: DictConfig) -> None:
    """Train one run or the phases of a curriculum, or only look at them."""
    if config.curriculum is not None:
        from vfi_train.training.curriculum import train_curriculum

        return train_curriculum(config)
    check_targets(config)
    if config.dry_run:
        from vfi_train.training.dry_run import dry_run

        return dry_run(config)
    if config.check:
        from vfi_train.training.preflight import preflight

        return preflight(config)
    train_run(config, RunDirectory(Path(config.runs) / run_name(config), plain(config)))


def quiet() -> None:
    """Our own lines and real warnings, not Lightning's tips."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*dataloader is not resumable.*")  # ours is: datamodules/core/samplers.py
    warnings.filterwarnings("ignore", ".*treespec, LeafSpec.*")  # Lightning's own, with this torch
    warnings.filterwarnings("ignore", ".*`srun` command is available.*")  # slurm.py says what is wrong
    warnings.filterwarnings("ignore", ".*smaller than the logging interval.*")  # rows go on over epochs
    warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")
