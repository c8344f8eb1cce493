"""Link types that cannot be read are refused or counted by name."""

import io
import itertools

import pytest
from build_pcap import START, enhanced_packet, interface, pcap, section
from case_packets import decode, facts
from edge_process import run_edge
from link_frames import E4
from tlids_edge.capture.link_layers import LINK_TYPES
from tlids_edge.capture.packets import PacketStats, read_packets
from tlids_edge.cli import meter as meter_cli
from tlids_edge.errors import InputError


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


def test_the_edge_command_refuses_a_link_type_by_name(model, tmp_path):
    for name, capture in (("a.pcap", pcap(bytes(30), link_type=195)), ("b.pcapng", mixed(230))):
        (tmp_path / name).write_bytes(capture)
        refused = run_edge(model, str(tmp_path / name))
        assert refused.returncode == 2 and b"IEEE 802.15.4" in refused.stderr and refused.stdout == b""
        assert refused.stderr.count(f" in {tmp_path / name}: ".encode()) == 1
        refused = run_edge(model, "-", stdin=(tmp_path / name).open("rb"))
        assert refused.stderr.count(b" in standard input: ") == 1
