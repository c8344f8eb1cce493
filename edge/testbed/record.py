"""Record one session: a home that lives, is attacked by a schedule, and is captured from beginning to end."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tlids_edge import outputs
from tlids_edge.errors import InputError

from testbed import network as lab
from testbed.attacks import Window, run_session
from testbed.home import Home, check_alive
from testbed.kinds import KINDS
from testbed.services.servers import EDGE
from testbed.trim import trim
from testbed.truth import write_labels

PROGRAMS = KINDS["first"].programs
SMALL_MINUTES = 1.0  # half of it benign life, then the few attacks of a small session
QUIET_S = 3.0  # at the end, so that the last flows end
PRIORITY = ("nice", "-n", "-5")  # as the service's unit has it
PACKAGES = Path(__file__).with_name("apt-packages.txt")


@dataclass(frozen=True)
class Session:
    """What to record, and where to leave it."""

    number: int
    plan: lab.Plan
    minutes: float
    folder: Path
    small: bool = False
    attacks: bool = True
    watch: Path | None = None  # a model's folder: tlids-edge judges live, beside the recording


def record(session: Session) -> list[Path]:
    """Record a session; sessionN.pcap.gz, sessionN.labels.csv, sessionN.json, and sessionN.eve.json when watched.

    Everything is made in the tmpfs, then copied beside its target and renamed; a session that fails leaves nothing.

    Raises:
        InputError: not in the testbed's namespaces, a missing program, an unusable subnet or folder, packets lost.
    """
    lab.refuse_outside()
    lab.need_programs(KINDS[session.plan.layout.name].programs)
    if not os.access(session.folder, os.W_OK | os.X_OK):
        raise InputError(f"expected a folder that can be written to, found {session.folder}: make it first")
    with living_home(session.plan) as home:
        whole = lab.FOLDER / "whole.pcap"
        started = time.time()
        capture = home.network.capture(whole)
        watcher = start_watcher(home.network, session.watch) if session.watch else None
        windows = live_through(home, session)
        check_alive(home)
        watched = stop_watcher(watcher) if watcher else ""
        counts = capture_counts(home.network.stop(capture))
        ended = time.time()
        hosts = home.network.hosts
    return leave(session, hosts, windows, (started, ended), counts, watched)


@contextmanager
def living_home(plan: lab.Plan) -> Iterator[Home]:
    """A network with a home that lives in it; everything is ended on the way out."""
    network = lab.build(plan)
    try:
        yield KINDS[plan.layout.name].start(network)
    finally:
        network.close()


def live_through(home: Home, session: Session) -> list[Window]:
    """Let the home live for the session's minutes, attacked by the schedule."""
    minutes = SMALL_MINUTES if session.small else session.minutes
    end = time.monotonic() + 60 * minutes
    windows = []
    if session.attacks:
        rounds = KINDS[session.plan.layout.name].rounds(session.plan.seed, session.small)
        windows = run_session(home.network, [attack for attacks in rounds for attack in attacks], minutes)
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 1.0))
        check_alive(home)
    time.sleep(QUIET_S)
    return windows


