"""Link layers and tunnels: what tshark sees in each frame is what the meter is given."""

import shutil
import subprocess

import link_frames as lf
import pytest
from build_pcap import ALICE_MAC, BOB_MAC, START, arp, enhanced_packet, ethernet, interface, ipv4, pcap, section, udp
from case_packets import decode, facts
from link_frames import E4, LINKS, T4, TUNNELS, U4, amsdu, outer, outer_udp, radiotap, snap, wifi
from shared_captures import shared_folder
from tlids_edge.capture.packets import address_text
from tlids_edge.cli import meter as meter_cli
from tshark_oracle import OPTIONS

FIELDS = ("frame.protocols", "ip.src", "ip.dst", "ip.len", "ipv6.src", "ipv6.dst", "ipv6.plen")
PORTS = ("tcp.srcport", "tcp.dstport", "udp.srcport", "udp.dstport")


@pytest.fixture(scope="module")
def tshark(tmp_path_factory):
    """(link type, frame) -> the packets tshark finds in it, from the outermost; asked once for all of them."""
    if not shutil.which("tshark"):
        pytest.skip("tshark is not installed: apt install tshark")
    asked = [*LINKS.values(), *((1, frame) for frame, _ in TUNNELS.values())]
    types = list(dict.fromkeys(link_type for link_type, _ in asked))
    capture = section() + b"".join(map(interface, types))
    capture += b"".join(enhanced_packet(frame, START, types.index(link_type)) for link_type, frame in asked)
    path = tmp_path_factory.mktemp("links") / "all.pcapng"
    path.write_bytes(capture)
    fields = [part for name in (*FIELDS, *PORTS) for part in ("-e", name)]
    command = ["tshark", "-n", "-r", str(path), *OPTIONS, "-T", "fields", "-E", "occurrence=a", *fields]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return dict(zip(asked, map(_packets, output.splitlines()), strict=True))


def _packets(line: str) -> list[tuple]:
    """The packets of one frame, in tshark's order of layers."""
    protocols, *values = line.split("\t")
    take = {name: iter(value.split(",")) for name, value in zip((*FIELDS[1:], *PORTS), values, strict=True)}
    found = []
    for layer in protocols.split(":"):
        if layer == "ip":
            found.append([next(take["ip.src"]), 0, next(take["ip.dst"]), 0, int(next(take["ip.len"]))])
        elif layer == "ipv6":
            source, destination = next(take["ipv6.src"]), next(take["ipv6.dst"])
            found.append([source, 0, destination, 0, int(next(take["ipv6.plen"])) + 40])
        elif layer in ("tcp", "udp"):
            found[-1][1], found[-1][3] = (int(next(take[f"{layer}.{end}port"])) for end in ("src", "dst"))
    return [tuple(packet) for packet in found]


@pytest.mark.parametrize("name", LINKS)
def test_every_packet_tshark_finds_below_a_link_layer_is_read(name, tshark):
    link_type, frame = LINKS[name]
    packets, stats = decode(pcap(frame, link_type=link_type))
    assert facts(packets) == tshark[link_type, frame] != []
    assert stats.packets + stats.aggregated == len(packets)


@pytest.mark.parametrize("name", TUNNELS)
def test_the_innermost_packet_of_a_tunnel_is_tsharks_and_without_decap_the_outermost(name, tshark):
    frame, tunnel = TUNNELS[name]
    packets, stats = decode(pcap(frame), decap=True)
    assert facts(packets) == tshark[1, frame][-1:]
    assert (stats.opened, stats.tunnels) == (1, {})
    packets, stats = decode(pcap(frame))
    assert facts(packets) == tshark[1, frame][:1]
    assert stats.tunnels == {tunnel: 1}
    assert tunnel in stats.warnings()["tunnels"] and "--decap" in stats.warnings()["tunnels"]


@pytest.mark.parametrize(
    ("link_type", "frame"), [(239, lf.nflog(T4, order=">")), (219, b"\0\x01\x01\x40" + T4)], ids=["NFLOG", "MPLS"]
)
def test_what_tshark_reads_in_no_little_endian_capture_is_read_too(link_type, frame):
    assert facts(decode(pcap(frame, link_type=link_type))[0]) == [("10.0.0.1", 40000, "10.0.0.2", 50001, 45)]


