"""What made-up conversations look like: a small table of kinds of traffic, and which kinds each class is made of.

The numbers are crude on purpose: a plausible size for each kind, so that classes differ and a network has something to
learn. They were fitted to no dataset.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

SYN, SYN_RESET, WHOLE, CUT = 2, 22, 27, 31
"""TCP flags as the OR over a flow's packets: a lone SYN, one answered by a reset, a whole conversation, a reset one."""

ANY_PORT = tuple(range(1, 9000, 7))
WINDOWS = (8192, 29200, 64240)  # initial TCP windows, in bytes
HOSTS = tuple(f"192.168.1.{number}" for number in range(2, 62))


@dataclass(frozen=True)
class Traffic:
    """One kind of conversation. Sizes are medians; a flow's own are log-normal around them."""

    ports: tuple[int, ...]  # of the destination, equally likely
    l7: tuple[float, ...] = (0.0,)  # nDPI ids, equally likely
    protocol: int = 6  # IANA
    flags: int = WHOLE  # 0 unless TCP
    packets: tuple[float, float] = (6, 5)  # from the source, from the destination
    payload: tuple[float, float] = (100, 300)  # bytes in each packet
    duration: float = 300.0  # ms
    spread: float = 0.5  # sigma of the log-normal factors; 0: every flow of this kind is equally large


_UDP = {"protocol": 17, "flags": 0}
TRAFFIC = {
    "lookup": Traffic((53,), (0.0, 5.0, 5.126, 5.212), **_UDP, packets=(1, 1), payload=(42, 110), duration=12),
    "browsing": Traffic((80, 443, 8080), (7.0, 7.178, 91.0, 91.126), packets=(9, 9), payload=(90, 420), duration=900),
    "sensor": Traffic((1883, 8883), (222.0,), packets=(12, 10), payload=(25, 6), duration=20_000),
    "stream": Traffic((554, 9020), (50.0, 0.0), **_UDP, packets=(60, 3), payload=(900, 30), duration=8_000),
    "port scan": Traffic(ANY_PORT, flags=SYN_RESET, packets=(1, 1), payload=(0, 0), duration=1, spread=0),
    "unanswered scan": Traffic((23, 2323, 8081), (77.0, 0.0), flags=SYN, packets=(2, 0), payload=(0, 0), spread=0.2),
    "service scan": Traffic((22, 80, 1883, 8080), (92.0, 7.0), flags=CUT, packets=(4, 4), payload=(70, 110)),
    "UDP scan": Traffic(ANY_PORT, **_UDP, packets=(1, 0), payload=(8, 0), duration=1, spread=0.1),
    "SYN flood": Traffic((80,), (7.0,), flags=SYN, packets=(2, 0), payload=(100, 0), duration=1_500, spread=0.2),
    "UDP flood": Traffic((80,), (188.0,), **_UDP, packets=(2, 0), payload=(0, 0), duration=1_000, spread=0.2),
    "long UDP flood": Traffic((80,), **_UDP, packets=(5_000, 0), payload=(32, 0), duration=60_000),
    "HTTP flood": Traffic((80, 8080), (7.0, 7.178), packets=(5, 4), payload=(60, 210), duration=2_500, spread=0.2),
    "slow HTTP": Traffic((80,), (7.0,), flags=CUT, packets=(15, 3), payload=(16, 0), duration=60_000),
    "SSH passwords": Traffic((22,), (92.0,), packets=(22, 22), payload=(88, 120), duration=2_500, spread=0.1),
    "FTP passwords": Traffic((21,), (1.0,), packets=(12, 13), payload=(6, 20), duration=180, spread=0.1),
    "web passwords": Traffic((80,), (7.0,), packets=(6, 6), payload=(70, 165), duration=180, spread=0.1),
    "MQTT passwords": Traffic((1883,), (222.0,), packets=(5, 4), payload=(8, 1), duration=120, spread=0.1),
    "telnet passwords": Traffic((23, 2323), (77.0,), packets=(13, 12), payload=(5, 14), duration=1_800, spread=0.3),
    "query injection": Traffic((80, 8080), (7.0,), packets=(6, 5), payload=(130, 380), duration=120, spread=0.2),
    "script injection": Traffic((80,), (7.0,), packets=(10, 9), payload=(140, 480), duration=250, spread=0.2),
    "exploit": Traffic((25, 80, 143, 445), (3.0, 7.0, 41.0), flags=19, packets=(12, 9), payload=(120, 50)),
    "fuzzing": Traffic(ANY_PORT, flags=19, packets=(20, 18), payload=(250, 250), spread=1.2),
    "shell code": Traffic(ANY_PORT, **_UDP, packets=(2, 0), payload=(260, 0), duration=5),
    "many lookups": Traffic((53,), (5.0,), **_UDP, packets=(2, 0), payload=(30, 0), duration=1, spread=0.1),
    "remote shell": Traffic((4444, 5555), flags=24, packets=(14, 12), payload=(60, 35), duration=20_000, spread=0.9),
    "upload": Traffic((22, 4444), flags=24, packets=(300, 200), payload=(900, 1), duration=20_000, spread=1.0),
    "relay": Traffic((53, 80, 443), (5.0, 7.0, 91.0), flags=24, packets=(24, 2), payload=(75, 260), duration=5_000),
    "beacon": Traffic((6667, 8080), (131.7, 0.0), packets=(3, 3), payload=(10, 10), duration=25_000, spread=0.2),
    "file share": Traffic((139, 445), (41.0,), flags=24, packets=(60, 55), payload=(500, 360), duration=3_000),
}
"""name -> Traffic."""

