"""Traffic archetypes: what one kind of conversation looks like, for NetFlow and CICFlowMeter alike.

An archetype is a row of a table: ports, protocol, nDPI id, TCP flags, packets, payload and duration. So a port
scan is defined once and read by both renderings. Numbers follow the version-2 samples the design page lists
(a hping3 SYN flood of 140-byte packets, 28-byte UDP datagrams that nDPI takes for QUIC, 44-byte nmap probes
answered by a 40-byte RST) and, where no sample exists, the tool's usual behaviour.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

Ports = tuple[tuple[int, int, float], ...]  # (first, last, weight)
Flows = dict[str, np.ndarray]  # one array per property of a conversation, all of equal length

MTU = 1500  # bytes of an IP packet
SYN, SYN_ACK, RST_ACK, OPEN, WHOLE, CUT, ECN = 2, 18, 20, 24, 27, 31, 219
"""TCP flags as the OR over a direction's packets: ... 24 no handshake seen, 27 whole, 31 whole with a reset."""

GUESSED_L7 = {
    21: 1, 22: 92, 23: 77, 25: 3, 53: 5, 67: 18, 80: 7, 110: 2, 123: 9, 137: 10, 138: 10.16, 139: 10, 143: 4, 443: 91,
    445: 41, 554: 50, 1433: 114, 1883: 222, 1900: 12, 3306: 20, 3389: 88, 5353: 8, 8080: 7, 8883: 222.178,
}  # fmt: skip
"""Port -> nDPI id when there is no payload to look at; 0 for any other port."""

EPHEMERAL: Ports = ((32768, 60999, 0.5), (49152, 65535, 0.4), (1024, 32767, 0.1))
ANY_HIGH: Ports = ((1024, 65535, 1),)
SCANNED: Ports = ((1, 1024, 0.55), (1025, 65535, 0.45))
NO_PORT: Ports = ((0, 0, 1),)
OS_WINDOWS = (8192, 29200, 64240, 65535, 5840, 26883, 14600, 1024)


class Shape(NamedTuple):
    """Packets, payload bytes and OR of TCP flags of each direction; `weight` among the archetype's shapes."""

    weight: float
    fwd_pkts: int
    fwd_payload: int
    bwd_pkts: int = 0
    bwd_payload: int = 0
    fwd_flags: int = 0
    bwd_flags: int = 0


@dataclass(frozen=True)
class Archetype:
    """One kind of conversation.

    `l7`: nDPI ids, equally likely (repeat one to favour it), None to guess from the port. `headers`: IP and transport
    header bytes per packet, each way. `spread`: sigma of the log-normal factor on payloads and on packets.
    `duration`: median in ms and sigma. `roles`: who talks to whom. `one_source`: one host, few targets.
    """

    protocol: int
    ports: Ports
    shapes: tuple[Shape, ...]
    l7: tuple[float, ...] | None = None
    headers: tuple[int, int] = (40, 40)
    spread: tuple[float, float] = (0.0, 0.0)
    duration: tuple[float, float] = (100.0, 1.2)
    source_ports: Ports = EPHEMERAL
    windows: tuple[int, ...] = OS_WINDOWS
    roles: tuple[str, str] = ("client", "server")
    one_source: bool = False


def _one(port: int) -> Ports:
    return ((port, port, 1),)


def _ports(*numbers: int) -> Ports:
    return tuple((port, port, 1) for port in numbers)


S = Shape
_ATTACK = ("attacker", "victim")
_HTTP_L7 = (7.0, 7.0, 7.0, 7.0, 7.178, 7.126)
_TLS_L7 = (91.0, 91.126, 91.178, 91.212, 91.18, 0.0)
_DNS_L7 = (0.0, 0.0, 5.0, 5.126, 5.178, 5.119, 5.212, 5.239)

