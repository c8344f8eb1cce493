"""Link layers, tunnels and repeats: what tshark sees in each frame is what the meter is given."""

import io
import itertools
import shutil
import struct
import subprocess

import link_frames as lf
import pytest
from build_pcap import (
    ALICE_MAC,
    BOB_MAC,
    SECOND,
    START,
    SYN,
    arp,
    enhanced_packet,
    ethernet,
    icmp,
    interface,
    ipv4,
    ipv6,
    pcap,
    section,
    tcp,
    udp,
)
from edge_process import events, run_edge
from link_frames import E4, LINKS, T4, TUNNELS, U4, amsdu, outer, outer_udp, radiotap, snap, wifi
from shared_captures import shared_folder
from tiny_model import tiny_tflite, write_model
from tlids_edge.capture.link_layers import LINK_TYPES
from tlids_edge.capture.packets import PacketStats, address_text, read_packets
from tlids_edge.cli import meter as meter_cli
from tlids_edge.errors import InputError
from tshark_oracle import OPTIONS

FIELDS = ("frame.protocols", "ip.src", "ip.dst", "ip.len", "ipv6.src", "ipv6.dst", "ipv6.plen")
PORTS = ("tcp.srcport", "tcp.dstport", "udp.srcport", "udp.dstport")


def decode(capture: bytes, **options):
    stats = PacketStats(**options)
    return list(read_packets(io.BytesIO(capture), stats)), stats


def facts(packets) -> list[tuple]:
    """Addresses, ports and IP bytes."""
    return [(address_text(p.src), p.src_port, address_text(p.dst), p.dst_port, p.length) for p in packets]


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


# ---- snap lengths

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


# ---- repeats


def numbered(count: int) -> list[bytes]:
    return [ethernet(ipv4(udp(1000 + index, 53, bytes(20)), 17)) for index in range(count)]


def repeated(frames, gaps=(0, 20), step: int = 10_000) -> list[tuple[int, bytes]]:
    """Each frame once for each gap, which is in microseconds."""
    return sorted((START + index * step + gap, frame) for index, frame in enumerate(frames) for gap in gaps)


REPEATS = {
    "none": repeated(numbered(50), (0,)),
    "twice": repeated(numbered(50)),
    "three times": repeated(numbered(50), (0, 20, 500)),
    "exactly a millisecond later": repeated(numbered(20), (0, 1000)),
    "more than a millisecond later": repeated(numbered(20), (0, 1001)),
    "each 0.9 ms after the last": repeated(numbered(5), (0, 900, 1800, 2700)),
    "with others between": repeated(numbered(400), (0, 700), step=7),
    "a burst of many": repeated(numbered(3000), (0, 300), step=1),
    "other bytes at the end": [(START + i, frame + bytes([i])) for i, frame in enumerate(numbered(1) * 4)],
}


@pytest.mark.parametrize("name", REPEATS)
def test_dedup_leaves_out_what_editcap_leaves_out(name, tmp_path):
    if not shutil.which("editcap"):
        pytest.skip("editcap is not installed: apt install wireshark-common")
    before, after = tmp_path / "before.pcap", tmp_path / "after.pcap"
    before.write_bytes(pcap(*REPEATS[name]))
    subprocess.run(["editcap", "-w", "0.001", before, after], check=True, capture_output=True)
    packets, stats = decode(before.read_bytes(), dedup=True)
    expected, _ = decode(after.read_bytes())
    assert [(p.time_us, p.frame) for p in packets] == [(p.time_us, p.frame) for p in expected]
    assert stats.dropped == len(REPEATS[name]) - len(expected)


def test_repeats_are_warned_of_with_their_share_unless_they_are_few():
    warning = decode(pcap(*repeated(numbered(50))))[1].warnings()["repeats"]
    assert "50 of 100" in warning and "50 %" in warning and "--dedup" in warning
    few = repeated(numbered(300)[2:], (0,)) + repeated(numbered(2))
    assert "repeats" not in decode(pcap(*sorted(few)))[1].warnings()
    assert decode(pcap(*repeated(numbered(50))), dedup=True)[1].warnings() == {}


