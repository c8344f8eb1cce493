"""A home that lives: the Pi server's programs, the two boards running their firmware, and the people's devices."""

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from tlids_edge.errors import InputError

from testbed.network import FOLDER, Network
from testbed.services.servers import EDGE, credentials, python, start, start_servers

BOARDS = ("fire-alarm", "room-light")
PEOPLE = {
    "phone": "testbed.life.phone",
    "laptop": "testbed.life.laptop",
    "television": "testbed.life.television",
    "pi-server": "testbed.life.pi_server",
}


@dataclass(frozen=True)
class Home:
    """The home's actors by host name."""

    network: Network
    actors: dict[str, Popen]


def start_home(network: Network) -> Home:
    """Start the servers, then the boards, then the people.

    Raises:
        InputError: a server does not come up.
    """
    start_servers(network)
    actors = {name: start_board(network, name) for name in BOARDS}
    secrets = FOLDER / "secrets.json"
    secrets.touch(0o600)
    secrets.write_text(json.dumps(credentials(network)))
    for host, module in PEOPLE.items():
        arguments = [str(network.plan.seed), *([str(secrets)] if host in ("phone", "laptop") else [])]
        actors[host] = start(network, host, f"life-{host}", python(module, *arguments))
    return Home(network, actors)


def start_board(network: Network, name: str) -> Popen:
    """Run a board's firmware, unchanged, in a folder that holds what its flash would hold."""
    flash = FOLDER / "boards" / name
    flash.mkdir(parents=True)
    firmware = EDGE / "testbed" / "firmware"
    source = firmware / name.replace("-", "_")
    for path in (firmware / "home_device.py", source / "main.py"):
        shutil.copy(path, flash)
    config = json.loads((source / "config.json").read_text())
    config["password"] = credentials(network)[name]
    (flash / "config.json").write_text(json.dumps(config))
    boot = EDGE / "testbed" / "standins" / "boot.py"
    with open(FOLDER / f"board-{name}.log", "ab") as log:
        # -P and an empty path: `network` must be the stand-in, never the testbed's module of that name
        return network.start(
            name, [sys.executable, "-P", str(boot), f"{network.plan.seed}-{name}"], cwd=flash, stdout=log, stderr=log
        )


def check_alive(home: Home) -> None:
    """Make sure that everyone still lives.

    Raises:
        InputError: a board or a person's program has ended; the sentence has its last words.
    """
    for name, actor in home.actors.items():
        if actor.poll() is not None:
            log = FOLDER / (f"board-{name}.log" if name in BOARDS else f"life-{name}.log")
            said = last_words(log)
            raise InputError(
                f"expected {name} to run until the end, found it ended ({actor.returncode}, {said!r}): record again"
            )


def last_words(log: Path) -> str:
    """The end of a log."""
    return log.read_text(errors="replace")[-400:].strip() if log.exists() else ""