def test_mac_addresses_are_those_of_the_inner_frame_or_else_of_the_outer():
    one, other = b"\x02" * 6, b"\x06" * 6
    mirrored = decode(pcap(outer(lf.erspan_2(ethernet(T4, src=one, dst=other)), 47)), decap=True)[0][0]
    assert (mirrored.src_mac, mirrored.dst_mac) == (one, other)
    routed = decode(pcap(outer(T4, 4)), decap=True)[0][0]
    assert (routed.src_mac, routed.dst_mac) == (ALICE_MAC, BOB_MAC)
    logged = decode(pcap(lf.nflog(T4, mac=one), link_type=239))[0][0]
    assert (logged.src_mac, logged.dst_mac) == (one, b"")


def test_an_arp_frame_in_a_tunnel_is_seen_and_what_carries_no_ip_is_counted():
    frames = outer(lf.erspan_2(ethernet(arp(2), 0x0806)), 47), outer_udp(lf.vxlan(ethernet(bytes(46), 0x88CC)), 4789)
    packets, stats = decode(pcap(*frames), decap=True)
    assert [packet.arp and packet.arp[0] for packet in packets] == [2]
    assert (stats.non_ip, stats.inner_non_ip, stats.opened) == (1, 1, 2)
    assert "1 not IP (1 inside tunnels)" in stats.summary()
    assert "1 not IP," in decode(pcap(frames[0], ethernet(bytes(46), 0x88CC)), decap=True)[1].summary()


def test_the_frames_of_an_aggregate_in_a_tunnel_that_carry_no_ip_are_counted_there():
    body = wifi(amsdu(snap(bytes(40), 0x88CC), snap(U4)), qos=0x80)
    packets, stats = decode(pcap(outer_udp(lf.tzsp(body, 18), 37008)), decap=True)
    assert facts(packets) == [("10.0.0.1", 40002, "10.0.0.2", 50003, 33)]
    assert (stats.non_ip, stats.inner_non_ip, stats.aggregated) == (1, 1, 1)


def test_two_tunnels_are_opened_and_the_third_is_the_flow():
    frame = outer(ipv4(ipv4(T4, 4, "10.2.0.1", "10.2.0.2"), 4, "10.1.0.1", "10.1.0.2"), 4)
    assert facts(decode(pcap(frame), decap=True)[0]) == [("10.2.0.1", 0, "10.2.0.2", 0, 65)]


def test_a_thousand_tunnels_in_one_another_cost_no_more_than_two():
    packet = T4
    for _ in range(1000):
        packet = ipv4(packet, 4)
    packets, stats = decode(pcap(ethernet(packet)), decap=True)
    assert [packet.length for packet in packets] == [45 + 998 * 20]
    assert stats.opened == 1


@pytest.mark.parametrize(
    "frame",
    [
        outer_udp(bytes(30), 4789),  # no VXLAN flag
        outer_udp(b"x" * 30, 4789),  # flags there are not
        outer_udp(lf.vxlan(E4)[:15], 4789),
        outer_udp(lf.vxlan(ethernet(T4[:12])), 4789),
        outer_udp(b"\x80" + lf.geneve(E4)[1:], 6081),
        outer_udp(lf.tzsp(E4, kind=4), 37008),
        outer_udp(lf.tzsp(E4)[:8], 37008),
        outer_udp(b"", 37008),
        outer_udp(lf.gtp(T4, b"\0\0\0\x85"), 2152),  # an extension without a length
        outer_udp(b"\1\0\x81\x80" + bytes(20) + b"\1" + bytes(40), 37008),  # a DNS answer to that port
        outer(lf.gre(bytes(8) + E4, 0x894F), 47),  # what GRE carries is not known
        outer(lf.gre(T4, 0x0800, 0x4000), 47),
        outer(lf.gre(T4, 0x0800, 2), 47),
        outer(lf.gre(b"", 0x88BE, 0x1000, bytes(4)), 47),
        outer(b"", 4),
        outer(b"\x00" * 40, 41),
        outer(U4[8:], 17, fragment=2),
        outer(T4[8:], 4, fragment=2),
    ],
)
def test_what_is_no_whole_tunnel_stays_a_packet_of_its_own(frame):
    packets, stats = decode(pcap(frame), decap=True)
    assert [address_text(packet.src) for packet in packets] == ["192.0.2.1"]
    assert (stats.malformed, stats.opened) == ({}, 0)


