"""`tlids-edge` on the bridge while something is done to the home or to it: started, known to see, asked what it saw."""

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tlids_edge.errors import InputError

from testbed import network as lab
from testbed.record import start_watcher, stop_watcher

SETTLE_S = 2.5  # a flow counts as unanswered after a second; the rest is for a busy machine
LIMIT_S = 60
POLL_S = 0.1
RULES = range(9_200_000, 9_300_000)  # signatures


@dataclass
class Watched:
    """One run of `tlids-edge`; `events` are there when it is over."""

    process: subprocess.Popen
    events: list[dict] = field(default_factory=list)

    @property
    def log(self) -> str:
        """What it has said so far."""
        return (lab.FOLDER / "watch.log").read_text(errors="replace")

    def peak_mb(self) -> int:
        """Its peak memory, as its summary says."""
        return int(re.search(r"peak memory (\d+) MB", self.log)[1])


@contextmanager
def watching(network: lab.Network, model: Path, *options: str) -> Iterator[Watched]:
    """`tlids-edge` on the bridge, from when it sees packets on; it is ended a while after the block.

    Raises:
        InputError: it does not start, or sees nothing.
    """
    eve = lab.FOLDER / "watch.eve.json"
    for old in (*lab.FOLDER.glob("watch.eve.json*"), *lab.FOLDER.glob("incidents.json*")):
        old.unlink()
    watched = Watched(start_watcher(network, model, "--status", "0.5", *options))
    try:
        greet_until_seen(network)
        yield watched
        time.sleep(SETTLE_S)
    finally:
        stop_watcher(watched.process)
    watched.events = [json.loads(line) for line in eve.read_text().splitlines()]


def greet_until_seen(network: lab.Network) -> None:
    """Let phone and router find and ping each other, once more when `tlids-edge` has said that it sees packets.

    Raises:
        InputError: it sees none.
    """
    phone, router = network.hosts["phone"], network.hosts["router"]

    def greet() -> bool:
        network.run("phone", ["ip", "neigh", "flush", "all"], timeout=10)
        network.run("phone", ["ping", "-c", "2", "-i", "0.2", "-W", "2", router.address], timeout=10)
        network.run("router", ["ping", "-c", "1", "-W", "2", phone.address], timeout=10)
        return (
            re.search(r"^tlids-edge: packets [1-9]", (lab.FOLDER / "watch.log").read_text(), re.MULTILINE) is not None
        )

    wait_for(greet, "tlids-edge to see packets")
    greet()


def wait_for(condition: Callable[[], bool], what: str, seconds: float = LIMIT_S) -> None:
    """Wait until a condition holds.

    Raises:
        InputError: it does not within so many seconds.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise InputError(f"expected {what} within {seconds:g} s, found that it did not", "try again")
        time.sleep(POLL_S)


def alerts_of_rules(events: list[dict], hosts: dict[str, lab.Host]) -> list[dict]:
    """The rules' alerts among events, each once, with whose MAC address they name."""
    owners = {host.mac: host.name for host in hosts.values()}
    found = {}
    for event in events:
        if event["event_type"] == "alert" and event["alert"]["signature_id"] in RULES:
            mac = event.get("ether", {}).get("src_mac", "")
            source = event["alert"]["metadata"]["tlids_source"][0]
            text = event["alert"]["signature"].removeprefix("TL-IDS ")
            key = text, event.get("src_ip", ""), owners.get(mac, mac), source
            found[key] = dict(zip(("alert", "address", "mac", "source"), key, strict=True))
    return list(found.values())


def rate_of(said: str) -> int:
    """The forged frames a second, as `testbed.forge` has told; 0 without one."""
    told = re.findall(r"^sent (\d+) frames in ([\d.]+) s$", said, re.MULTILINE)
    return round(int(told[-1][0]) / max(float(told[-1][1]), 0.01)) if told else 0
