"""Attacks on `tlids-edge` itself over the network, live: its log, its broker, its view, the process that decodes.

Each is bounded in frames and in time, and says in a sentence what became of it. The scan beside it must be named.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from testbed import network as lab
from testbed.rule_attacks import ATTACKER, FORGE, SCAN
from testbed.services import servers
from testbed.services.servers import EDGE
from testbed.watched import LIMIT_S, Watched, alerts_of_rules, wait_for, watching

PROGRAMS = {"mosquitto": "mosquitto", "mosquitto_sub": "mosquitto-clients", "mosquitto_pub": "mosquitto-clients",
            "setpriv": "util-linux", "prlimit": "util-linux"}  # fmt: skip
FLOOD = ("timeout", "-s", "TERM", "8", *FORGE, "flood", "{attacker}", "{phone}")
NAME = "sensor"  # of the sensor at the broker
EVE_MB, EVE_FILES = 1, 6
MOST_PEAK_MB = 200  # MemoryMax= of the unit
SENT_MOST = 64 << 20  # bytes that sockets between a broker and us may hold
# a process without a right: no capability, now or later, and the address space of the unit
POWERLESS = ("prlimit", "--as=1073741824", "setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")
FIGURES = {"alerts", "incidents", "open_incidents", "incidents_today", "troubles"}


class Place(NamedTuple):
    """Where an attack is run: the home, and the model that the sensor has."""

    network: lab.Network
    model: Path

    def attack(self, *command: str) -> str:
        """Let the attacker run a command; what it says."""
        addresses = {name: host.address for name, host in self.network.hosts.items()}
        return self.network.run(ATTACKER, [word.format(**addresses) for word in command], LIMIT_S).stdout

    def scan(self) -> None:
        """Let the attacker scan the server."""
        self.attack(*SCAN, "-sS", "{pi-server}")


class Outcome(NamedTuple):
    """What became of an attack."""

    told: str
    problem: str = ""  # "" for none
    seen: list[dict] = []  # the rules' alerts


class Trial(NamedTuple):
    """One attack on the program."""

    name: str
    row: str
    run: Callable[[Place], Outcome]
    named: str = ATTACKER
    missed: str = ""


def problem(*checks: tuple[bool, str]) -> str:
    """What the first check that does not hold says; "" when all hold."""
    return next((words for holds, words in checks if not holds), "")


def so_far(path: Path) -> bytes:
    """What is in a file by now, b"" when it is not there yet."""
    return path.read_bytes() if path.exists() else b""


def log_flood(place: Place) -> Outcome:
    """A scan, then alarms until the EVE file has rotated over it; the scan's alert is in the incidents' file."""
    incidents = lab.FOLDER / "incidents.json"
    with watching(place.network, place.model, "--eve-max-mb", str(EVE_MB)) as watched:
        place.scan()
        wait_for(lambda: b"fan-out" in so_far(incidents), "the scan's alert")
        place.attack(*FLOOD)
        oldest = lab.FOLDER / f"watch.eve.json.{EVE_FILES - 1}"
        wait_for(oldest.exists, "the EVE file to rotate")
    files = list(lab.FOLDER.glob("watch.eve.json*"))
    size = sum(file.stat().st_size for file in files) / 1e6
    kept = [json.loads(line) for line in incidents.read_text().splitlines()]
    seen = alerts_of_rules(kept, place.network.hosts)
    written = int(re.search(r"lines written (\d+)", watched.log)[1])
    first = json.loads(oldest.read_text().partition("\n")[0])["timestamp"]
    scan = next((one["timestamp"] for one in kept if "fan-out" in one.get("alert", {}).get("signature", "")), "")
    return Outcome(
        f"{written:,} lines; {size:.1f} MB of them in {len(files)} files, and the scan's alert in incidents.json",
        problem(
            (size <= EVE_MB * EVE_FILES * 1.05, f"expected {EVE_MB * EVE_FILES} MB at most, found {size:.1f} MB"),
            ("" < scan < first, "expected the scan's alert to be out of the EVE files and kept, found it is not"),
        ),
        seen,
    )


@contextmanager
def joined(network: lab.Network) -> Iterator[str]:
    """The bridge has an address of the home's network, which no host has: a sensor reaches its broker by it."""
    address = network.plan.subnet.rpartition(".")[0] + ".254"
    lab.command("ip", "addr", "add", f"{address}/24", "dev", lab.BRIDGE)
    try:
        yield address
    finally:
        lab.command("ip", "addr", "del", f"{address}/24", "dev", lab.BRIDGE)