_BENIGN = {
    "dns": Archetype(
        17, _one(53), (S(8, 1, 42, 1, 110), S(1.5, 2, 84, 2, 210), S(0.5, 1, 42), S(0.5, 2, 90)), _DNS_L7, (28, 28),
        (0.25, 0.0), (12, 1.2), roles=("client", "gateway"),
    ),
    "tls": Archetype(
        6, _one(443), (S(5, 14, 1300, 13, 4800, WHOLE, WHOLE), S(2, 9, 800, 8, 3200, CUT, WHOLE),
                       S(1, 7, 600, 7, 600, OPEN, OPEN), S(1, 3, 0, 0, 0, 194), S(1, 9, 900, 9, 3700, ECN, WHOLE)),
        _TLS_L7, (42, 41), (0.8, 0.35), (4000, 1.8),
    ),
    "web": Archetype(
        6, _ports(80, 80, 80, 8080), (S(5, 5, 240, 5, 700, WHOLE, WHOLE), S(3, 6, 420, 7, 2400, CUT, WHOLE),
                                      S(1, 9, 900, 10, 6000, WHOLE, WHOLE), S(0.6, 5, 330, 5, 947, ECN, 219)),
        _HTTP_L7, (42, 42), (0.5, 0.25), (300, 1.8),
    ),
    "ntp": Archetype(17, _one(123), (S(9, 1, 48, 1, 48), S(1, 1, 48)), (9.0,), (28, 28), (0, 0), (40, 0.6),
                     ((123, 123, 0.6), *EPHEMERAL), roles=("client", "outside")),
    "mqtt": Archetype(
        6, _one(1883), (S(4, 12, 260, 9, 40, OPEN, 16), S(3, 30, 900, 30, 120, OPEN, OPEN),
                        S(2, 6, 90, 5, 16, WHOLE, WHOLE)), (222.0,), (52, 52), (0.6, 0.5), (30000, 1.2),
    ),
    "mqtt_tls": Archetype(6, _one(8883), (S(1, 20, 3500, 20, 900, OPEN, OPEN),), (222.178, 91.178), (52, 52),
                          (0.6, 0.5), (40000, 1.2), roles=("client", "outside")),
    "discovery": Archetype(
        17, _ports(1900, 5353, 15600, 137, 138), (S(5, 1, 35), S(2, 2, 416), S(2, 4, 520), S(1, 1, 60)), None, (28, 28),
        (0.2, 0.2), (900, 1.2), ((137, 138, 0.3), *EPHEMERAL), roles=("client", "multicast"),
    ),
    "dhcp": Archetype(17, _one(67), (S(1, 1, 300, 1, 300), S(1, 2, 600)), (18.0,), (28, 28), (0.02, 0),
                      (20, 1), _one(68), roles=("client", "gateway")),
    "ping": Archetype(1, NO_PORT, (S(3, 1, 28, 1, 28), S(2, 4, 224, 4, 224), S(1, 3, 84)), (0.0, 81.0), (28, 28),
                      (0.15, 0.3), (800, 1), NO_PORT),
    "rdp": Archetype(6, _one(3389), (S(3, 8, 1140, 7, 1593, 30, 26), S(1, 14, 1400, 9, 400, CUT, 27),
                                     S(1, 8, 1140, 8, 1553, 222, 26)), (0.0, 0.0, 88.0), (40, 40), (0.08, 0.12),
                     (2200, 0.8), roles=("outside", "server")),
    "smb": Archetype(6, _ports(445, 445, 139), (S(3, 3, 0, 3, 0, 22, 23), S(3, 5, 370, 4, 170, 30, 26),
                                                S(1, 24, 3200, 22, 4100, OPEN, OPEN)), (41.0, 0.0), (44, 44),
                     (0.3, 0.15), (500, 1.5)),
    "ssh": Archetype(6, _one(22), (S(3, 23, 2000, 22, 2700, WHOLE, WHOLE), S(2, 90, 5000, 80, 9000, OPEN, OPEN),
                                   S(1, 9, 900, 9, 1600, CUT, WHOLE)), (92.0,), (52, 52), (0.35, 0.25), (9000, 1.5)),
    "ftp": Archetype(6, _one(21), (S(3, 14, 110, 15, 330, WHOLE, WHOLE), S(2, 9, 60, 9, 240, OPEN, OPEN)), (1.0,),
                     (52, 52), (0.3, 0.35), (4000, 1.3)),
    "mail": Archetype(6, _ports(25, 110, 143), (S(1, 16, 1800, 14, 600, WHOLE, WHOLE),
                                                S(1, 12, 300, 12, 1600, WHOLE, WHOLE)), None, (52, 52),
                      (0.9, 0.4), (900, 1.4)),
    "bulk": Archetype(6, ((1024, 65535, 0.8), (80, 80, 0.2)), (S(1, 44, 700, 60, 60000, WHOLE, WHOLE),
                                                               S(1, 60, 50000, 40, 400, OPEN, 16)), (0.0, 7.0),
                      (52, 52), (1.2, 0.8), (1500, 1.6)),
    "rpc": Archetype(17, _ports(111, 53, 161, 514), (S(3, 2, 88, 2, 56), S(2, 1, 120)), (0.0, 5.0), (28, 28),
                     (0.3, 0.2), (5, 1.2)),
    "stream": Archetype(17, ((5004, 5010, 1), (16384, 32767, 1)), (S(1, 300, 51600, 10, 600), S(1, 60, 9000, 60, 9000)),
                        (87.0, 0.0), (28, 28), (0.7, 0.7), (30000, 1)),
    "rtsp": Archetype(6, _one(554), (S(1, 20, 900, 120, 120000, OPEN, OPEN), S(1, 8, 600, 8, 900, WHOLE, WHOLE)),
                      (50.0, 0.0), (52, 52), (0.6, 0.6), (30000, 1)),
    "quic": Archetype(17, _one(443), (S(1, 8, 3200, 10, 4300), S(1, 14, 5000, 20, 19000)), (188.126, 188.178, 188.0),
                      (28, 28), (0.5, 0.35), (900, 1.3), roles=("client", "outside")),
    "noise": Archetype(  # the background radiation that every public address sees
        6, ((23, 23, 3), (445, 445, 3), (3389, 3389, 1), (1433, 1433, 1), (22, 22, 1), (80, 80, 1), (1, 65535, 2)),
        (S(5, 1, 0, 0, 0, SYN), S(3, 1, 0, 1, 0, SYN, RST_ACK), S(1, 3, 0, 0, 0, SYN)), None, (42, 40), (0, 0),
        (3000, 1.5), ANY_HIGH, (1024, 8192, 14600, 65535), ("outside", "server"),
    ),
    "ospf": Archetype(89, NO_PORT, (S(1, 30, 1440),), (0.0,), (60, 60), (0.6, 0.5), (200000, 0.5), NO_PORT,
                      roles=("client", "multicast")),
    "dashboard": Archetype(6, _ports(80, 1880, 8080, 9080), (S(2, 6, 530, 6, 1300, WHOLE, WHOLE),
                                                             S(1, 4, 160, 3, 120, OPEN, OPEN)), (7.0, 7.0, 0.0),
                           (52, 52), (0.5, 0.3), (500, 1.5)),
}  # fmt: skip

