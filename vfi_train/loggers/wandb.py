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
from vfi_train.errors import UserError, first_line, make_folder
from vfi_train.runtime.console import is_first_process

log = logging.getLogger(__name__)
MODES = {
    "online": "online",
    "offline": "offline",
    "disabled": "disabled",
    "run": "online",
    "dryrun": "offline",
    "": "",
}  # of WANDB_MODE, old names included
INIT_TIMEOUT = 30  # seconds after which an online start is given up and the run is logged offline


def wandb_logger(
    directory: str | Path,
    run_name: str,
    experiment: str | None = None,
    project: str | None = None,
    group: str | None = None,
    tags: Sequence[str] = (),
    job_type: str | None = "train",
    mode: Literal["auto", "online", "offline"] = "auto",
) -> WandbLog | None:
    """The run's W&B logger; a resumed run keeps its id. None: WANDB_MODE or WANDB_DISABLED turn W&B off.

    What is not given comes from W&B's own environment variables: WANDB_PROJECT, WANDB_RUN_GROUP, WANDB_TAGS, WANDB_DIR.

    Args:
        directory: the run directory; the id is kept in it.
        run_name: in W&B, too.
        experiment: the group, where `group` is not given.
        project, group, tags, job_type: W&B's own; the project is vfi_train where nothing says otherwise.
        mode: auto is online where the user is logged in, unless WANDB_MODE says otherwise.

    Raises:
        UserError: WANDB_MODE is none of W&B's modes, or W&B does not accept an option.
    """
    used = resolved_mode(mode)
    if used == "disabled":
        return None
    online = used == "online"
    project = project or os.environ.get("WANDB_PROJECT") or "vfi_train"
    options: dict[str, Any] = {"name": run_name, "project": project, "job_type": job_type}
    options |= {"group": group or os.environ.get("WANDB_RUN_GROUP") or experiment, "tags": list(tags) or None}
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
    folder = os.environ.get("WANDB_DIR") or directory
    make_folder(Path(folder), "WANDB_DIR")
    options |= {"dir": folder, "id": _run_id(directory), "resume": "allow", "settings": settings}
    if online:
        try:
            return wandb.init(mode="online", **options)
        except wandb.errors.Error as error:
            log.warning("W&B cannot be reached (%s): this run is logged offline", first_line(error))
            wandb.teardown()  # its process keeps the run that it could not start
    try:
        return wandb.init(mode="offline", **options)
    except wandb.errors.UsageError as error:
        raise UserError(f"W&B does not accept an option (project={options['project']}): {error}") from error


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


def resolved_mode(mode: str) -> str:
    """How W&B is used, "online", "offline" or "disabled", for `logger.wandb.mode`.

    Raises:
        UserError: WANDB_MODE is none of W&B's modes.
    """
    if mode != "auto":
        return mode
    given = os.environ.get("WANDB_MODE", "").lower()
    if given not in MODES:
        raise UserError(f"WANDB_MODE={given} is not known: give online, offline or disabled")
    if os.environ.get("WANDB_DISABLED", "").lower() in ("1", "true", "yes", "on"):
        return "disabled"
    return MODES[given] or ("online" if is_logged_in() else "offline")


def is_logged_in() -> bool:
    """Whether W&B can be used online without a prompt."""
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