def test_frames_cut_alike_are_no_repeats_when_the_wire_carried_other_lengths():
    frames = [(START + index, ethernet(ipv4(udp(1, 2, bytes(50 + index)), 17, length=500))) for index in range(4)]
    assert decode(pcap(*frames, snap_length=34 + 4))[1].repeats == 0


def mirrored(frame: bytes, number: int) -> bytes:
    """A frame through ERSPAN, whose header counts the frames."""
    return outer(lf.gre(struct.pack("!HHI", 0x1007, 100, 3) + frame, 0x88BE, 0x1000, struct.pack("!I", number)), 47)


def test_frames_without_ip_and_aggregates_mirrored_twice_through_a_tunnel_are_repeats_too():
    discovery = ethernet(bytes(46), 0x88CC)
    twice = [(START + number, mirrored(discovery, number)) for number in range(2)]
    stats = decode(pcap(*twice), dedup=True, decap=True)[1]
    assert (stats.packets, stats.dropped, stats.non_ip) == (2, 1, 1)
    body = wifi(amsdu(snap(T4), snap(U4)), qos=0x80)
    twice = [(START + number, outer(ipv4(udp(number + 1, 37008, lf.tzsp(body, 18)), 17), 4)) for number in range(2)]
    packets, stats = decode(pcap(*twice), dedup=True, decap=True)
    assert (len(packets), stats.dropped) == (2, 1)


def test_packets_mirrored_twice_through_a_numbered_tunnel_are_repeats_too():
    frames = [mirrored(E4, number) for number in range(2)]
    packets, stats = decode(pcap(*((START + i, frame) for i, frame in enumerate(frames))), dedup=True, decap=True)
    assert (len(packets), stats.dropped) == (1, 1)
    packets, stats = decode(pcap(*((START + i, frame) for i, frame in enumerate(frames * 2))), decap=True)
    assert (len(packets), stats.repeats) == (4, 3)


def test_a_clock_set_back_and_large_frames_forget_and_do_not_fail():
    frame = ethernet(ipv4(udp(1, 2, bytes(60_000)), 17))
    times = [START, START - 3600 * SECOND, START - 3600 * SECOND + 5, START + 10]
    assert decode(pcap(*((time, frame) for time in times)), dedup=True)[1].dropped == 1
    large = [(START, struct.pack("!I", index) + bytes(200_000)) for index in range(100)]
    assert decode(pcap(*large), dedup=True)[1].dropped == 0