_SCANS = {
    "scan_syn": Archetype(  # nmap -sS: one SYN of 44 bytes, a 40-byte RST back
        6, SCANNED, (S(90, 1, 0, 1, 0, SYN, RST_ACK), S(10, 1, 0, 0, 0, SYN)), None, (44, 40), (0, 0), (0.2, 1),
        ((35000, 64000, 1),), (1024, 1024, 2048, 3072), _ATTACK, True,
    ),
    "scan_connect": Archetype(  # nmap -sT or a script: the operating system's 60-byte SYN
        6, SCANNED, (S(8, 1, 0, 1, 0, SYN, RST_ACK), S(1, 2, 0, 1, 0, 6, 18), S(1, 2, 0, 0, 0, SYN)), None, (60, 40),
        (0, 0), (0.3, 1.2), windows=(29200, 64240), roles=_ATTACK, one_source=True,
    ),
    "scan_udp": Archetype(17, SCANNED, (S(7, 1, 0), S(2, 2, 0), S(1, 1, 20, 1, 60)), None, (28, 28), (0.2, 0),
                          (900, 0.8), ((35000, 64000, 1),), roles=_ATTACK, one_source=True),
    "scan_os": Archetype(  # nmap -O: probes with odd flags at one open and one closed port
        6, ((22, 22, 1), (80, 80, 2), (1883, 1883, 1), (1, 1024, 1), (30000, 45000, 1)),
        (S(3, 1, 0, 1, 0, SYN, RST_ACK), S(2, 1, 0, 1, 0, SYN, SYN_ACK), S(1, 1, 0, 1, 0, 41, RST_ACK),
         S(1, 1, 0, 0, 0, 43), S(1, 1, 0, 1, 0, 194, RST_ACK), S(1, 2, 0, 1, 0, 6, SYN_ACK)), None, (56, 40), (0, 0),
        (20, 1), ((35000, 64000, 1),), (1, 63, 4, 16, 512, 1024), _ATTACK, True,
    ),
    "scan_http": Archetype(  # probes that carry 100 bytes to the web server
        6, _one(80), (S(46, 2, 100, 1, 0, SYN, SYN_ACK), S(34, 3, 200, 1, 0, 6, SYN_ACK), S(11, 2, 200, 0, 0, SYN),
                      S(3, 4, 200, 2, 0, 6, SYN_ACK), S(2, 1, 100, 1, 0, SYN, SYN_ACK)), (7.0,), (40, 44), (0, 0),
        (900, 0.7), ANY_HIGH, (512, 1024), _ATTACK, True,
    ),
    "scan_service": Archetype(  # nmap -sV: connects and asks
        6, ((80, 80, 3), (1880, 1883, 2), (22, 22, 1), (1, 1024, 2)),
        (S(4, 5, 585, 5, 504, CUT, WHOLE), S(3, 3, 290, 3, 44, 30, 26), S(2, 4, 300, 4, 56, WHOLE, WHOLE),
         S(1, 6, 585, 5, 504, CUT, WHOLE)), None, (40, 40), (0.1, 0), (4000, 1), windows=(29200, 64240), roles=_ATTACK,
        one_source=True,
    ),
    "ping_sweep": Archetype(1, NO_PORT, (S(6, 1, 0), S(3, 1, 8, 1, 8)), (0.0, 81.0), (28, 28), (0, 0), (1, 1), NO_PORT,
                            roles=_ATTACK),
}  # fmt: skip

