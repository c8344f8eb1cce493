"""The Pi server's daemons: mosquitto, dnsmasq, chronyd, sshd, each with a configuration of its own in the tmpfs."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tlids_edge.errors import InputError

from testbed.network import FOLDER, OUTSIDE_NETWORK, Network, command

PROGRAMS = {
    "mosquitto": "mosquitto",
    "mosquitto_passwd": "mosquitto",
    "dnsmasq": "dnsmasq-base",
    "chronyd": "chrony",
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "openssl": "openssl",
    "ping": "iputils-ping",
}
EDGE = Path(__file__).resolve().parents[2]
SITES = (
    "weather.example", "news.example", "video.example", "mail.example", "shop.example", "updates.example",
    "telemetry.example", "cdn.example", "photos.example", "radio.example",
)  # fmt: skip
MAINTAINER = "maintainer"
MQTT_USERS = ("fire-alarm", "room-light", "dashboard", "phone")


def credentials(network: Network) -> dict[str, str]:
    """The home's users and passwords, drawn from the plan's seed; no list of common passwords has them."""
    draw = network.plan.random("credentials")
    return {user: f"{draw.getrandbits(48):012x}" for user in (*MQTT_USERS, "resident", MAINTAINER)}


def site_address(site: str) -> str:
    """The address of a web site outside."""
    return str(OUTSIDE_NETWORK[10 + SITES.index(site)])


def start_servers(network: Network) -> None:
    """Start the daemons, the dashboard and the world outside; return when each of them listens.

    Raises:
        InputError: one of them does not come up; the sentence says where its messages are.
    """
    start_mosquitto(network)
    start_dnsmasq(network)
    start_chronyd(network)
    start_sshd(network)
    start_dashboard(network)
    start_outside(network)
    ports = {"tcp": (22, 53, 80, 1883), "udp": (53, 123)}
    wait_until_listening(network, "pi-server", ports)
    wait_until_listening(network, "router", {"tcp": (80, 443)})


def start(network: Network, host: str, name: str, argv: list[str]) -> subprocess.Popen:
    """Start a daemon or a Python module of the testbed; what it says goes to a file in the tmpfs."""
    with open(FOLDER / f"{name}.log", "ab") as log:
        environment = {**os.environ, "PYTHONPATH": str(EDGE), "PYTHONUNBUFFERED": "1"}
        return network.start(host, argv, stdout=log, stderr=log, env=environment, cwd=FOLDER)


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of the testbed."""
    return [sys.executable, "-m", module, *arguments]


def start_mosquitto(network: Network) -> None:
    """The MQTT broker: a user for each device, who may write below its own topic."""
    passwords = FOLDER / "mosquitto.passwords"
    passwords.touch(0o600)
    for user in MQTT_USERS:
        command("mosquitto_passwd", "-b", str(passwords), user, credentials(network)[user])
    devices = "".join(
        f"user {name}\ntopic readwrite home/{name}/#\ntopic read home/room-light/motion\n"
        for name in ("fire-alarm", "room-light")
    )
    people = "".join(f"user {name}\ntopic readwrite home/#\n" for name in ("dashboard", "phone"))
    (FOLDER / "mosquitto.acl").write_text(devices + people)
    config = FOLDER / "mosquitto.conf"
    config.write_text(
        f"listener 1883 0.0.0.0\nallow_anonymous false\npassword_file {passwords}\n"
        f"acl_file {FOLDER / 'mosquitto.acl'}\npersistence false\nuser root\nlog_dest stderr\nlog_type error\n"
    )
    start(network, "pi-server", "mosquitto", ["mosquitto", "-c", str(config)])


def start_dnsmasq(network: Network) -> None:
    """The home's names and those of a few sites outside; NXDOMAIN for anything else."""
    lines = [f"host-record={host.name},{host.name}.home,{host.address}" for host in network.hosts.values()]
    lines += [f"host-record={site},{site_address(site)}" for site in SITES]
    lines += [
        "cname=broker.home,pi-server.home",
        "cname=time.home,pi-server.home",
        "cname=dashboard.home,pi-server.home",
    ]
    config = FOLDER / "dnsmasq.conf"
    config.write_text(
        "no-resolv\nno-hosts\nno-daemon\nbind-interfaces\ninterface=eth0\nuser=root\ngroup=root\npid-file=\n"
        "address=/#/\nlocal-ttl=20\ncache-size=0\n" + "\n".join(lines) + "\n"
    )
    start(network, "pi-server", "dnsmasq", ["dnsmasq", f"--conf-file={config}"])


def start_chronyd(network: Network) -> None:
    """The home's time, served from this machine's clock, which is left alone (-x)."""
    config = FOLDER / "chrony.conf"
    config.write_text(
        f"local stratum 8\nallow {network.plan.subnet}\nport 123\ncmdport 0\nbindcmdaddress /\n"
        f"pidfile {FOLDER / 'chronyd.pid'}\n"
    )
    start(network, "pi-server", "chronyd", ["chronyd", "-x", "-d", "-u", "root", "-f", str(config)])