def start_watcher(network: lab.Network, model: Path, *options: str) -> subprocess.Popen:
    """Start tlids-edge on the bridge, with `options` beside those of every recording, and wait until it captures.

    Raises:
        InputError: it ended at once; the sentence is its own.
    """
    argv = [
        *PRIORITY,
        sys.executable,
        str(EDGE / "capture_and_infer.py"),
        "--model",
        str(model),
        "--source",
        lab.BRIDGE,
    ]
    with open(lab.FOLDER / "watch.log", "wb") as log:
        watcher = subprocess.Popen(
            [*argv, "--eve", str(lab.FOLDER / "watch.eve.json"), "--all-flows", "--flow-alerts", "all", *options],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    network.started.append(watcher)
    before = packet_sockets()
    for _ in range(600):
        if watcher.poll() is not None:
            said = (lab.FOLDER / "watch.log").read_text(errors="replace").strip()
            raise InputError(f"expected tlids-edge to watch, found it ended ({said}): correct --watch")
        if packet_sockets() > before:
            return watcher
        time.sleep(0.1)
    raise InputError("expected tlids-edge to capture within a minute, found it does not: try it on a recording first")


def packet_sockets() -> int:
    """How many programs capture in this namespace."""
    return len(Path("/proc/self/net/packet").read_text().splitlines())


def stop_watcher(watcher: subprocess.Popen) -> str:
    """End tlids-edge as Ctrl-C does; its summary."""
    watcher.send_signal(signal.SIGINT)
    try:
        watcher.wait(30)
    except subprocess.TimeoutExpired:
        watcher.kill()
        watcher.wait()
    return (lab.FOLDER / "watch.log").read_text(errors="replace").strip()


def capture_counts(said: str) -> dict[str, int]:
    """tcpdump's counters from its last words.

    Raises:
        InputError: the kernel dropped packets, so the recording is not what was on the bridge; or no counters.
    """
    counts = {}
    for line in said.splitlines():
        number, _, what = line.strip().partition(" packets ")
        if number.isdigit():
            counts[what] = int(number)
    dropped = counts.get("dropped by kernel")
    if dropped is None or dropped:
        raise InputError(
            f"expected a capture without a lost packet, found {said.strip()!r}: record again on a less busy machine"
        )
    return {"captured": counts["captured"], "dropped": dropped}


def leave(
    session: Session, hosts: dict[str, lab.Host], windows: list[Window], span: tuple[float, float],
    counts: dict[str, int], watched: str,
) -> list[Path]:  # fmt: skip
    """Trim and label what was recorded, and leave it in the session's folder, all of it or nothing."""
    stem = f"session{session.number}"
    made = {name: lab.FOLDER / f"{stem}{name}" for name in (".pcap.gz", ".labels.csv", ".json")}
    trim(lab.FOLDER / "whole.pcap", made[".pcap.gz"])
    write_labels(windows, hosts, made[".labels.csv"], session.plan.layout.outside)
    made[".json"].write_text(json.dumps(description(session, hosts, windows, span, counts), indent=1) + "\n")
    if session.watch:
        made[".eve.json"] = lab.FOLDER / "watch.eve.json"
        print(watched, file=sys.stderr)
    return [move(path, session.folder / f"{stem}{name}") for name, path in made.items()]


def description(
    session: Session, hosts: dict[str, lab.Host], windows: list[Window], span: tuple[float, float],
    counts: dict[str, int],
) -> dict:  # fmt: skip
    """What a reader of the recording must know: plan, hosts, what ran when, with which programs."""
    layout = session.plan.layout
    return {
        "session": session.number,
        **({} if layout is lab.FIRST else {"home": layout.name}),
        "seed": session.plan.seed,
        "subnet": session.plan.subnet,
        "minutes": SMALL_MINUTES if session.small else session.minutes,
        "small": session.small,
        "start": round(span[0], 3),
        "end": round(span[1], 3),
        **late(session, windows),
        "packets": counts,
        "hosts": {name: known(host) for name, host in hosts.items()},
        "attacks": [told(window) for window in windows],
        "packages": package_versions(),
        "kernel": os.uname().release,
    }


def late(session: Session, windows: list[Window]) -> dict[str, float]:
    """From when on the second round of attacks ran, where the home has two; seconds since 1970."""
    first, *others = KINDS[session.plan.layout.name].rounds(session.plan.seed, session.small)
    if not (windows and others):
        return {}
    return {"late": round(min(window.start for window in windows[len(first) :]) - 1, 3)}


def known(host: lab.Host) -> dict[str, str]:
    """A host's addresses; that of IPv6 where it has one."""
    return {"address": host.address, "mac": host.mac, **({"address6": host.address6} if host.address6 else {})}


def told(window: Window) -> dict:
    """What was run; paths as from the repository, wherever that lies."""
    found = asdict(window)
    found["commands"] = [[word.replace(f"{EDGE.parent}/", "") for word in argv] for argv in window.commands]
    return found


def package_versions() -> dict[str, str]:
    """The Debian version of every package the testbed needs; empty where there is no dpkg."""
    names = read_packages(PACKAGES)
    if shutil.which("dpkg-query") is None:
        return {}
    argv = ["dpkg-query", "-W", "-f", "${Package} ${Version}\\n", *names]
    shown = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30).stdout
    return dict(line.split(" ", 1) for line in shown.splitlines() if len(line.split()) == 2)


def read_packages(path: Path) -> list[str]:
    """The names in apt-packages.txt, without what is said of them."""
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line]


def move(path: Path, target: Path) -> Path:
    """Copy a file out of the tmpfs to its target, which appears whole."""
    with outputs.written(target) as copy, open(path, "rb") as source:
        shutil.copyfileobj(source, copy)
    return target
