"""A SLURM cluster of one node on loopback: Debian's slurm-wlm, started by hand, stopped again.

`python -m tests.helpers.slurm_cluster` installs the packages.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "munged", "srun", "sbatch")
CONFIGURATION = """
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5{socket}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=0,batch_sched_delay=0
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
KillWait=20
MinJobAge=3600
NodeName=localhost NodeAddr=127.0.0.1 CPUs=4 SocketsPerBoard=1 CoresPerSocket=4 ThreadsPerCore=1 RealMemory=2000
PartitionName=main Nodes=localhost Default=YES
"""


def why_not() -> str | None:
    """Why there can be no cluster here; None: there can."""
    if os.getuid() != 0:
        return "starting SLURM's daemons takes root"
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    return f"SLURM is not installed ({', '.join(missing)} missing); make test-slurm tries to" if missing else None


def install() -> str | None:
    """Debian's packages, where they are not there yet: half a minute. Why it cannot be done; None: it is."""
    if os.getuid() != 0 or why_not() is None:
        return why_not()
    if shutil.which("apt-get") is None:
        return "SLURM is not installed, and there is no apt-get to install it"
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    packages = ["slurm-wlm", "munge"]
    for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *packages]):
        try:
            subprocess.run(["apt-get", *command], env=environ, timeout=240, check=True, capture_output=True, text=True)
        except subprocess.SubprocessError as error:
            message = str(getattr(error, "stderr", None) or error).strip().splitlines()[-1]
            return f"SLURM cannot be installed: apt-get {command[0]} says: {message}"
    return why_not()


class Cluster:
    """Use as a context: the daemons run within it.

    Args:
        folder: for configuration, state and logs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.configuration = folder / "slurm.conf"
        self.socket = folder / "munge" / "socket"
        # What a job inherits is what submits it: nothing of a cluster that these tests may run in.
        self.environ = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_", "SRUN_"))}
        self.environ |= {"SLURM_CONF": str(self.configuration), "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
        self._daemons: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Cluster:
        for name in ("state", "spool", "munge"):
            (self.folder / name).mkdir()
        self.configuration.write_text(CONFIGURATION.format(folder=self.folder, socket=f",socket={self.socket}"))
        key = self.folder / "munge" / "key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        try:
            munge = self.folder / "munge"
            files = [f"--{kind}-file={munge / kind}" for kind in ("key", "pid", "log", "seed")]
            self._start("munged", "--foreground", "--force", f"--socket={self.socket}", *files)
            self._wait(self.socket.exists, 20, "munged")
            self._start("slurmctld", "-D", "-c")
            self._start("slurmd", "-D", "-c", "-N", "localhost")
            self._wait(lambda: "idle" in self.run("sinfo", "-h", "-o", "%T", check=False), 60, "slurmctld and slurmd")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        if len(self._daemons) == 3:
            self.run("scancel", "--signal=KILL", "--full", "--state=RUNNING", "--user=root", check=False)
            self.run("scancel", "--user=root", check=False)
        for daemon in reversed(self._daemons):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self._daemons = []

    def run(self, *command: str, cwd: Path | None = None, check: bool = True, timeout: float = 60) -> str:
        """A command of SLURM's; what it prints."""
        try:
            result = subprocess.run(
                command, env=self.environ, cwd=cwd, capture_output=True, text=True, timeout=timeout, check=check
            )
        except subprocess.CalledProcessError as error:
            raise RuntimeError(f"{' '.join(command)}: {error.stderr}") from error
        return result.stdout

    def field(self, job: str, name: str) -> str:
        """One value of `scontrol show job`."""
        shown = self.run("scontrol", "show", "job", job)
        return next(pair.partition("=")[2] for pair in shown.split() if pair.startswith(f"{name}="))

    def finish(self, job: str, seconds: float) -> str:
        """Wait until a job has ended for good; its state."""
        ended = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "DEADLINE")
        self._wait(lambda: self.field(job, "JobState") in ended, seconds, f"job {job}")
        return self.field(job, "JobState")

    def _start(self, *command: str) -> None:
        log = (self.folder / f"{command[0]}.out").open("wb")
        self._daemons.append(
            subprocess.Popen(command, env=self.environ, stdout=log, stderr=log, start_new_session=True)
        )

    @staticmethod
    def _wait(condition: object, seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while not condition():  # type: ignore[operator]
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} took more than {seconds:.0f} s")
            time.sleep(0.3)


if __name__ == "__main__":
    reason = install()
    print(f"tests on SLURM are left out: {reason}" if reason else "SLURM is installed")