_FLOODS = {
    "flood_syn": Archetype(  # hping3 -S -d 100 at port 80
        6, _one(80), (S(70, 2, 200, 0, 0, SYN), S(16, 3, 300, 0, 0, SYN), S(6, 2, 200, 1, 0, SYN, RST_ACK),
                      S(4, 1, 100, 1, 0, SYN, RST_ACK), S(3, 1, 100, 0, 0, SYN), S(1, 4, 400, 0, 0, SYN)), (7.0,),
        (40, 40), (0, 0), (1500, 0.4), ANY_HIGH, (512,), ("attacker", "victim"),
    ),
    "flood_syn_bare": Archetype(  # no payload, at a camera's or a web server's port
        6, _ports(80, 554, 8899, 19604), (S(5, 1, 0, 1, 0, SYN, RST_ACK), S(4, 2, 0, 1, 0, SYN, SYN_ACK),
                                         S(3, 1, 0, 0, 0, SYN), S(1, 1, 0, 3, 0, SYN, SYN_ACK)), None, (40, 44), (0, 0),
        (30, 2), ANY_HIGH, (512, 64, 1024, 5840), _ATTACK,
    ),
    "flood_udp": Archetype(  # empty datagrams to port 80, which nDPI takes for QUIC
        17, _one(80), (S(75, 2, 0), S(14, 3, 0), S(5, 4, 0), S(3, 5, 0), S(2, 1, 0)), (188.0,), (28, 28), (0, 0),
        (1000, 0.4), ANY_HIGH, roles=_ATTACK,
    ),
    "flood_udp_long": Archetype(17, _one(80), (S(1, 5700, 182400),), (0.0,), (28, 28), (0.3, 0.3), (60000, 0.5),
                                ANY_HIGH, roles=_ATTACK),
    "flood_udp_mirai": Archetype(17, ((1, 65535, 3), (80, 80, 1), (53, 53, 0.3)),
                                 (S(4, 2, 1024), S(2, 1, 512, 1, 36), S(1, 12, 6144), S(1, 2, 2800)), (0.0,), (28, 28),
                                 (0.1, 0.2), (40, 2), ANY_HIGH, roles=_ATTACK),
    "flood_ack": Archetype(6, ((1, 65535, 2), (80, 80, 1)), (S(3, 1, 512, 1, 0, 16, 4), S(2, 2, 1024, 0, 0, 16),
                                                              S(1, 2, 0, 1, 0, 16, 4), S(1, 1, 1400, 1, 0, 16, 4)),
                           None, (40, 40), (0.1, 0), (30, 2), ANY_HIGH, (512, 5840, 29200, 64240), _ATTACK),
    "flood_http": Archetype(  # many small requests that a busy web server also sees
        6, _ports(80, 80, 80, 8080), (S(4, 5, 300, 5, 900, WHOLE, WHOLE), S(3, 4, 180, 3, 0, SYN, SYN_ACK),
                                      S(2, 6, 360, 4, 1100, CUT, WHOLE), S(1, 2, 0, 1, 0, SYN, SYN_ACK)),
        _HTTP_L7, (52, 56), (0.3, 0.1), (2500, 1.2), roles=_ATTACK,
    ),
    "flood_http_handshake": Archetype(  # 216 bytes out, 180 back: the connections that never get to ask
        6, _one(80), (S(7, 4, 0, 3, 0, SYN_ACK, SYN_ACK), S(2, 3, 0, 2, 0, SYN_ACK, SYN_ACK), S(1, 2, 0, 1, 0, 2, 18)),
        (7.0,), (54, 60), (0, 0), (8500, 0.3), windows=(29200, 64240), roles=_ATTACK,
    ),
    "loic_http": Archetype(6, _one(80), (S(12, 5, 32, 4, 976, 223, 219), S(1, 4, 32, 4, 976, ECN, 219),
                                         S(1, 1, 0, 0, 0, 20)), (7.0, 7.0, 7.0, 7.178), (40, 40), (0.05, 0.05),
                           (60, 1.2), roles=_ATTACK),
    "hoic": Archetype(6, _one(80), (S(1, 5, 305, 5, 947, ECN, 219),), (7.0, 7.0, 7.0, 7.178), (40, 40), (0.07, 0.04),
                      (20, 1), roles=_ATTACK),
    "hulk": Archetype(6, _one(80), (S(4, 25, 1700, 24, 4800, WHOLE, WHOLE), S(3, 6, 350, 5, 920, WHOLE, WHOLE),
                                    S(1, 7, 700, 4, 920, CUT, WHOLE), S(0.3, 1, 0, 0, 0, SYN)), (7.0,), (52, 50),
                      (0.2, 0.12), (250, 0.8), roles=_ATTACK),
    "goldeneye": Archetype(6, _one(80), (S(3, 11, 920, 7, 1800, CUT, 26), S(1, 10, 900, 6, 1650, 30, 26)), (7.0,),
                           (52, 52), (0.12, 0.1), (6000, 0.8), roles=_ATTACK),
    "slow_http": Archetype(  # slowloris: a header line every few seconds, almost nothing back
        6, _one(80), (S(5, 15, 2400, 3, 0, 30, 18), S(3, 3, 0, 0, 0, SYN), S(2, 9, 300, 4, 330, CUT, WHOLE)), (7.0,),
        (52, 54), (0.25, 0.15), (60000, 0.6), roles=_ATTACK,
    ),
    "slow_body": Archetype(6, _one(21), (S(8, 7, 0, 7, 0, SYN, RST_ACK), S(2, 8, 0, 8, 0, SYN, RST_ACK)),
                           (1.178, 1.178, 1.0), (60, 40), (0, 0.1), (90, 0.6), roles=_ATTACK),
}  # fmt: skip

