"""Captures cut by a snap length, down to the ports."""

import link_frames as lf
import pytest
from build_pcap import SYN, ethernet, icmp, ipv4, ipv6, pcap, tcp, udp
from case_packets import decode, facts
from link_frames import outer_udp

CUTS = {
    "TCP": (ethernet(ipv4(tcp(40000, 80, SYN, b"hello", options=bytes(12)))), 34),
    "TCP over IPv6": (ethernet(ipv6(tcp(40000, 80, SYN, b"hello")), 0x86DD), 54),
    "UDP": (ethernet(ipv4(udp(40000, 53, b"hello"), 17)), 34),
    "UDP with IP options": (ethernet(ipv4(udp(40000, 53, b"hello"), 17, options=bytes(8))), 42),
    "SCTP": (ethernet(ipv4(udp(7, 9, b"hello"), 132)), 34),
    "ICMP": (ethernet(ipv4(icmp(payload=b"hello"), 1)), 30),
    "in VXLAN": (outer_udp(lf.vxlan(ethernet(ipv4(udp(40000, 53, b"hello"), 17))), 4789), 84),
}


@pytest.mark.parametrize("name", CUTS)
def test_a_capture_cut_anywhere_after_the_ports_gives_the_flows_of_the_whole_one(name):
    frame, transport = CUTS[name]
    whole = facts(decode(pcap(frame), decap=True)[0])
    for kept in range(transport + 4, len(frame)):
        packets, stats = decode(pcap(frame, snap_length=kept), decap=True)
        assert facts(packets) == whole, kept
        assert (stats.truncated, stats.malformed) == (1, {})


@pytest.mark.parametrize(
    ("kept", "expected"), [(4, (0, 0, 17)), (13, (0, 0, 5)), (14, (SYN, 0, 5)), (16, (SYN, 1000, 5))]
)
def test_tcp_facts_that_were_not_captured_count_as_none(kept, expected):
    frame, transport = CUTS["TCP"]
    packet = decode(pcap(frame, snap_length=transport + kept))[0][0]
    assert (packet.tcp_flags, packet.tcp_window, packet.payload_length) == expected


def test_a_first_fragment_of_eight_bytes_names_its_ports():
    fragments = ipv4(tcp(40000, 80, SYN)[:8], fragment=0x2000), ipv6(b"\6\0\0\1\0\0\0\7" + tcp(40000, 80, SYN)[:8], 44)
    for packet, ethertype in zip(fragments, (0x0800, 0x86DD), strict=True):
        packets, stats = decode(pcap(ethernet(packet, ethertype)))
        assert [(packet.src_port, packet.dst_port) for packet in packets] == [(40000, 80)] and not stats.malformed


def test_eight_bytes_of_tcp_without_a_fragment_are_malformed():
    assert decode(pcap(ethernet(ipv4(tcp()[:8]))))[1].malformed == {"TCP header cut": 1}
