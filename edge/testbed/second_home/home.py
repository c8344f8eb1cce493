"""The second home: what runs where, started and waited for."""

import json
from pathlib import Path

from testbed.home import Home
from testbed.network import FOLDER, Network, command
from testbed.second_home import world
from testbed.services.servers import certificate, python, start, start_sshd, wait_until_listening

PROGRAMS = {
    "mosquitto": "mosquitto", "mosquitto_passwd": "mosquitto", "dnsmasq": "dnsmasq-base", "sshd": "openssh-server",
    "ssh": "openssh-client", "ssh-keygen": "openssh-client", "openssl": "openssl", "ping": "iputils-ping",
    "coap-server-notls": "libcoap3-bin", "coap-client-notls": "libcoap3-bin",
}  # fmt: skip
CURVE = ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")  # as most sites and devices have by now
CERTIFICATES = {"outside": "*.example", "inside": "*.home"}
COAP_SERVERS = ("hub", "air-sensor", "water-meter")
LIVING = tuple(host for host in world.VENDORS if host not in ("router", "attacker"))
LISTENING = {
    "router": {"tcp": (53, 80, 443, 853, 4444, 5000, 8883), "udp": (53, 123, 1900, 3074, 3478, 5004)},
    "nas": {"tcp": (22, 443, 8883), "udp": (5353,)},
    "camera": {"tcp": (23, 80, 554, 2323), "udp": (3702,)},
    "speaker": {"tcp": (8009,), "udp": (1900, 5353)},
    "plug": {"tcp": (6668,)},
    **{host: {"udp": (5683,)} for host in COAP_SERVERS},
}


def credentials(network: Network) -> dict[str, str]:
    """The home's users and passwords; no list of common passwords has them."""
    draw = network.plan.random("second credentials")
    return {user: f"{draw.getrandbits(48):012x}" for user in (*world.MQTT_USERS, "resident", world.MAINTAINER)}


def start_home(network: Network) -> Home:
    """Start the servers, wait for them, then everyone's life.

    Raises:
        InputError: a server does not come up.
    """
    secrets = FOLDER / "secrets.json"
    secrets.touch(0o600)
    secrets.write_text(json.dumps(credentials(network)))
    start_servers(network)
    actors = {}
    for host in LIVING:
        module = python("testbed.second_home.life.lives", host, str(network.plan.seed), str(secrets))
        actors[host] = start(network, host, f"life-{host}", module)
    return Home(network, actors)


def start_servers(network: Network) -> None:
    """Start every daemon and device service; return when each of them listens.

    Raises:
        InputError: one of them does not come up.
    """
    outside, inside = (certificate(name, subject, *CURVE) for name, subject in CERTIFICATES.items())
    start_dnsmasq(network)
    start(network, "router", "outside", python("testbed.second_home.services.outside", str(outside)))
    for device in ("router", "nas", "speaker", "plug"):
        start(network, device, f"gadgets-{device}", python("testbed.second_home.services.gadgets", device, str(inside)))
    start_camera(network)
    start_mosquitto(network, "nas", inside, "::")
    start_mosquitto(network, "router", outside, world.address(world.BROKER))
    start_sshd(network, "nas", credentials(network)[world.MAINTAINER])
    for host in COAP_SERVERS:
        start(network, host, f"coap-{host}", ["coap-server-notls", "-d", "8", "-v", "3"])
    for host, ports in LISTENING.items():
        wait_until_listening(network, host, ports)


def start_dnsmasq(network: Network) -> None:
    """The home's names and those outside, over IPv4 and IPv6; the attacker's zone is asked of its own server."""
    lines = []
    for name in (*(f"{host}.home" for host in network.hosts), *world.SITES, *world.SERVICES):
        lines.append(f"host-record={name},{','.join(world.addresses(name, network))}")
    lines.append(f"server=/{world.TUNNEL}/{world.LAYOUT.server('c2-names')}")
    config = FOLDER / "dnsmasq.conf"
    config.write_text(
        "no-resolv\nno-hosts\nno-daemon\nbind-interfaces\ninterface=eth0\nuser=root\ngroup=root\npid-file=\n"
        "address=/#/\nlocal-ttl=20\ncache-size=0\n" + "\n".join(lines) + "\n"
    )
    start(network, "router", "dnsmasq", ["dnsmasq", f"--conf-file={config}"])


def start_mosquitto(network: Network, host: str, pem: Path, bound: str) -> None:
    """A broker over TLS: the home's on the NAS, or the hub maker's outside."""
    passwords = FOLDER / f"mosquitto-{host}.passwords"
    passwords.touch(0o600)
    for user in world.MQTT_USERS:
        command("mosquitto_passwd", "-b", str(passwords), user, credentials(network)[user])
    config = FOLDER / f"mosquitto-{host}.conf"
    config.write_text(
        f"listener 8883 {bound}\ncertfile {pem.with_suffix('.crt')}\nkeyfile {pem}\nallow_anonymous false\n"
        f"password_file {passwords}\npersistence false\nuser root\nlog_dest stderr\nlog_type error\n"
    )
    start(network, host, f"mosquitto-{host}", ["mosquitto", "-c", str(config)])


def start_camera(network: Network) -> None:
    """The camera, whose page and stream have a good password."""
    config = FOLDER / "camera.json"
    config.touch(0o600)
    config.write_text(json.dumps({"login": {"resident": credentials(network)["resident"]}}))
    start(network, "camera", "camera", python("testbed.second_home.services.camera", str(config)))