def test_in_a_long_capture_a_part_of_the_packets_is_looked_at_and_the_sentence_says_so():
    one = pcap(numbered(1)[0])[24:][8:]  # behind the record's time
    times = ((START // SECOND + index // 200, index % 200 // 2 * 5000) for index in range(70_000))
    stats = decode(pcap() + b"".join(struct.pack("<II", *time) + one for time in times))[1]
    assert 2048 <= stats.looked_at < 5000 < stats.packets
    assert "looked at (50 %)" in stats.warnings()["repeats"]


# ---- link types that are not read


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("link_type", "name"),
    [
        (195, "IEEE 802.15.4"), (230, "IEEE 802.15.4"), (283, "IEEE 802.15.4"), (189, "USB"), (249, "USB"),
        (187, "Bluetooth"), (201, "Bluetooth"), (251, "Bluetooth"), (227, "CAN"), (253, "netlink"), (147, "147"),
        (65535, "65535"),
    ],
)  # fmt: skip
def test_a_link_type_that_cannot_be_read_is_refused_by_name_at_once(link_type, name, order):
    with pytest.raises(InputError) as refusal:
        read_packets(io.BytesIO(pcap(bytes(60), link_type=link_type, order=order)), PacketStats())
    assert "expected a link type whose IP packets can be read" in str(refusal.value)
    assert name in refusal.value.fault.split("found")[1] and str(link_type) in refusal.value.fault


def mixed(*link_types: int) -> bytes:
    """A pcapng with an interface and a packet for each link type."""
    capture = section() + b"".join(map(interface, link_types))
    return capture + b"".join(enhanced_packet(E4, START + i, i) for i in range(len(link_types)))


def test_a_pcapng_without_a_packet_that_can_be_read_is_refused_with_the_names_of_its_link_types():
    with pytest.raises(InputError, match=r"found USBPcap \(249\), Bluetooth Low Energy \(251\)"):
        decode(mixed(251, 249, 249))
    assert decode(section() + interface(249))[0] == []  # no packet at all is no fault of the link type


def test_a_pcapng_of_several_link_types_gives_what_can_be_read_and_counts_the_rest_by_name():
    packets, stats = decode(mixed(195, 1, 249, 249))
    assert facts(packets) == [("10.0.0.1", 40000, "10.0.0.2", 50001, 45)]
    assert stats.malformed == {}
    assert sorted(stats.unreadable.values()) == [1, 2]
    assert (
        "3 of other link types (IEEE 802.15.4 (Zigbee, Thread) with FCS (195): 1, USBPcap (249): 2)" in stats.summary()
    )


def test_the_command_names_the_file_and_writes_nothing(tmp_path, capsys):
    for name, capture in (("a.pcap", pcap(bytes(30), link_type=195)), ("b.pcapng", mixed(251))):
        (tmp_path / name).write_bytes(capture)
        assert meter_cli.main([str(tmp_path / name), "-o", str(tmp_path / "flows.csv")]) == 2
        assert name in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pcap", "b.pcapng"]


def test_every_link_type_that_is_read_is_read_or_counted_whatever_it_holds():
    for link_type, size in itertools.product(LINK_TYPES, range(90)):
        for fill in (b"\0", b"\xff", b"\x45", b"\x21", b"\x88\x03"):
            packets, stats = decode(pcap((fill * size)[:size], link_type=link_type))
            assert len(packets) + stats.non_ip + stats.malformed_total == 1


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("tiny-model"), tiny_tflite())


def test_the_edge_command_looks_into_tunnels_drops_repeats_and_says_what_it_would_have_done(model, tmp_path):
    capture = tmp_path / "mirrored.pcap"
    frames = [outer_udp(lf.vxlan(frame), 4789) for frame in numbered(30)]
    capture.write_bytes(pcap(*repeated(frames)))
    plain = run_edge(model, str(capture), "--all-flows", "--flow-alerts", "all")
    assert {event["dest_port"] for event in events(plain.stdout) if event["event_type"] == "flow"} == {4789}
    assert b"VXLAN 60" in plain.stderr and b"--decap" in plain.stderr and b"30 of 60" in plain.stderr
    looked = run_edge(model, str(capture), "--all-flows", "--flow-alerts", "all", "--decap", "--dedup")
    flows = [event for event in events(looked.stdout) if event["event_type"] == "flow"]
    assert {event["src_port"] for event in flows} == set(range(1000, 1030))
    assert {event["flow"]["pkts_toserver"] for event in flows} == {1}
    assert b"30 repeats left out, 30 out of tunnels" in looked.stderr and b"warning" not in looked.stderr


def test_the_edge_command_refuses_a_link_type_by_name(model, tmp_path):
    for name, capture in (("a.pcap", pcap(bytes(30), link_type=195)), ("b.pcapng", mixed(230))):
        (tmp_path / name).write_bytes(capture)
        refused = run_edge(model, str(tmp_path / name))
        assert refused.returncode == 2 and b"IEEE 802.15.4" in refused.stderr and refused.stdout == b""
        assert refused.stderr.count(f" in {tmp_path / name}: ".encode()) == 1
        refused = run_edge(model, "-", stdin=(tmp_path / name).open("rb"))
        assert refused.stderr.count(b" in standard input: ") == 1


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