_INTRUSIONS = {
    "brute_ssh": Archetype(6, _one(22), (S(8, 23, 1960, 22, 2640, WHOLE, WHOLE), S(1, 160, 13500, 155, 18600, 27, 27),
                                         S(1, 3, 30, 3, 40, 30, 26)), (92.0,), (52, 52), (0.06, 0.06), (2500, 0.6),
                           windows=(26883, 29200, 64240), roles=_ATTACK),
    "brute_ftp": Archetype(6, _one(21), (S(5, 13, 0, 13, 0, SYN, RST_ACK), S(3, 14, 0, 14, 0, SYN, RST_ACK),
                                         S(2, 12, 70, 13, 260, WHOLE, WHOLE)), (1.0,), (60, 40), (0.15, 0.08),
                           (180, 0.6), roles=_ATTACK),
    "brute_telnet": Archetype(6, _ports(23, 23, 2323), (S(3, 14, 60, 12, 160, WHOLE, WHOLE), S(3, 1, 0, 1, 0, 2, 20),
                                                        S(3, 2, 0, 0, 0, SYN), S(1, 6, 24, 6, 70, CUT, WHOLE)),
                              (77.0, 77.0, 0.0), (44, 44), (0.3, 0.25), (1800, 1.2), ANY_HIGH, roles=_ATTACK),
    "brute_http": Archetype(6, _one(80), (S(5, 6, 420, 6, 1000, WHOLE, WHOLE), S(2, 5, 330, 5, 947, ECN, 219),
                                          S(1, 80, 15600, 78, 42000, OPEN, OPEN)), (7.0,), (50, 50), (0.1, 0.08),
                            (180, 0.8), windows=(29200,), roles=_ATTACK),
    "brute_mqtt": Archetype(6, _one(1883), (S(6, 6, 42, 4, 4, WHOLE, WHOLE), S(2, 5, 38, 4, 4, CUT, WHOLE),
                                            S(1, 3, 0, 2, 0, 19, 18)), (222.0,), (52, 52), (0.15, 0.1), (120, 1),
                            roles=_ATTACK),
    "web_sqli": Archetype(6, _ports(80, 80, 80, 8080), (S(5, 6, 720, 5, 1900, WHOLE, WHOLE),
                                                         S(2, 5, 480, 4, 700, CUT, WHOLE),
                                                         S(1, 3, 160, 2, 0, 26, SYN_ACK)), (7.0,), (52, 52),
                          (0.15, 0.1), (120, 1.2), windows=(26883, 64240), roles=_ATTACK),
    "web_xss": Archetype(6, _one(80), (S(5, 9, 1250, 8, 3900, WHOLE, WHOLE), S(2, 30, 5200, 27, 17000, OPEN, OPEN),
                                       S(1, 4, 300, 3, 0, 30, SYN_ACK)), (7.0,), (50, 50), (0.12, 0.08), (250, 1.2),
                         windows=(64240,), roles=_ATTACK),
    "relay_web": Archetype(6, _ports(80, 443, 1883), (S(3, 24, 1800, 10, 2600, WHOLE, WHOLE), S(1, 8, 600, 0, 0, OPEN),
                                                      S(2, 6, 400, 2, 0, 24, 16)), None, (52, 52), (0.8, 0.4),
                           (5000, 1.6)),
    "relay_dns": Archetype(17, _one(53), (S(3, 2, 84, 2, 220), S(1, 2, 84, 1, 110), S(1, 2, 80)), _DNS_L7, (28, 28),
                           (0.25, 0), (15, 1.2), roles=("client", "gateway")),
    "relay_camera": Archetype(17, ((9020, 9020, 2), (10000, 10200, 1), (49152, 65535, 1)),
                              (S(2, 30, 31000, 2, 40), S(1, 2, 64, 1, 32)), (0.0,), (28, 28), (0.8, 0.7), (8000, 1.5)),
    "shell": Archetype(6, _ports(4444, 4444, 5555, 49160), (S(3, 14, 800, 12, 400, OPEN, OPEN),
                                                           S(2, 4, 64, 3, 0, OPEN, 16), S(1, 2, 0, 1, 0, SYN, RST_ACK)),
                       (0.0,), (52, 52), (0.9, 0.5), (20000, 1.5), roles=("victim", "attacker")),
    "exfiltration": Archetype(6, _ports(4444, 49160, 22, 4433), (S(2, 900, 900000, 700, 400, OPEN, 16),
                                                                S(2, 14, 700, 15, 2500, WHOLE, WHOLE),
                                                                S(2, 1, 0, 1, 0, SYN, RST_ACK),
                                                                S(1, 3, 30, 3, 40, 30, 26)), None, (56, 40),
                              (1.3, 0.8), (20000, 1.5), roles=("victim", "attacker")),
    "beacon": Archetype(6, _one(8080), (S(7, 5, 338, 5, 141, ECN, 219), S(1, 10, 676, 10, 282, ECN, 219)),
                        (131.7, 131.7, 7.0), (40, 40), (0.02, 0.02), (10, 0.8), roles=("victim", "attacker")),
    "beacon_iot": Archetype(6, ((6667, 6667, 2), (23, 23, 1), (48101, 48101, 1), (80, 80, 1), (1024, 65535, 0.5)),
                            (S(3, 3, 0, 0, 0, SYN), S(2, 6, 120, 5, 90, OPEN, OPEN), S(1, 2, 20, 2, 20, OPEN, OPEN)),
                            None, (52, 52), (0.5, 0.3), (25000, 1), roles=("victim", "attacker")),
    "heartbeat": Archetype(6, ((6667, 6667, 2), (8081, 8081, 1), (80, 80, 0.5)), (S(1, 2, 12, 2, 12, OPEN, OPEN),
                                                                  S(1, 4, 30, 3, 20, OPEN, 16)), (0.0,), (52, 52),
                           (0.3, 0.2), (60000, 0.5), roles=("victim", "attacker")),
    "encrypt_share": Archetype(6, _ports(445, 445, 139), (S(2, 60, 30000, 55, 20000, OPEN, OPEN),
                                                          S(2, 3, 0, 0, 0, 2), S(1, 12, 1900, 10, 1200, WHOLE, WHOLE)),
                               (41.0, 0.0), (44, 44), (0.9, 0.5), (3000, 1.3), roles=_ATTACK),
    "exploit": Archetype(6, ((80, 80, 3), (445, 445, 2), (25, 25, 1), (21, 21, 1), (143, 143, 1), (1, 1024, 1)),
                         (S(5, 10, 740, 8, 300, 19, 19), S(3, 12, 1500, 10, 700, WHOLE, WHOLE),
                          S(1, 24, 14000, 12, 500, WHOLE, WHOLE)), None, (42, 42), (0.9, 0.4), (700, 1.2),
                         windows=(16383, 8192, 65535), roles=_ATTACK),
    "fuzz": Archetype(6, ((1, 1024, 2), (80, 80, 1), (445, 445, 2), (179, 179, 1)),
                      (S(4, 12, 500, 10, 400, 19, 19), S(2, 22, 8400, 20, 8400, 19, 19), S(1, 3, 900, 1, 0, 26, 4)),
                      (0.0, 7.0), (40, 40), (1.4, 0.5), (600, 1.5), windows=(16383, 8192), roles=_ATTACK),
    "fuzz_udp": Archetype(17, ((137, 138, 2), (520, 520, 1), (1, 1024, 2)), (S(3, 80, 6200), S(2, 2, 200),
                                                                            S(1, 1, 900)),
                          None, (28, 28), (1.2, 0.8), (500, 1.5), roles=_ATTACK),
    "shellcode": Archetype(17, ((1, 65535, 3), (80, 80, 1)), (S(3, 2, 520), S(1, 1, 300, 1, 60)), None, (28, 28),
                           (0.5, 0.2), (5, 1.2), ANY_HIGH, roles=_ATTACK),
    "shellcode_tcp": Archetype(6, ((80, 80, 1), (1, 65535, 3)), (S(1, 10, 600, 6, 90, 19, 19),), None, (42, 42),
                               (0.5, 0.1), (500, 0.8), windows=(16383,), roles=_ATTACK),
    "generic_dns": Archetype(17, _one(53), (S(8, 2, 60), S(1, 2, 76, 2, 170), S(1, 1, 32)), (5.0, 0.0), (28, 28),
                             (0.12, 0), (0.3, 1.5), roles=_ATTACK),
    "worm": Archetype(6, ((80, 80, 3), (445, 445, 1), (135, 139, 1)), (S(3, 10, 1700, 6, 250, 19, 19),
                                                                       S(1, 16, 9000, 8, 300, WHOLE, WHOLE)), None,
                      (42, 42), (0.4, 0.2), (700, 0.8), roles=_ATTACK),
}  # fmt: skip

