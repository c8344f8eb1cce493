"""Run a session's attacks against the home, one after the other, and note what was run when by whom.

Every attack is bounded thrice: by its own count or time, by `timeout` around it, and by this module, which ends it by
its process id. Nothing is started outside the testbed's namespaces, and nothing is aimed at an address that is not
one of the home's hosts.
"""

import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from tlids_edge.errors import InputError

from testbed import network as lab
from testbed.schedule import ATTACKER, GAP_S, SETTLE_S, Attack, gap_before
from testbed.services.servers import EDGE

LEAD_S = 30.0  # of benign life before the first attack
KILL_AFTER_S = 9  # arpspoof puts one cache right each second, and begins again when it has done them all
POLL_S = 0.5
ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
PYTHON = "python"  # as the first word of a command: the interpreter that runs this
NOT_RUN = (125, 126, 127)  # what timeout and ip say when a program cannot be started
PROGRAMS = {
    "nmap": "nmap",
    "hping3": "hping3",
    "ab": "apache2-utils",
    "slowhttptest": "slowhttptest",
    "ncrack": "ncrack",
    "hydra": "hydra",
    "arpspoof": "dsniff",
    "timeout": "coreutils",
}
FORWARD = ("net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.eth0.send_redirects=0", "net.ipv4.ip_forward=1")


@dataclass(frozen=True)
class Relay:
    """While the ARP cache of a device, or the server's entry for it, named the attacker; seconds since 1970."""

    device: str
    server: str
    start: float
    end: float


@dataclass(frozen=True)
class Window:
    """What was run when by whom against whom; times in seconds since 1970, hosts by name."""

    name: str  # the class
    start: float
    end: float  # with SETTLE_S for what the attack left behind
    commands: tuple[tuple[str, ...], ...]  # one after the other, each an argv
    attacker: str
    victims: tuple[str, ...]
    exit_statuses: tuple[int, ...]  # of the commands; 124: ended by its time limit
    spoofed: bool = False
    relays: tuple[Relay, ...] = ()


def run_session(network: lab.Network, attacks: list[Attack], minutes: float) -> list[Window]:
    """Run attacks in order, with quiet gaps so that they fill about `minutes`; none is left out.

    Returns:
        A window for each attack, in the order of `attacks`.

    Raises:
        InputError: not in the testbed's namespaces, a target outside the home, or a tool that cannot be run.
    """
    random = Random(f"gaps {network.plan.seed}")
    deadline = time.monotonic() + 60 * minutes
    begun: list[Behind | Window] = []
    previous = None
    for number, attack in enumerate(attacks):
        waited_for = [later for later in attacks[number:] if not later.background]
        ahead = sum(later.expected_s + SETTLE_S for later in waited_for)
        share = (deadline - time.monotonic() - ahead) / (len(waited_for) + 1)
        least = gap_before(attack, previous) if number else LEAD_S
        if attack.background:
            time.sleep(GAP_S if number else LEAD_S)
            begun.append(Behind(network, attack))
            continue
        time.sleep(max(least, share * random.uniform(0.5, 1.5)))
        begun.append(run_attack(network, attack))
        previous = attack
    return [one.window() if isinstance(one, Behind) else one for one in begun]


class Behind:
    """An attack that runs beside the others, by a thread that ends with its process."""

    def __init__(self, network: lab.Network, attack: Attack) -> None:
        """Start it."""
        self._found: list[Window | BaseException] = []
        self._limit_s = attack.limit_s + KILL_AFTER_S + SETTLE_S + 30
        self._thread = threading.Thread(target=self._run, args=(network, attack), daemon=True)
        self._thread.start()

    def _run(self, network: lab.Network, attack: Attack) -> None:
        """What the thread does."""
        try:
            self._found.append(run_attack(network, attack))
        except (InputError, OSError, subprocess.SubprocessError) as error:
            self._found.append(error)

    def window(self) -> Window:
        """Wait for its end.

        Raises:
            InputError: as `run_session`, or it did not end.
        """
        self._thread.join(self._limit_s)
        found = (
            self._found[0]
            if self._found
            else InputError("expected an attack to end at its limit, found it running: stop it")
        )
        if isinstance(found, Window):
            return found
        raise found