def start_sshd(network: Network, host: str = "pi-server", password: str = "") -> None:
    """Remote login with a throw-away host key, for one user who exists in this mount namespace alone."""
    add_user(password or credentials(network)[MAINTAINER])
    key = FOLDER / "ssh_host_key"
    command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    config = FOLDER / "sshd_config"
    config.write_text(
        f"Port 22\nHostKey {key}\nPidFile none\nUsePAM no\nPasswordAuthentication yes\nPermitRootLogin no\n"
        f"AllowUsers {MAINTAINER}\nUseDNS no\nMaxStartups 60:30:120\nLoginGraceTime 30\nMaxAuthTries 6\n"
        "AllowTcpForwarding no\nX11Forwarding no\nPermitTunnel no\n"
    )
    start(network, host, "sshd", ["/usr/sbin/sshd", "-D", "-e", "-f", str(config)])


def add_user(password: str) -> None:
    """Add the maintainer to private copies of passwd and shadow, mounted over the machine's own in here."""
    # on standard input, because a command line can be read by others
    hashed = subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"], input=password, capture_output=True, text=True, check=True
    ).stdout.strip()
    home = FOLDER / "maintainer"
    home.mkdir()
    os.chown(home, 65534, 65534)
    lines = {
        "passwd": f"{MAINTAINER}:x:65534:65534::{home}:/bin/sh",
        "shadow": f"{MAINTAINER}:{hashed}:19000:0:99999:7:::",
    }
    for name, line in lines.items():
        copy = FOLDER / name
        copy.write_text(Path("/etc", name).read_text() + line + "\n")
        copy.chmod(0o644 if name == "passwd" else 0o600)
        command("mount", "--bind", str(copy), f"/etc/{name}")


def start_dashboard(network: Network) -> None:
    """The dashboard on port 80, and the firmware it hands out."""
    secrets = credentials(network)
    image = FOLDER / "esp8266.bin"
    image.write_bytes(network.plan.random("firmware image").randbytes(610_304))  # the size of MicroPython's
    updates = {
        f"/firmware/{name}/main.py": str(EDGE / "testbed" / "firmware" / name.replace("-", "_") / "main.py")
        for name in ("fire-alarm", "room-light")
    }
    config = FOLDER / "dashboard.json"
    config.touch(0o600)
    config.write_text(
        json.dumps({
            "port": 80, "broker": "127.0.0.1", "user": "dashboard", "password": secrets["dashboard"],
            "login": {"resident": secrets["resident"]}, "firmware": {"/firmware/esp8266.bin": str(image), **updates},
        })
    )  # fmt: skip
    start(network, "pi-server", "dashboard", python("testbed.services.dashboard", str(config)))


def start_outside(network: Network) -> None:
    """Web sites on every address outside, with one self-signed certificate."""
    pem = certificate("outside", "example", "rsa:2048")
    start(network, "router", "outside", python("testbed.services.outside", "0.0.0.0", str(pem)))


def certificate(name: str, subject: str, *key: str) -> Path:
    """A self-signed certificate with its key, of the kind that openssl's -newkey takes, in one PEM file."""
    pem, crt = FOLDER / f"{name}.pem", FOLDER / f"{name}.crt"
    new = ["openssl", "req", "-x509", "-newkey", *key, "-nodes", "-days", "2", "-subj", f"/CN={subject}"]
    command(*new, "-keyout", str(pem), "-out", str(crt))
    with pem.open("ab") as file:
        file.write(crt.read_bytes())
    return pem


def wait_until_listening(network: Network, host: str, ports: dict[str, tuple[int, ...]], seconds: float = 30) -> None:
    """Wait until every port of a host is open.

    Raises:
        InputError: one is not, after so many seconds.
    """
    end = time.monotonic() + seconds
    wanted = {(protocol, port) for protocol, numbers in ports.items() for port in numbers}
    while missing := wanted - open_ports(network, host):
        if time.monotonic() > end:
            raise InputError(
                f"expected {host} to listen on {sorted(missing)} after {seconds:g} s, found it does not: {messages()}"
            )
        time.sleep(0.1)


def messages() -> str:
    """The last lines of what the daemons said, on one line."""
    logs = sorted(FOLDER.glob("*.log"))
    return " | ".join(f"{log.stem}: {log.read_text(errors='replace')[-200:].strip()!r}" for log in logs)


def open_ports(network: Network, host: str) -> set[tuple[str, int]]:
    """The ports of a host that are listened on: TCP sockets in state LISTEN (0A), UDP sockets without a peer (07)."""
    found = set()
    for protocol, listening in (("tcp", "0A"), ("udp", "07")):
        for family in ("", "6"):
            table = network.run(host, ["cat", f"/proc/net/{protocol}{family}"], 10).stdout
            rows = [line.split() for line in table.splitlines()[1:]]
            found |= {(protocol, int(row[1].rpartition(":")[2], 16)) for row in rows if row[3] == listening}
    return found