ARCHETYPES = {**_BENIGN, **_SCANS, **_FLOODS, **_INTRUSIONS}
"""name -> Archetype."""


def draw(archetype: Archetype, rows: int, rng: np.random.Generator) -> Flows:
    """`rows` conversations of one archetype, addresses aside. Durations in microseconds, payloads in bytes."""
    shapes = np.array(archetype.shapes)
    chosen = shapes[rng.choice(len(shapes), rows, p=shapes[:, 0] / shapes[:, 0].sum())]
    size = rng.standard_normal((2, rows))
    fwd_pkts, fwd_payload = _direction(archetype, 0, chosen[:, 1], chosen[:, 2], size[0], rng)
    bwd_pkts, bwd_payload = _direction(archetype, 1, chosen[:, 3], chosen[:, 4], 0.7 * size.sum(axis=0), rng)
    dst_port = draw_ports(archetype.ports, rows, rng)
    median, sigma = archetype.duration
    duration = np.rint(1000 * median * np.exp(sigma * rng.standard_normal(rows))).clip(1, 119_000_000)
    tcp = archetype.protocol == 6
    return {
        "protocol": np.full(rows, archetype.protocol, np.int64),
        "src_port": draw_ports(archetype.source_ports, rows, rng),
        "dst_port": dst_port,
        "l7": draw_l7(archetype.l7, dst_port, rng),
        "fwd_pkts": fwd_pkts,
        "bwd_pkts": bwd_pkts,
        "fwd_payload": fwd_payload,
        "bwd_payload": bwd_payload,
        "fwd_header": np.full(rows, archetype.headers[0], np.int64),
        "bwd_header": np.full(rows, archetype.headers[1], np.int64),
        "fwd_flags": chosen[:, 5].astype(np.int64),
        "bwd_flags": chosen[:, 6].astype(np.int64),
        "fwd_window": draw_windows(archetype.windows, rows, rng) if tcp else np.full(rows, -1, np.int64),
        "bwd_window": draw_windows(OS_WINDOWS, rows, rng) if tcp else np.full(rows, -1, np.int64),
        "duration": duration.astype(np.int64),
    }


