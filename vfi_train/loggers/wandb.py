"""Weights & Biases: online when the user is logged in, offline otherwise, never a prompt and never a hang."""

from __future__ import annotations

import contextlib
import logging
import netrc
import os
import secrets
import string
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from datamodules.storage.atomic_write import write_text
from vfi_train.runtime.console import is_first_process

log = logging.getLogger(__name__)
INIT_TIMEOUT = 30  # seconds after which an online start is given up and the run is logged offline


def wandb_logger(
    directory: str | Path,
    run_name: str,
    experiment: str | None = None,
    project: str = "vfi_train",
    group: str | None = None,
    tags: Sequence[str] = (),
    job_type: str | None = "train",
    mode: Literal["auto", "online", "offline"] = "auto",
) -> WandbLog:
    """The run's W&B logger; a resumed run keeps its id.

    Args:
        directory: the run directory; the id is kept in it.
        run_name: in W&B, too.
        experiment: the group, where `group` is not given.
        project, group, tags, job_type: W&B's own.
        mode: auto is online where the user is logged in, unless WANDB_MODE says otherwise.
    """
    online = mode == "online" or (mode == "auto" and is_logged_in())
    options: dict[str, Any] = {"name": run_name, "project": project, "group": group or experiment}
    options |= {"tags": list(tags), "job_type": job_type}
    run = _start(Path(directory), online, options) if is_first_process() else None
    return WandbLog(save_dir=directory, experiment=run, offline=not online, project=project, name=run_name)


class WandbLog(WandbLogger):
    """Lightning's logger, without errors after W&B's own process, which SLURM ends first when it ends a job."""

    gone = False

    @rank_zero_only
    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        """Log numbers, while W&B runs."""
        self.attempt(super().log_metrics, metrics, step)

    @rank_zero_only
    def log_image(self, *args: Any, **kwargs: Any) -> None:
        """Log images, while W&B runs."""
        self.attempt(super().log_image, *args, **kwargs)

    def attempt(self, log_it: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Call `log_it`, while W&B runs."""
        if self.gone:
            return
        try:
            log_it(*args, **kwargs)
        except ConnectionError as error:
            self.gone = True
            log.warning("W&B's process has ended (%s): from here on only metrics.csv is written", error)


def _start(directory: Path, online: bool, options: dict[str, Any]) -> Any:
    import wandb

    settings = wandb.Settings(init_timeout=INIT_TIMEOUT, silent=True)
    options |= {"id": _run_id(directory), "resume": "allow", "dir": directory, "settings": settings}
    try:
        return wandb.init(mode="online" if online else "offline", **options)
    except wandb.errors.Error as error:
        log.warning("W&B cannot be reached (%s): this run is logged offline", str(error).splitlines()[0])
        wandb.teardown()  # its process keeps the run that it could not start
        return wandb.init(mode="offline", **options)


def close_wandb(failed: bool = False) -> None:
    """End this process's W&B run, if there is one, so that the next training starts its own."""
    wandb = sys.modules.get("wandb")
    if wandb is None or wandb.run is None:
        return
    try:
        wandb.finish(exit_code=int(failed))
    except Exception as error:  # the log is on disk; a training must not fail because of it
        log.warning("W&B could not end its run: %s", error)
        with contextlib.suppress(Exception):
            wandb.teardown()  # the next run gets a new process, and nothing is tried again at exit


def is_logged_in() -> bool:
    """Whether W&B can be used online without a prompt."""
    mode = os.environ.get("WANDB_MODE", "")
    if mode:
        return mode == "online"
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").split("//")[-1].split("/")[0].split(":")[0]
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _run_id(directory: Path) -> str:
    """The id in the run's folder; made on the first start."""
    path = directory / "wandb_id"
    if not path.exists():
        alphabet = string.ascii_lowercase + string.digits
        directory.mkdir(parents=True, exist_ok=True)
        write_text(path, "".join(secrets.choice(alphabet) for _ in range(8)))
    return path.read_text().strip()
