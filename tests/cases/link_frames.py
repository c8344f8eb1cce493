"""Frames of many link layers and tunnels, each around one or several packets that can be told apart."""

import struct

from build_pcap import ACK, ALICE_MAC, BOB_MAC, ethernet, ipv4, ipv6, tcp, udp

T4 = ipv4(tcp(40000, 50001, ACK, b"hello"))
U4 = ipv4(udp(40002, 50003, b"hello"), 17)
T6, U6 = ipv6(tcp(40004, 50005, ACK, b"hello")), ipv6(udp(40006, 50007, b"hello"), 17)
E4, E6 = ethernet(T4), ethernet(U6, 0x86DD)
OUTER = {"src": "192.0.2.1", "dst": "192.0.2.2"}
OUTER6 = {"src": "2001:db8:f::1", "dst": "2001:db8:f::2"}


# ---- Wi-Fi


def radiotap(frame: bytes, flags: int | None = 0, time: bool = False, bitmaps: int = 1) -> bytes:
    """`flags` None leaves the field out; `bitmaps` more than one announce one another."""
    present = (flags is not None) * 2 + time
    words = struct.pack("<I", present | (bitmaps > 1) << 31)
    words += b"".join(struct.pack("<I", (index < bitmaps - 1) << 31) for index in range(1, bitmaps))
    fields = b""
    if time:
        fields += bytes(-(4 + len(words)) % 8) + bytes(8)
    if flags is not None:
        fields += bytes([flags])
    return struct.pack("<BBH", 0, 0, 4 + len(words) + len(fields)) + words + fields + frame


def snap(payload: bytes, ethertype: int = 0x0800) -> bytes:
    return b"\xaa\xaa\x03\0\0\0" + struct.pack("!H", ethertype) + payload


def wifi(body: bytes, qos: int | None = None, ways: int = 1, order: bool = False, pad: bool = False) -> bytes:
    """A data frame: `qos` the first byte of that field, `ways` the bits to and from the distribution system."""
    header = bytes([0x08 if qos is None else 0x88, ways | order << 7, 0, 0]) + BOB_MAC + ALICE_MAC + BOB_MAC + b"\0\0"
    header += ALICE_MAC * (ways == 3)
    if qos is not None:
        header += bytes([qos, 0]) + bytes(4) * order
    return header + bytes(-len(header) % 4) * pad + body


def amsdu(*payloads: bytes, fcs: bytes = b"") -> bytes:
    """Subframes, all but the last padded to four bytes."""
    frame = b""
    for payload in payloads:
        frame += bytes(-len(frame) % 4) + BOB_MAC + ALICE_MAC + struct.pack("!H", len(payload)) + payload
    return frame + fcs


def ppi(frame: bytes, link_type: int, fields: bytes = b"") -> bytes:
    return struct.pack("<BBHI", 0, 0, 8 + len(fields), link_type) + fields + frame


def nflog(payload: bytes, family: int = 2, order: str = "<", mac: bytes = b"") -> bytes:
    fields = _tlv(1, struct.pack("!HBB", 0x0800 if family == 2 else 0x86DD, 1, 0), order) + _tlv(10, b"log\0", order)
    if mac:
        fields += _tlv(8, struct.pack("!HH", len(mac), 0) + mac.ljust(8, b"\0"), order)
    return struct.pack("!BBH", family, 0, 5) + fields + _tlv(9, payload, order)


