"""SLURM: whether the job fits the training, how its processes find each other, and requeueing."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping

from lightning.fabric.plugins.environments import ClusterEnvironment, LightningEnvironment, SLURMEnvironment

from vfi_train.errors import UserError

WARNINGS = ("SIGUSR1", "SIGUSR2")  # sent by --signal and by submitit before the time limit
SECONDS = 60  # that scontrol may take


def check_job(processes: int | None, nodes: int, environ: Mapping[str, str] = os.environ) -> None:
    """Compare the processes that SLURM started with those of the training, which would wait for missing ones for ever.

    Args:
        processes: `trainer.devices` x `trainer.num_nodes`; None: as many devices as there are.
        nodes: `trainer.num_nodes`.
        environ: the environment's variables.

    Raises:
        UserError: they differ; naming what to change.
    """
    if "SLURM_JOB_ID" not in environ or "TORCHELASTIC_RUN_ID" in environ or _is_interactive(environ):
        return
    tasks = int(environ.get("SLURM_NTASKS", 1))
    if tasks > 1 and "SLURM_STEP_ID" not in environ and processes != 1:
        raise UserError(
            f"SLURM gave this job {tasks} tasks, but Python was started without srun, so the training would wait "
            "for the others for ever: write `srun python -m vfi_train ...` in the job script"
        )
    if "SLURM_STEP_ID" not in environ or processes is None:
        return
    if tasks == 1 and nodes == 1:
        return  # the processes of one node are started by the training itself
    if tasks != processes:
        raise UserError(
            f"srun started {tasks} tasks, but trainer.devices x trainer.num_nodes are {processes}: they must be equal, "
            "one task for each device (#SBATCH --ntasks-per-node=DEVICES, #SBATCH --nodes=NODES)"
        )
    found = int(environ.get("SLURM_NNODES", environ.get("SLURM_JOB_NUM_NODES", 1)))
    if found != nodes:
        raise UserError(f"SLURM gave this job {found} nodes, but trainer.num_nodes={nodes}: set one to the other")
    if "SLURM_NTASKS_PER_NODE" not in environ:
        raise UserError(
            f"the {tasks} tasks were requested by --ntasks, which does not say how many run on a node: "
            f"use #SBATCH --ntasks-per-node={tasks // nodes}"
        )


def cluster_environment(environ: Mapping[str, str] = os.environ) -> ClusterEnvironment | None:
    """How the processes of a training in a SLURM job find each other; None: this is no job.

    Lightning does not requeue jobs: `requeue` does, at the end of a step.
    """
    if "SLURM_JOB_ID" not in environ or "TORCHELASTIC_RUN_ID" in environ:
        return None
    parallel = "SLURM_STEP_ID" in environ and int(environ.get("SLURM_NTASKS", 1)) > 1
    if parallel and not _is_interactive(environ):
        return SLURMEnvironment(auto_requeue=False)
    return LightningEnvironment()


def requeue(number: int, environ: Mapping[str, str] = os.environ) -> str | None:
    """Requeue this SLURM job after a signal, where it should be; a message for the user, None where it is not.

    It is requeued after a warning (`--signal=USR1@120`), and after SIGTERM at the time limit. Other SIGTERMs come from
    `scancel`, where the job should end, and from preemption and `scontrol requeue`, where SLURM requeues by itself.
    """
    job = environ.get("SLURM_JOB_ID")
    if job is None or _is_interactive(environ):
        return None
    if "SLURM_ARRAY_JOB_ID" in environ:
        job = f"{environ['SLURM_ARRAY_JOB_ID']}_{environ['SLURM_ARRAY_TASK_ID']}"
    try:
        warned = signal.Signals(number).name in WARNINGS
        if not warned and not (number == signal.SIGTERM and "Reason=TimeLimit" in _scontrol("show", "job", job)):
            return None
        _scontrol("requeue", job)
    except (OSError, subprocess.SubprocessError) as error:
        reason = getattr(error, "stderr", None) or error
        return f"job {job} cannot be requeued ({str(reason).strip()}): submit it again"
    return f"job {job} is requeued"


def _scontrol(*arguments: str) -> str:
    command = ["scontrol", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True).stdout


def _is_interactive(environ: Mapping[str, str]) -> bool:
    """Whether this is a shell in an allocation, in which programs start their processes themselves."""
    return environ.get("SLURM_JOB_NAME") in ("bash", "interactive", "sh", "zsh")