_EVERYDAY = ("lookup", "browsing", "sensor", "stream")
CLASSES = {
    "benign": _EVERYDAY, "normal": _EVERYDAY,
    "reconnaissance": ("port scan", "service scan"), "scanning": ("port scan", "service scan"),
    "scan": ("service scan",), "scan_a": ("port scan",), "scan_su": ("UDP scan",), "analysis": ("service scan",),
    "partofahorizontalportscan": ("unanswered scan",),
    "dos": ("SYN flood",), "ddos": ("UDP flood", "HTTP flood"), "mirai": ("UDP flood", "telnet passwords"),
    "dos attacks-hulk": ("HTTP flood",), "dos attacks-goldeneye": ("browsing", "HTTP flood"),
    "dos attacks-slowhttptest": ("slow HTTP",), "dos attacks-slowloris": ("slow HTTP",),
    "ddos attacks-loic-http": ("HTTP flood",), "ddos attack-hoic": ("web passwords", "HTTP flood"),
    "ddos attack-loic-udp": ("long UDP flood",),
    "password": ("web passwords", "SSH passwords", "FTP passwords"), "sparta": ("SSH passwords",),
    "ssh-bruteforce": ("SSH passwords",), "ftp-bruteforce": ("FTP passwords",),
    "brute force -web": ("web passwords",), "mqtt_bruteforce": ("MQTT passwords",), "okiru": ("telnet passwords",),
    "injection": ("query injection",), "sql injection": ("query injection",),
    "xss": ("script injection",), "brute force -xss": ("script injection",),
    "exploits": ("exploit",), "worms": ("exploit",), "fuzzers": ("fuzzing",), "generic": ("many lookups", "exploit"),
    "shellcode": ("shell code",), "backdoor": ("remote shell",), "torii": ("remote shell",),
    "infilteration": ("port scan", "lookup"), "theft": ("upload",), "ransomware": ("file share",),
    "mitm": ("relay",), "mitm arp spoofing": ("relay",),
    "bot": ("beacon",), "c&c": ("beacon",), "heartbeat": ("sensor", "beacon"),
}  # fmt: skip
"""Class of any dataset, in lower case -> the kinds of traffic it is made of, in equal parts."""


def draw(label: str, rows: int, rng: np.random.Generator) -> pd.DataFrame:
    """`rows` conversations of one class: ports, protocol, flags, packets, bytes of payload, microseconds, addresses."""
    kinds = CLASSES[label.casefold()]
    chosen = rng.integers(0, len(kinds), rows)
    frames = [_draw(TRAFFIC[kind], int((chosen == number).sum()), rng) for number, kind in enumerate(kinds)]
    return pd.concat(frames, ignore_index=True)


def _draw(kind: Traffic, rows: int, rng: np.random.Generator) -> pd.DataFrame:
    flow = {"protocol": kind.protocol, "flags": kind.flags}
    for way, packets, payload in zip(("fwd", "bwd"), kind.packets, kind.payload, strict=True):
        count = _around(packets, kind.spread, rows, rng).clip(min=min(1, packets))
        flow[f"{way}_packets"] = count
        flow[f"{way}_bytes"] = _around(count * payload, kind.spread / 2, rows, rng)
    return pd.DataFrame(flow | {
        "dst_port": rng.choice(kind.ports, rows), "src_port": rng.integers(1024, 65536, rows),
        "l7": rng.choice(kind.l7, rows), "window": rng.choice(WINDOWS, rows) if kind.protocol == 6 else -1,
        "microseconds": 1 + _around(1000 * kind.duration, 1.0, rows, rng),
        "source": rng.choice(HOSTS, rows), "destination": rng.choice(HOSTS, rows),
        "chance": rng.integers(0, 1 << 16, rows),
    }, index=range(rows))  # fmt: skip


def _around(median: float | np.ndarray, spread: float, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Whole numbers (rows,), log-normal around `median`."""
    return np.rint(median * np.exp(spread * rng.standard_normal(rows))).astype(int)