def _tlv(kind: int, value: bytes, order: str) -> bytes:
    return struct.pack(order + "HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def pktap(frame: bytes, link_type: int) -> bytes:
    return struct.pack("<III", 108, 1, link_type) + b"en0".ljust(24, b"\0") + bytes(72) + frame


# ---- tunnels


def outer(payload: bytes, protocol: int, v6: bool = False, **fields) -> bytes:
    """An Ethernet frame with an IP packet between the tunnel's ends."""
    if v6:
        return ethernet(ipv6(payload, protocol, **OUTER6), 0x86DD)
    return ethernet(ipv4(payload, protocol, **OUTER, **fields))


def outer_udp(payload: bytes, port: int, v6: bool = False) -> bytes:
    return outer(udp(55555, port, payload), 17, v6)


def gre(payload: bytes, kind: int, flags: int = 0, fields: bytes = b"") -> bytes:
    return struct.pack("!HH", flags, kind) + fields + payload


def erspan_2(frame: bytes) -> bytes:
    return gre(struct.pack("!HHI", 0x1000 | 7, 100, 3) + frame, 0x88BE, 0x1000, struct.pack("!I", 9))


def erspan_3(frame: bytes, frame_type: int = 0, subheader: bytes = b"") -> bytes:
    last = frame_type << 10 | bool(subheader)
    head = struct.pack("!HHIHH", 0x2000 | 7, 100, 12345, 0, last)
    return gre(head + subheader + frame, 0x22EB, 0x1000, struct.pack("!I", 9))


def vxlan(frame: bytes, first: int = 8) -> bytes:
    return struct.pack("!BBHI", first, 0, 0, 42 << 8) + frame


def vxlan_gpe(packet: bytes, following: int) -> bytes:
    return struct.pack("!BBBBI", 0x0C, 0, 0, following, 42 << 8) + packet


def geneve(payload: bytes, kind: int = 0x6558, options: bytes = b"") -> bytes:
    return struct.pack("!BBHI", len(options) // 4, 0, kind, 42 << 8) + options + payload


def tzsp(frame: bytes, link: int = 1, kind: int = 0, tags: bytes = b"\x0a\x01\xd8\0\x1e\x02\0\x07") -> bytes:
    return struct.pack("!BBH", 1, kind, link) + tags + b"\x01" + frame


def gtp(packet: bytes, extension: bytes = b"") -> bytes:
    """`extension` begins with its length in fours and ends with the type of the next one."""
    rest = b"\0\0\0\x85" + extension if extension else b""
    return struct.pack("!BBHI", 0x34 if extension else 0x30, 255, len(rest) + len(packet), 77) + rest + packet


def l2_pptp(packet: bytes, acknowledged: bool = False) -> bytes:
    """GRE version 1: length and call, number, and what is acknowledged."""
    fields = struct.pack("!HHI", len(packet) + 2, 5, 9) + bytes(4) * acknowledged
    return gre(b"\x21" + packet, 0x880B, 0x3001 | acknowledged << 7, fields)


# ---- tables

LINKS = {  # name -> link type, frame
    "radiotap": (127, radiotap(wifi(snap(T4)))),
    "radiotap, QoS": (127, radiotap(wifi(snap(T4), qos=0))),
    "radiotap, data pad": (127, radiotap(wifi(snap(T4), qos=0, pad=True), 0x20)),
    "radiotap, data pad after a time": (127, radiotap(wifi(snap(U4), qos=0, pad=True), 0x20, time=True)),
    "radiotap, data pad, two bitmaps": (127, radiotap(wifi(snap(U4), qos=0, pad=True), 0x20, True, 2)),
    "radiotap, data pad, three bitmaps": (127, radiotap(wifi(snap(U6, 0x86DD), qos=0, pad=True), 0x20, True, 3)),
    "radiotap, data pad, nothing to pad": (127, radiotap(wifi(snap(T4), pad=True), 0x20)),
    "radiotap, data pad, four addresses": (127, radiotap(wifi(snap(T4), ways=3, pad=True), 0x20)),
    "radiotap, data pad, four addresses, QoS": (127, radiotap(wifi(snap(T4), qos=0, ways=3, pad=True), 0x20)),
    "radiotap, data pad, HT control": (127, radiotap(wifi(snap(T4), qos=0, order=True, pad=True), 0x20)),
    "radiotap, data pad and check sequence": (127, radiotap(wifi(snap(T4), qos=0, pad=True) + bytes(4), 0x30)),
    "radiotap without flags": (127, radiotap(wifi(snap(T4), qos=0), None, time=True)),
    "radiotap, bad check sequence": (127, radiotap(wifi(snap(T4), qos=0) + b"\1\2\3\4", 0x50)),
    "A-MSDU of one": (127, radiotap(wifi(amsdu(snap(T4)), qos=0x80))),
    "A-MSDU of two": (127, radiotap(wifi(amsdu(snap(T4), snap(U6, 0x86DD)), qos=0x80))),
    "A-MSDU of three": (127, radiotap(wifi(amsdu(snap(T4), snap(U4), snap(T6, 0x86DD)), qos=0x80))),
    "A-MSDU with a check sequence": (127, radiotap(wifi(amsdu(snap(T4), snap(U4), fcs=bytes(4)), qos=0x80), 0x10)),
    "A-MSDU, data pad": (127, radiotap(wifi(amsdu(snap(T4), snap(U4)), qos=0x80, pad=True), 0x20)),
    "A-MSDU from the access point": (127, radiotap(wifi(amsdu(snap(T4), snap(U4)), qos=0x80, ways=2))),
    "A-MSDU, four addresses": (127, radiotap(wifi(amsdu(snap(T4), snap(U4)), qos=0x80, ways=3))),
    "A-MSDU without radiotap": (105, wifi(amsdu(snap(T4), snap(U4)), qos=0x80)),
    "A-MSDU with a frame of no length": (127, radiotap(wifi(amsdu(snap(T4), b"", snap(U4)), qos=0x80))),
    "A-MSDU with a VLAN tag": (127, radiotap(wifi(amsdu(snap(b"\0\7\x08\0" + T4, 0x8100), snap(U4)), qos=0x80))),
    "VLAN tag over Wi-Fi": (127, radiotap(wifi(snap(b"\0\7\x08\0" + T4, 0x8100)))),
    "IP's own access point": (127, radiotap(wifi(b"\6\6\3" + T4))),
    "vendor's fields": (127, struct.pack("<BBHIIB", 0, 0, 13, 0xC0000002, 0, 0x20) + wifi(snap(T4), qos=0, pad=True)),
    "Wi-Fi on any interface": (113, struct.pack("!HHH8sH", 0, 803, 0, b"", 4) + radiotap(wifi(snap(T4)))),
    "pflog": (117, struct.pack("!BBBB", 61, 2, 0, 0) + b"em0".ljust(60, b"\0") + T4),
    "OpenBSD IPsec": (109, struct.pack("<III", 24, 0, 0) + U6),
    "PPI, Wi-Fi": (192, ppi(wifi(snap(T4)), 105)),
    "PPI, Wi-Fi with fields": (192, ppi(wifi(snap(T4), qos=0), 105, struct.pack("<HH", 2, 20) + bytes(20))),
    "PPI, A-MSDU": (192, ppi(wifi(amsdu(snap(T4), snap(U4)), qos=0x80), 105)),
    "PPI, Ethernet": (192, ppi(E4, 1)),
    "AVS": (163, struct.pack(">II", 0x80211001, 64) + bytes(56) + wifi(snap(T4))),
    "Prism": (119, struct.pack("<II", 0x44, 144) + b"wlan0".ljust(136, b"\0") + wifi(snap(T4))),
    "Prism that is AVS": (119, struct.pack(">II", 0x80211001, 64) + bytes(56) + wifi(snap(T4))),
    "NFLOG": (239, nflog(T4, mac=ALICE_MAC)),
    "NFLOG, IPv6": (239, nflog(U6, 10)),
    "PKTAP": (258, pktap(E4, 1)),
    "PPP": (9, b"\xff\x03\0\x21" + T4),
    "PPP, protocol compressed": (9, b"\xff\x03\x21" + T4),
    "PPP, address and control compressed": (9, b"\0\x21" + U4),
    "PPP, both compressed": (9, b"\x21" + T4),
    "PPP, both compressed, IPv6": (9, b"\x57" + U6),
    "PPP in HDLC framing, compressed": (50, b"\xff\x03\x57" + T6),
    "PPP, Cisco HDLC": (50, b"\x0f\0\x08\0" + T4),
    "PPP, multilink": (9, b"\xff\x03\0\x3d\xc0\0\0\1\0\x21" + T4),
    "PPP, multilink, compressed": (9, b"\xff\x03\x3d\xc0\0\0\1\x21" + T4),
    "PPP around MPLS": (9, b"\xff\x03\x02\x81\0\1\1\x40" + T4),
    "PPP with direction": (204, b"\x01\xff\x03\0\x21" + T4),
    "PPP with direction, compressed": (204, b"\0\x21" + T4),
    "PPPoE": (1, ethernet(b"\x11\0\0\x01" + struct.pack("!H", len(T4) + 2) + b"\0\x21" + T4, 0x8864)),
    "PPPoE, compressed": (1, ethernet(b"\x11\0\0\x01" + struct.pack("!H", len(T4) + 1) + b"\x21" + T4, 0x8864)),
    "PPPoE alone": (51, b"\x11\0\0\x01" + struct.pack("!H", len(T4) + 2) + b"\0\x21" + T4),
    "ATM RFC 1483": (100, snap(T4)),
}  # fmt: skip
TUNNELS = {  # name -> an Ethernet frame, the tunnel's name
    "ERSPAN I": (outer(gre(E4, 0x88BE), 47), "ERSPAN"),
    "ERSPAN II": (outer(erspan_2(E4), 47), "ERSPAN"),
    "ERSPAN II around a VLAN": (outer(erspan_2(ethernet(b"\0\7\x08\0" + T4, 0x8100)), 47), "ERSPAN"),
    "ERSPAN II over IPv6": (outer(erspan_2(E6), 47, v6=True), "ERSPAN"),
    "ERSPAN III": (outer(erspan_3(E6), 47), "ERSPAN"),
    "ERSPAN III with a subheader": (outer(erspan_3(E4, subheader=bytes(8)), 47), "ERSPAN"),
    "GRE, IPv4": (outer(gre(T4, 0x0800), 47), "GRE"),
    "GRE, IPv6": (outer(gre(U6, 0x86DD), 47), "GRE"),
    "GRE with check sum, key and number": (outer(gre(T4, 0x0800, 0xB000, bytes(12)), 47), "GRE"),
    "GRE with a key": (outer(gre(T4, 0x0800, 0x2000, bytes(4)), 47), "GRE"),
    "GRE around Ethernet": (outer(gre(E4, 0x6558), 47), "GRE"),
    "NVGRE": (outer(gre(E6, 0x6558, 0x2000, bytes(4)), 47), "GRE"),
    "GRE around MPLS": (outer(gre(b"\0\x01\x01\x40" + T4, 0x8847), 47), "GRE"),
    "GRE over IPv6": (outer(gre(T4, 0x0800), 47, v6=True), "GRE"),
    "PPTP": (outer(l2_pptp(T4), 47), "GRE"),
    "PPTP, acknowledging": (outer(l2_pptp(T4, True), 47), "GRE"),
    "VXLAN": (outer_udp(vxlan(E4), 4789), "VXLAN"),
    "VXLAN over IPv6": (outer_udp(vxlan(E6), 4789, v6=True), "VXLAN"),
    "VXLAN with a group policy": (outer_udp(vxlan(E4, 0x88), 4789), "VXLAN"),
    "VXLAN around a VLAN": (outer_udp(vxlan(ethernet(b"\0\7\x08\0" + U4, 0x8100)), 4789), "VXLAN"),
    "VXLAN-GPE, IPv4": (outer_udp(vxlan_gpe(T4, 1), 4790), "VXLAN"),
    "VXLAN-GPE, IPv6": (outer_udp(vxlan_gpe(U6, 2), 4790), "VXLAN"),
    "VXLAN-GPE, Ethernet": (outer_udp(vxlan_gpe(E4, 3), 4790), "VXLAN"),
    "Geneve": (outer_udp(geneve(E4), 6081), "Geneve"),
    "Geneve with options": (outer_udp(geneve(E4, options=b"\1\2\3\1" + bytes(4)), 6081), "Geneve"),
    "Geneve, IPv4": (outer_udp(geneve(T4, 0x0800), 6081), "Geneve"),
    "TZSP": (outer_udp(tzsp(E4), 37008), "TZSP"),
    "TZSP without tags": (outer_udp(tzsp(E4, tags=b""), 37008), "TZSP"),
    "TZSP with padding": (outer_udp(tzsp(E6, tags=b"\0\0\x0a\x01\x11"), 37008), "TZSP"),
    "TZSP around Wi-Fi": (outer_udp(tzsp(wifi(snap(T4), qos=0), 18), 37008), "TZSP"),
    "4in4": (outer(T4, 4), "IP-in-IP"),
    "6in4": (outer(U6, 41), "IP-in-IP"),
    "4in6": (outer(U4, 4, v6=True), "IP-in-IP"),
    "6in6": (outer(T6, 41, v6=True), "IP-in-IP"),
    "6in6 behind a destination option": (outer(b"\x29\0\1\4\0\0\0\0" + T6, 60, v6=True), "IP-in-IP"),
    "EtherIP": (outer(b"\x30\0" + E4, 97), "EtherIP"),
    "GTP-U": (outer_udp(gtp(T4), 2152), "GTP-U"),
    "GTP-U with an extension": (outer_udp(gtp(U4, b"\1\0\0\0"), 2152), "GTP-U"),
    "GRE around PPP": (outer(gre(b"\xff\x03\0\x21" + T4, 0x880B), 47), "GRE"),
    "GRE of a web cache": (outer(gre(bytes(4) + T4, 0x883E), 47), "GRE"),
    "GRE in UDP": (outer_udp(gre(T4, 0x0800), 4754), "GRE"),
    "MPLS in UDP": (outer_udp(b"\0\1\1\x40" + T4, 6635), "MPLS-in-IP"),
    "MPLS in IP": (outer(b"\0\1\1\x40" + T4, 137), "MPLS-in-IP"),
    "L2TP": (outer_udp(b"\0\2\0\1\0\1\xff\x03\0\x21" + T4, 1701), "L2TP"),
    "L2TP with length and numbers": (outer_udp(b"\x48\2\0\x3b\0\1\0\1\0\5\0\6\0\x21" + T4, 1701), "L2TP"),
    "VXLAN in GRE": (outer(gre(ipv4(udp(5, 4789, vxlan(E4)), 17, "198.51.100.1"), 0x0800), 47), "GRE"),
    "6in4 in ERSPAN": (outer(erspan_2(outer(U6, 41)), 47), "ERSPAN"),
}  # fmt: skip
