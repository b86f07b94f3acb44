"""Everything that reads or changes private state of Lightning, with the reason for each.

Tried with the versions in `TRIED`; `check_version` warns of others.
"""

from __future__ import annotations

import logging
from subprocess import Popen
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.strategies.launchers import subprocess_script

log = logging.getLogger(__name__)
TRIED = ("2.6",)


def check_version(version: str = L.__version__) -> None:
    """Warn of a Lightning version whose private state was not tried."""
    if ".".join(version.split(".")[:2]) not in TRIED:
        log.warning(
            "Lightning %s was not tried with this program, which depends on private state of Lightning %s: if stopping "
            "or resuming fails, install lightning==%s.*",
            version, " and ".join(TRIED), TRIED[-1],
        )  # fmt: skip


def disable_signal_handling(trainer: L.Trainer) -> None:
    """Turn Lightning's handling of signals off; `StopSignals` replaces it.

    Lightning's saves in the middle of a step, calls a collective inside of the handler, and, on several processes,
    waits for the GPU at each step. There is no public switch.
    """
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]


def restart_timer(trainer: L.Trainer) -> None:
    """Count `trainer.max_time` from each start: Lightning counts over all of them, so that a resumed run would stop."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Timer):
            callback.load_state_dict = lambda state_dict: None  # type: ignore[method-assign]


def uncount_step(fit_loop: Any) -> None:
    """Take back a step in the count by which Lightning decides when to log; see datamodules/core/resume.py."""
    fit_loop.epoch_loop._batches_that_stepped -= 1


def complete_step_metrics(trainer: L.Trainer) -> None:
    """Log a step's metrics: Lightning would after `on_train_batch_end`, which an exception may leave before."""
    trainer._logger_connector.update_train_step_metrics()


def step_row(trainer: L.Trainer) -> dict[str, float] | None:
    """The values that Lightning is about to log for the step that has just ended; None: it logs none.

    They are needed before the step's checkpoint is saved: Lightning logs after it.
    """
    if not trainer._logger_connector.should_update_logs:
        return None
    return {name: float(value) for name, value in trainer._logger_connector.metrics["log"].items()}


def attached_trainer(module: L.LightningModule) -> L.Trainer | None:
    """The module's trainer; None: it has none, where the public `module.trainer` raises."""
    return module._trainer


def process_launcher(trainer: L.Trainer) -> Any:
    """What starts the other processes of a training; None: nothing does here."""
    launcher: Any = trainer.strategy.launcher
    return launcher if hasattr(launcher, "procs") else None


def disable_process_observer() -> None:
    """Leave the other processes to `RankMonitor`.

    When one of them fails, Lightning's observer kills all the others and the first process itself, whose exit status
    is then that of the kill; it looks every five seconds, so that now and then it is the first to see it.
    """
    subprocess_script._launch_process_observer = lambda child_processes: None


def child_processes(launcher: Any) -> list[Popen[Any]]:
    """The processes that a launcher has started. Lightning has no public way to watch them."""
    return launcher.procs