@contextmanager
def broker(network: lab.Network) -> Iterator[Path]:
    """mosquitto on the server, open to everybody, with a log of all it does."""
    settings = lab.FOLDER / "broker.conf"
    settings.write_text("listener 1883\nallow_anonymous true\nlog_type all\nuser root\n")
    log = lab.FOLDER / "broker.log"
    log.write_text("")
    process = servers.start(network, "pi-server", "broker", ["mosquitto", "-v", "-c", str(settings)])
    try:
        wait_for(lambda: "running" in log.read_text(), "mosquitto to run")
        yield log
    finally:
        network.stop(process)


def guessed_id(place: Place) -> Outcome:
    """The attacker takes the sensor's likely names at the broker, as who connects twice is thrown out."""
    os.environ |= {"TLIDS_MQTT_USER": "sensor", "TLIDS_MQTT_PASSWORD": "hunter2"}
    home = ("--mqtt", place.network.hosts["pi-server"].address, "--name", NAME)
    try:
        with joined(place.network) as address, broker(place.network) as log:
            with watching(place.network, place.model, *home) as watched:
                wait_for(lambda: f"from {address}" in log.read_text(), "the sensor at the broker")
                given = child_environment(watched)
                for name in (NAME, f"tlids-{NAME}", "tlids", "tlids-edge"):
                    place.attack("mosquitto_pub", "-h", "{pi-server}", "-i", name, "-t", "x", "-m", "y")
                place.scan()
                wait_for(lambda: f"tlids/{NAME}/alert" in log.read_text(), "the scan's alert at the broker")
            text = log.read_text()
    finally:
        del os.environ["TLIDS_MQTT_USER"], os.environ["TLIDS_MQTT_PASSWORD"]
    stays = "already connected" not in text and len(re.findall(rf"New client connected from {address}", text)) == 1
    return Outcome(
        "the sensor stays; a warning says that its password goes out in clear; the capture's environment lacks it",
        problem(
            (stays, "expected the sensor to stay connected, found it thrown out"),
            ("in clear" in watched.log, "expected a warning of a password in clear, found none"),
            (bool(given) and b"hunter2" not in given, "expected no password in the capture's environment, found it"),
        ),
        alerts_of_rules(watched.events, place.network.hosts),
    )


def child_environment(watched: Watched) -> bytes:
    """The environment of the capture that the sensor has started."""
    return Path("/proc", str(capture_of(watched)), "environ").read_bytes()


def capture_of(watched: Watched) -> int:
    """The process id of the capture that the sensor has started."""
    for children in Path("/proc", str(watched.process.pid), "task").glob("*/children"):
        for child in children.read_text().split():
            if Path("/proc", child, "comm").read_text().strip() in ("tlids-ring", "tcpdump"):
                return int(child)
    return 0


def false_broker(place: Place) -> Outcome:
    """The broker is the attacker's, and sends a message of 255 MiB that nobody asked for."""
    log = lab.FOLDER / "false-broker.log"
    log.write_text("")
    process = servers.start(place.network, ATTACKER, "false-broker", servers.python("testbed.false_broker"))
    home = ("--mqtt", place.network.hosts[ATTACKER].address, "--name", NAME)
    try:
        wait_for(lambda: "begun" in log.read_text(), "the false broker")
        with joined(place.network), watching(place.network, place.model, *home) as watched:
            wait_for(lambda: "unasked and was disconnected" in watched.log, "a word about the broker")
            place.scan()
    finally:
        place.network.stop(process)
    sent = max(map(int, re.findall(r"sent (\d+)", log.read_text())))
    return Outcome(
        f"disconnected after {sent / 1e6:.1f} of 267 MB were sent; peak memory {watched.peak_mb()} MB; reported once",
        problem(
            (sent < SENT_MOST, f"expected the connection to end at once, found {sent} bytes taken"),
            (watched.log.count("unasked and was disconnected") == 1, "expected one word about it, found more"),
            (watched.peak_mb() < MOST_PEAK_MB, f"expected {MOST_PEAK_MB} MB at most, found {watched.peak_mb()}"),
        ),
        alerts_of_rules(watched.events, place.network.hosts),
    )