def test_the_later_frames_of_an_aggregate_are_read_when_one_carries_no_ip_or_is_malformed():
    body = amsdu(snap(bytes(40), 0x88CC), snap(T4[:18]), snap(U4))
    packets, stats = decode(pcap(radiotap(wifi(body, qos=0x80)), link_type=127))
    assert facts(packets) == [("10.0.0.1", 40002, "10.0.0.2", 50003, 33)]
    assert (stats.packets, stats.aggregated, stats.non_ip, stats.malformed_total) == (1, 2, 1, 1)


def test_an_aggregate_cut_by_the_snap_length_gives_what_is_there():
    frame = radiotap(wifi(amsdu(snap(T4), snap(U4)), qos=0x80))
    packets, stats = decode(pcap(frame, link_type=127, snap_length=len(frame) - 5))
    assert len(packets) == 2 and stats.malformed == {}
    assert decode(pcap(frame, link_type=127, snap_length=60))[1].malformed == {"IPv4 header cut": 1}
    assert decode(pcap(frame, link_type=127, snap_length=40))[1].malformed == {"A-MSDU cut": 1}


def test_aggregates_and_tunnels_in_one_another_end_and_large_aggregates_cost_what_their_size_does():
    body = amsdu(snap(T4))
    for _ in range(500):
        inner = udp(55555, 37008, lf.tzsp(wifi(body, qos=0x80), 18, tags=b""))
        body = amsdu(snap(ipv4(inner[:60_000], 17, "192.0.2.1", "192.0.2.2", length=len(inner) + 20 & 0xFFFF)))
    packets, stats = decode(pcap(radiotap(wifi(body, qos=0x80)), link_type=127), decap=True)
    assert len(packets) + stats.malformed_total == 1 and stats.opened <= 1
    empty = outer_udp(lf.tzsp(wifi(b"\0" * 10, qos=0x80), 18), 37008)
    assert decode(pcap(empty), decap=True)[1].malformed == {"A-MSDU cut": 1}
    many = amsdu(*([b"\xaa\xaa"] * 15_000))
    assert decode(pcap(radiotap(wifi(many, qos=0x80)), link_type=127))[1].non_ip == 15_000


# ---- the inputs on which the program was found wanting

SHARED = shared_folder() / "cases"
MIRRORED = "mirrored-through-a-tunnel"


@pytest.mark.parametrize(
    ("path", "options", "flows"),
    [
        ("span-duplicates/twice.pcap", ["--dedup"], 1),
        (f"{MIRRORED}/erspan.pcap", ["--decap"], 3),
        (f"{MIRRORED}/vxlan.pcap", ["--decap"], 3),
        (f"{MIRRORED}/tzsp.pcap", ["--decap"], 3),
        ("wifi-monitor-datapad-amsdu/datapad.pcap", [], 1),
        ("wifi-monitor-datapad-amsdu/amsdu.pcap", [], 1),
        ("unsupported-link-type/nflog.pcap", [], 1),
    ],
)
def test_the_reported_captures_give_the_flows_of_the_plain_ones(path, options, flows, tmp_path):
    if not (SHARED / path).exists():
        pytest.skip(f"no {SHARED / path}")
    output = tmp_path / "flows.csv"
    assert meter_cli.main([str(SHARED / path), "-o", str(output), "--no-l7", "-q", *options]) == 0
    rows = [line.split(",") for line in output.read_text().splitlines()[1:]]
    assert len(rows) == flows
    for row in rows:  # source, its port, destination, protocol, bytes, packets, flags
        assert (row[0], row[2], row[4], *row[6:11]) == (
            "192.168.1.66",
            "192.168.1.5",
            "6",
            "218",
            "220",
            "5",
            "3",
            "27",
        )
