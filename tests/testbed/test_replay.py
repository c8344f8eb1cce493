"""The Pi's program on hand-made captures: verdicts, rules, windows, shuffled addresses, latency."""

import numpy as np
import pytest
from build_pcap import ACK, ALICE, BOB, RST, SECOND, START, SYN, arp, ethernet, ipv4, pcap, tcp, udp
from tiny_fixtures import model, tflite  # noqa: F401 - fixtures
from tlids_edge.capture.packets import PacketStats, read_packets

from tlids_helpers.common.errors import InputError
from tlids_helpers.testbed import replay

CAPTURE = pcap(
    (START, ethernet(ipv4(tcp(40000, 80, SYN)))),
    (START + 1500, ethernet(ipv4(tcp(80, 40000, SYN | ACK), src=BOB, dst=ALICE))),
    (START + 20 * SECOND, ethernet(ipv4(udp(5000, 6000, b"abc"), 17))),
    (START + 30 * SECOND, ethernet(ipv4(udp(5000, 6001, b"abc"), 17))),
)


@pytest.fixture
def recording(tmp_path):
    (tmp_path / "session1.pcap").write_bytes(CAPTURE)
    (tmp_path / "labels.csv").write_text(f"start,end,src,dst,dst_port,attack\n,{START / 1e6 + 25},{ALICE},,6000,Scan\n")
    return tmp_path


def test_a_replay_gives_one_verdict_a_flow_with_the_truth_beside_it(recording, model):  # noqa: F811
    events = replay.replay(model, recording / "session1.pcap", "--no-arp-watch", "--no-fan-out")
    found = replay.verdicts(events, recording / "labels.csv")
    assert list(found["truth"]) == ["Benign", "Scan", "Benign"]
    assert list(found["reason"]) == ["idle", "shutdown", "shutdown"]
    assert np.allclose(found["time"], [START / 1e6 + 0.0015, START / 1e6 + 20, START / 1e6 + 30])
    assert set(found["src"]) == {ALICE} and set(found["dst"]) == {BOB}
    assert found["score"].between(0, 1).all() and found["anomaly"].dtype == bool
    assert replay.rule_alerts(events).empty


def test_what_the_program_refuses_is_an_input_error_in_its_own_words(recording, model):  # noqa: F811
    (recording / "none.pcap").write_bytes(b"no capture at all")
    with pytest.raises(InputError, match="pcap or pcapng"):
        replay.replay(model, recording / "none.pcap")


def test_shuffled_addresses_are_a_permutation_that_every_packet_follows(tmp_path):
    hosts = [f"10.0.0.{number}" for number in range(1, 20)]
    frames = [ethernet(ipv4(udp(1, 2), 17, src=one, dst=two)) for one in hosts for two in hosts if one != two]
    (tmp_path / "in.pcap").write_bytes(pcap(*frames))
    assert replay.shuffle_addresses(tmp_path / "in.pcap", tmp_path / "out.pcap", 1) == 19
    before, after = (list(read_packets(open(tmp_path / name, "rb"), PacketStats())) for name in ("in.pcap", "out.pcap"))
    mapping = {a.src: b.src for a, b in zip(before, after, strict=True)}
    assert sorted(mapping) == sorted(mapping.values()) and mapping != {a: a for a in mapping}
    assert all(mapping[a.dst] == b.dst for a, b in zip(before, after, strict=True))
    assert [a.time_us for a in before] == [b.time_us for b in after]


def test_a_reset_is_still_one_after_its_addresses_are_shuffled(tmp_path):
    whole = [ethernet(ipv4(tcp(40000 + n, 80, RST), src=f"10.0.0.{n}", dst=f"10.7.200.{n}")) for n in range(1, 20)]
    unfinished = [  # the card was to complete the sum of the pseudo header
        ethernet(ipv4(tcp(1, 2, RST)[:16] + b"\x14\x1d" + bytes(2), src=ALICE, dst=BOB))
    ]
    assert 0x0A00 + 0x0001 + 0x0A00 + 0x0002 + 6 + 20 == 0x141D
    (tmp_path / "in.pcap").write_bytes(pcap(*whole, *unfinished))
    replay.shuffle_addresses(tmp_path / "in.pcap", tmp_path / "out.pcap", 3)
    stats = PacketStats()
    after = list(read_packets(open(tmp_path / "out.pcap", "rb"), stats))
    assert len(after) == 20 and stats.malformed_total == 0
    assert any(packet.src != bytes([10, 0, 0, n]) for n, packet in enumerate(after[:19], 1))


def test_broadcast_and_multicast_keep_their_addresses_and_arp_follows(tmp_path):
    frames = [
        ethernet(ipv4(udp(1, 2), 17, src="10.0.0.1", dst="224.0.0.251")),
        ethernet(ipv4(udp(1, 2), 17, src="10.0.0.2", dst="10.0.0.255")),
        ethernet(arp(2, sender="10.0.0.1", target="10.0.0.2"), 0x0806),
    ]
    (tmp_path / "in.pcap").write_bytes(pcap(*frames))
    for seed in range(5):
        replay.shuffle_addresses(tmp_path / "in.pcap", tmp_path / "out.pcap", seed)
        one, two, claim = read_packets(open(tmp_path / "out.pcap", "rb"), PacketStats())
        assert (one.dst, two.dst) == (bytes([224, 0, 0, 251]), bytes([10, 0, 0, 255]))
        assert (claim.arp[2], claim.arp[3]) == (one.src, two.src)


def test_latency_is_counted_from_the_flows_last_packet(tmp_path, model):  # noqa: F811
    (tmp_path / "in.pcap").write_bytes(
        pcap(
            (START - 9 * SECOND, ethernet(ipv4(udp(1, 2), 17))),  # before the part that is played
            (START, ethernet(ipv4(tcp(40000, 80, SYN)))),
            (START + 1000, ethernet(ipv4(tcp(80, 40000, 4), src=BOB, dst=ALICE))),  # RST: a second later it is closed
            (START + 1_300_000, ethernet(ipv4(udp(5, 6), 17))),
            (START + 1_900_000, ethernet(ipv4(udp(5, 6), 17))),
        )
    )
    found = replay.latencies(model, tmp_path / "in.pcap", START / 1e6, 2)
    assert list(found["reason"]) == ["rst"]
    assert found["milliseconds"].iloc[0] > 1000  # never before the linger of one second has passed