def broker_away(place: Place) -> Outcome:
    """The attack happens while the broker is away: its most severe alert must be there when it comes back."""
    home = ("--mqtt", place.network.hosts["pi-server"].address, "--name", NAME)
    with joined(place.network), watching(place.network, place.model, *home) as watched:
        wait_for(lambda: "broker away" in watched.log, "a status line that says that the broker is away")
        place.attack(*FORGE, "arp-group", "{router}", "{phone}")
        place.attack(*FLOOD)
        wait_for(lambda: b"ARP" in so_far(lab.FOLDER / "incidents.json"), "the alert")
        with broker(place.network) as log:
            wait_for(lambda: log.read_text().count(f"'tlids/{NAME}/alert'") >= 2, "both alerts at the broker")
    severe = [one for one in watched.events if one["event_type"] == "alert" and one["alert"]["severity"] == 1]
    return Outcome(
        "every status line says `broker away`; the alerts arrive when it is back",
        problem((bool(severe), "expected an alert of severity 1, found none")),
        alerts_of_rules(watched.events, place.network.hosts),
    )


def reader(place: Place) -> Outcome:
    """Somebody reads all that the broker has: incidents and alerts of rules, and nothing of who was at home."""
    said, home = lab.FOLDER / "reader.log", ("--mqtt", place.network.hosts["pi-server"].address, "--name", NAME)
    phone, server = place.network.hosts["phone"], place.network.hosts["pi-server"].address
    said.write_text("")
    read = ["mosquitto_sub", "-h", server, "-t", "#", "-F", "%r %t %p"]
    with joined(place.network), broker(place.network) as log:
        process = servers.start(place.network, ATTACKER, "reader", read)
        wait_for(lambda: "SUBSCRIBE" in log.read_text(), "the reader")
        with watching(place.network, place.model, *home) as watched:
            place.network.run("phone", ["ping", "-c", "5", "-i", "0.2", server], timeout=LIMIT_S)
            place.scan()
            wait_for(lambda: f"tlids/{NAME}/alert" in said.read_text(), "the scan's alert at the broker")
            wait_for(lambda: f"tlids/{NAME}/stats" in said.read_text(), "the figures at the broker")
        kept = place.attack("mosquitto_sub", "-h", "{pi-server}", "-t", "#", "-F", "%t", "-W", "2").split()
        place.network.stop(process)
    messages = [line.split(" ", 2)[1:] for line in said.read_text().splitlines()]
    figures = [json.loads(text) for topic, text in messages if topic.endswith("/stats")]
    ends = sorted({topic.rsplit("/", 1)[1] for topic, _ in messages})
    return Outcome(
        f"{len(messages)} messages ({', '.join(ends)}): no flow, nothing of the phone; kept: {len(kept)} of set-up",
        problem(
            (set(ends) <= {"config", "state", "stats", "alert", "incident"}, f"expected no flows, found {ends}"),
            (all(set(told) == FIGURES for told in figures), "expected five counts of alerts, found other figures"),
            (not any(phone.address in text or phone.mac in text for _, text in messages), "found the phone"),
            (
                {topic.rsplit("/", 1)[1] for topic in kept} <= {"config", "state"},
                f"expected no more kept, found {kept}",
            ),
        ),
        alerts_of_rules(watched.events, place.network.hosts),
    )