def _direction(archetype, way: int, pkts, payload, size, rng) -> tuple[np.ndarray, np.ndarray]:
    """Packets and payload bytes of one direction: enough packets for the payload, none without the other."""
    payload_spread, packet_spread = archetype.spread
    payload = np.rint(payload * np.exp(payload_spread * size))
    noise = 0.7 * size + 0.7 * rng.standard_normal(len(size))
    scaled = np.where(pkts > 2, np.rint(pkts * np.exp(packet_spread * noise)).clip(2), pkts)
    enough = np.maximum(scaled, np.ceil(payload / (MTU - archetype.headers[way])))
    return enough.astype(np.int64), payload.astype(np.int64)


def draw_ports(ranges: Ports, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Ports (rows,) from weighted ranges, both ends included."""
    first, last, weight = np.array(ranges, float).T
    chosen = rng.choice(len(first), rows, p=weight / weight.sum())
    return rng.integers(first[chosen].astype(np.int64), last[chosen].astype(np.int64) + 1)


def draw_windows(windows: tuple[int, ...], rows: int, rng: np.random.Generator) -> np.ndarray:
    """Initial TCP windows (rows,) in bytes; one in eight is another value: no network has one operating system."""
    usual = np.array(windows)[rng.integers(0, len(windows), rows)]
    return np.where(rng.random(rows) < 0.125, np.array(OS_WINDOWS)[rng.integers(0, len(OS_WINDOWS), rows)], usual)


def draw_l7(ids: tuple[float, ...] | None, ports: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """nDPI ids (n,) as master.app: drawn from `ids`, or guessed from the destination ports (n,)."""
    if ids is not None:
        return np.array(ids)[rng.integers(0, len(ids), len(ports))]
    table = np.zeros(65536)
    table[list(GUESSED_L7)] = list(GUESSED_L7.values())
    return table[ports]