def run_attack(network: lab.Network, attack: Attack) -> Window:
    """Run one attack to its end, its commands one after the other.

    Raises:
        InputError: as `run_session`.
    """
    commands = [_aimed(network, attack.victims, argv) for argv in attack.commands]
    if attack.relayed:
        network.run(ATTACKER, ["sysctl", "-qw", *FORWARD], timeout=10)
    start, end = time.time(), time.monotonic() + attack.limit_s
    statuses, relays = [], ()
    try:
        for argv in commands:
            left = max(1, round(end - time.monotonic()))
            status, relays = _run(network, attack, argv, left)
            statuses.append(status)
    finally:
        if attack.relayed:
            network.run(ATTACKER, ["sysctl", "-qw", "net.ipv4.ip_forward=0"], timeout=10)
    time.sleep(SETTLE_S)
    return Window(
        attack.name, start, time.time(), tuple(commands), attack.source, attack.victims, tuple(statuses),
        attack.spoofed, relays,
    )  # fmt: skip


def _aimed(network: lab.Network, victims: tuple[str, ...], argv: tuple[str, ...]) -> tuple[str, ...]:
    """A command with the victims' addresses in it; every address in it but a forged source is checked."""
    lab.refuse_outside()
    layout = network.plan.layout
    addresses = {name: network.hosts[name].address for name in victims}
    addresses |= {name: layout.server(name) for name in layout.servers}
    aimed = tuple(word.format(**addresses) if "{" in word else word for word in argv)
    targets = [
        address for before, word in pairwise(("", *aimed)) if before != "--spoof" for address in ADDRESS.findall(word)
    ]
    if not targets:
        raise InputError(f"expected a host of the testbed as target, found none in {' '.join(argv)}: name one")
    for address in targets:
        lab.lab_address(network, address)
    return aimed


def _run(
    network: lab.Network, attack: Attack, argv: tuple[str, ...], seconds: int
) -> tuple[int, tuple[Relay, ...]]:  # fmt: skip
    """Run one command, at most so long; its exit status, and what it relayed."""
    program = sys.executable if argv[0] == PYTHON else argv[0]
    process = network.start(
        attack.source,
        ["timeout", f"--kill-after={KILL_AFTER_S}", str(seconds), program, *argv[1:]],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=lab.FOLDER,  # hydra and ncrack leave files
        env={**os.environ, "PYTHONPATH": str(EDGE)},
    )
    relays: tuple[Relay, ...] = ()
    try:
        if attack.relayed:
            relays = _watch_relays(network, attack.victims, process, seconds + KILL_AFTER_S + 5)
        else:
            process.wait(seconds + KILL_AFTER_S + 5)
    except subprocess.TimeoutExpired:
        pass  # ended below
    finally:
        network.stop(process)
    if process.returncode in NOT_RUN:
        raise InputError(f"expected {argv[0]} to run, found exit status {process.returncode}: try {' '.join(argv)}")
    return process.returncode, relays


def _watch_relays(
    network: lab.Network, victims: tuple[str, ...], process: subprocess.Popen, seconds: float
) -> tuple[Relay, ...]:
    """Look into the ARP caches until the tool has ended and all is right again; from when to when they were forged.

    The start is the look before the first that shows the forgery, the end the first that shows none any more.

    Raises:
        InputError: a cache stays forged: what follows would be relayed without a label.
    """
    *devices, server = victims
    first: dict[str, float] = {}
    last: dict[str, float] = {}
    end, looked = time.monotonic() + seconds, time.time()
    while time.monotonic() < end:
        now = time.time()
        forged = [device for device in devices if _forged(network, device, server)]
        for device in devices:
            if device in forged:
                first.setdefault(device, looked)
                last.pop(device, None)
            elif device in first:
                last.setdefault(device, time.time())
        if process.poll() is not None and not forged:
            return tuple(Relay(device, server, first[device], last[device]) for device in first)
        looked = now
        time.sleep(POLL_S)
    raise InputError(
        f"expected the true ARP entries of {', '.join(devices)} and {server} again, found forged ones: record again"
    )


def _forged(network: lab.Network, device: str, server: str) -> bool:
    """Whether the device's ARP cache names the attacker as the server, or the server's as the device."""
    forger = network.hosts[ATTACKER].mac
    return any(
        forger in network.run(one, ["ip", "neigh", "show", "to", network.hosts[other].address], timeout=10).stdout
        for one, other in ((device, server), (server, device))
    )