def blinded(place: Place) -> Outcome:
    """A flood through a small flow table, and the capture killed: both are events with a beginning and an end."""
    with watching(place.network, place.model, "--max-flows", "1000", "--flow-alerts", "some") as watched:
        place.attack(*FLOOD)
        os.kill(capture_of(watched), signal.SIGKILL)
        wait_for(lambda: "capturing again" in watched.log, "the capture to continue")
    spells: dict[str, set[str]] = {}
    for event in watched.events:
        if event["event_type"] == "alert" and "tlids_because" in event["alert"]["metadata"]:
            because = event["alert"]["metadata"]["tlids_because"][0]
            spells.setdefault(because, set()).add(event["alert"]["signature"].split()[1])
    both = {"is", "was"}  # TL-IDS is blind, TL-IDS was blind
    return Outcome(
        f"blind since, until, because: {', '.join(sorted(spells))}",
        problem(*((spells.get(one) == both, f"expected {one} from when until when, found {spells}")
                  for one in ("evicted", "gaps"))),
        alerts_of_rules(watched.events, place.network.hosts),
    )  # fmt: skip


def hostile_frames(place: Place) -> Outcome:
    """Damaged frames and a scan meet a process without rights; tcpdump alone may capture, and decodes nothing."""
    eve, said = lab.FOLDER / "piped.eve.json", lab.FOLDER / "piped.log"
    with piped(place, eve, said) as decoder:
        place.attack(*FORGE, "damaged", "{attacker}", "{pi-server}")
        place.attack(*FORGE, "answers", "{attacker}", "{pi-server}")  # nmap would need a server whose tables are whole
        wait_for(lambda: b"fan-out" in so_far(eve), "the scan's alert")
        status = Path("/proc", str(decoder.pid), "status").read_text()
    probe = "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)"
    denied = subprocess.run([*POWERLESS, sys.executable, "-c", probe], capture_output=True, text=True, timeout=LIMIT_S)
    powers = re.findall(r"^(?:Cap(?:Eff|Prm|Bnd):\t0+|NoNewPrivs:\t1)$", status, re.MULTILINE)
    malformed = int(re.findall(r"(\d+) malformed", said.read_text())[-1])
    return Outcome(
        f"decoded without a capability, {malformed:,} of them malformed; a packet socket is denied",
        problem(
            (decoder.returncode == 0, f"expected it to end well, found exit status {decoder.returncode}"),
            (malformed > 100, f"expected hundreds of malformed frames, found {malformed}"),
            (len(powers) == 4, "expected no capability, now or later, found one"),
            ("PermissionError" in denied.stderr, "expected a packet socket to be denied, found it is not"),
        ),
        alerts_of_rules([json.loads(line) for line in eve.read_text().splitlines()], place.network.hosts),
    )


@contextmanager
def piped(place: Place, eve: Path, said: Path) -> Iterator[subprocess.Popen]:
    """tcpdump writes into a pipe that `tlids-edge` reads without a right, to the end when the block is over."""
    tcpdump = ["tcpdump", "-i", lab.BRIDGE, "-n", "--immediate-mode", "-U", "-Z", "root", "-w", "-"]
    edge = [*POWERLESS, sys.executable, str(EDGE / "capture_and_infer.py"), "--model", str(place.model),
            "--source", "-", "--live", "--status", "0.5", "--eve", str(eve)]  # fmt: skip
    with open(said, "wb") as words:
        capture = subprocess.Popen(tcpdump, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
        decoder = subprocess.Popen(edge, stdin=capture.stdout, stdout=words, stderr=words, start_new_session=True)
    capture.stdout.close()
    place.network.started += [capture, decoder]
    try:
        wait_for(lambda: "packets" in said.read_text(), "the process without rights to run")
        yield decoder
    finally:
        place.network.stop(capture)
        decoder.wait(LIMIT_S)


TRIALS = (
    Trial("a flood of alarms after a scan", "H2", log_flood),
    Trial("the sensor's name at the broker is guessed", "H7", guessed_id),
    Trial("a broker that sends 255 MiB", "H7", false_broker),
    Trial("the broker is away during the attack", "H7", broker_away),
    Trial("damaged frames, to a process without rights", "H8", hostile_frames),
    Trial("a flooded flow table, capture killed", "M7", blinded),
    Trial("an eavesdropper at the broker", "M8", reader),
)
