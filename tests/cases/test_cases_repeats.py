"""Exact repeats, as mirror ports make them: editcap drops the same ones."""

import shutil
import struct
import subprocess

import link_frames as lf
import pytest
from build_pcap import SECOND, START, ethernet, ipv4, pcap, udp
from case_packets import decode
from edge_process import events, run_edge
from link_frames import E4, T4, U4, amsdu, outer, outer_udp, snap, wifi


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
