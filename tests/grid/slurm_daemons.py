"""A Slurm of its own on this one machine: munged, slurmctld and slurmd, for as long as a `with` lasts. Needs root.

Processes are tracked through /proc (linuxproc), so no cgroups are needed. The node claims more processors and memory
than the machine has, because a job asks for what docs/grid.md asks a real cluster for.
"""

import contextlib
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

PATIENCE = 60  # seconds until a daemon that must answer is given up
CLAIMED = "CPUs=16 RealMemory=65536"  # two jobs of docs/grid.md
CONF = """\
ClusterName=tlids
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 {claimed} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@contextlib.contextmanager
def running(folder: Path) -> Iterator[dict[str, str]]:
    """Start the three daemons with all their files in `folder`: the environment by which sbatch and squeue find them.

    Raises RuntimeError when one of them ends, or the node is not idle in time, with the end of its log.
    """
    for name in ("state", "spool", "home"):
        (folder / name).mkdir(parents=True)
    key = folder / "munge.key"
    key.touch(0o600)
    key.write_bytes(secrets.token_bytes(128))
    ports = dict(zip(("controller", "node"), _free_ports(2), strict=True))
    conf = folder / "slurm.conf"
    conf.write_text(CONF.format(host=socket.gethostname().split(".")[0], folder=folder, claimed=CLAIMED, **ports))
    environment = {**os.environ, "SLURM_CONF": str(conf)}
    files = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
    with contextlib.ExitStack() as stack:
        munged = ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *files]
        for command in (munged, ["slurmctld", "-D", "-f", str(conf)], ["slurmd", "-D", "-f", str(conf)]):
            log = folder / f"{command[0]}.out"
            process = stack.enter_context(_daemon(command, log, environment))
            if command[0] == "munged":
                _wait(lambda: (folder / "munge.socket").exists(), process, log)
        _wait(lambda: "idle" in said(environment, "sinfo", "--noheader", "--format=%T"), process, log)
        try:
            yield environment
        finally:  # what a job started would outlive the daemons
            said(environment, "scancel", "--full", "--signal=KILL", "--me")
            said(environment, "scancel", "--me")
            _wait(lambda: not said(environment, "squeue", "--noheader"), process, log)


def said(environment: dict[str, str], *command: str) -> str:
    """What a command of Slurm prints; "" while its controller does not answer."""
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE).stdout.strip()


@contextlib.contextmanager
def _daemon(command: list[str], log: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen]:
    with log.open("w") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(condition, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{process.args[0]} is not ready: {log.read_text()[-1000:]}")
        time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
