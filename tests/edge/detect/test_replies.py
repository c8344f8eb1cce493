"""replies.py: which ICMP flows answer a knock, and how little of other ICMP a forged knock can hide."""

import struct
from ipaddress import ip_address

import build_pcap as build
import numpy as np
import pytest
from frames import T0, ethernet, udp
from home_traffic import ATTACKER_MAC, GATEWAY, GATEWAY_MAC, PHONE, PHONE_MAC, packets
from tlids_edge.capture.packets import PacketStats, address_text
from tlids_edge.detect.replies import MOST, Replies
from tlids_edge.detect.rules import Rules
from tlids_edge.flows.compiled import CompiledMeter, take_rows
from tlids_edge.flows.meter import Meter, Unanswered
from tlids_edge.flows.rows import ROW

FORGED = {"src_mac": ATTACKER_MAC, "dst_mac": PHONE_MAC}
BACK = {"src_mac": PHONE_MAC, "dst_mac": GATEWAY_MAC}
STRANGER = "203.0.113.7"
VICTIM = ip_address(PHONE).packed


@pytest.fixture(params=["python", "compiled"])
def meter(request):
    if request.param == "compiled":
        request.getfixturevalue("compiled")
        return CompiledMeter()
    return Meter()


def knock(seconds: float, src: str = STRANGER, port: int = 7):
    return T0 + seconds, udp(src, 1000, PHONE, port, **FORGED)


def error(seconds: float, dst: str = STRANGER, quoted: int = 28):
    """Port unreachable (RFC 792), with so many bytes of the datagram that it answers."""
    datagram = build.ipv4(build.udp(1000, 7, bytes(1000)), 17, dst, PHONE)[:quoted]
    return T0 + seconds, ethernet(build.ipv4(struct.pack("!BBHI", 3, 3, 0, 0) + datagram, 1, PHONE, dst), **BACK)


def ping(seconds: float, dst: str = STRANGER):
    return T0 + seconds, ethernet(build.ipv4(build.icmp(8, bytes(56)), 1, PHONE, dst), **BACK)


def marked(meter, frames, until: float = 0) -> list[tuple[str, str]]:
    """Source and destination of the flows that only reply, as the program finds them."""
    rules, stats, found = Rules(None, None), PacketStats(), []

    def note_ended(now_us=None):
        rules.hear(meter, stats, now_us)
        rows = take_rows(meter)
        rules.note_rows(rows)
        found.extend(
            tuple(address_text(row[end].tobytes()[: row["address_bytes"]]) for end in ("src", "dst"))
            for row in rows[rows["is_reply"] > 0]
        )

    frames = [*sorted(frames), (T0 + until, udp(GATEWAY, 1, GATEWAY, 2))] if until else sorted(frames)
    for packet in packets(frames):
        meter.add(packet)
        note_ended(packet.time_us)
    meter.close_all()
    note_ended()
    return found


@pytest.mark.parametrize("until", [0, 40])  # the flows end with the run, or as idle
def test_errors_to_who_has_knocked_are_replies(meter, until):
    sources = [f"10.{n >> 8}.{n & 255}.9" for n in range(300)]
    frames = [frame for n, src in enumerate(sources) for frame in (knock(n * 0.01, src), error(n * 0.01 + 0.001, src))]
    assert sorted(marked(meter, frames, until)) == sorted((PHONE, src) for src in sources)


def test_errors_of_ipv6_are_replies(meter):
    ends = "2001:db8::7", "2001:db8::1"
    there = build.ipv6(build.udp(1000, 7, b"x"), 17, *ends)
    back = build.ipv6(struct.pack("!BBHI", 1, 4, 0, 0) + there, 58, *ends[::-1])  # RFC 4443, 3.1
    frames = [(T0, ethernet(there, 0x86DD, **FORGED)), (T0 + 0.001, ethernet(back, 0x86DD, **BACK))]
    assert marked(meter, frames) == [(str(ip_address(ends[1])), ends[0])]


def test_one_error_a_second_to_a_flood_of_one_source_is_a_reply(meter):
    frames = [knock(n * 0.1) for n in range(300)]  # the bucket of Linux: six at once, then one a second
    frames += [error(n * 0.1 + 0.001) for n in range(6)] + [error(n + 0.501) for n in range(1, 30)]
    assert marked(meter, frames) == [(PHONE, STRANGER)]


def test_icmp_to_who_has_not_knocked_is_no_reply(meter):
    assert marked(meter, [knock(0), error(0.1, "203.0.113.8"), ping(0.2, "203.0.113.9")]) == []


def test_a_ping_flood_after_a_forged_knock_is_no_reply(meter):
    assert marked(meter, [knock(0), *(ping(2 + n * 0.01) for n in range(200))]) == []


def test_a_ping_sweep_after_a_forged_knock_hides_one_host(meter):
    hosts = [f"203.0.113.{n}" for n in range(1, 121)]
    assert marked(meter, [knock(0), *(ping(2 + n * 0.01, host) for n, host in enumerate(hosts))]) == [(PHONE, STRANGER)]


def test_a_knock_covers_one_flow(meter):
    assert marked(meter, [knock(0), *(ping(2 + n * 16) for n in range(3))]) == [(PHONE, STRANGER)]
    assert len(marked(meter, [knock(0), ping(1), knock(100), ping(101)])) == 2


def test_icmp_larger_than_an_error_may_be_is_no_reply(meter):
    assert marked(meter, [knock(0), error(0.1, quoted=548)]) == [(PHONE, STRANGER)]  # 576 bytes: RFC 1812, 4.3.2.3
    assert marked(meter, [knock(100), error(100.1, quoted=549)]) == []


@pytest.mark.parametrize(("late", "replies"), [(40, 1), (150, 0)])
def test_a_knock_counts_for_a_minute_or_two(meter, late, replies):
    assert len(marked(meter, [knock(0), ping(late)])) == replies


def test_a_clock_that_is_set_back_forgets_knocks_and_takes_new_ones():
    replies, found = Replies(), []
    for seconds, knocker in ((7200, b"\1\1\1\1"), (0, b"\2\2\2\2")):
        replies.note([Unanswered(int((T0 + seconds) * 1e6), knocker, VICTIM, 7, 17, b"")])
        found.append(marks(replies, T0 + seconds, knocker))
        replies.note([Unanswered(int((T0 + seconds) * 1e6), knocker, VICTIM, 7, 17, b"")])
    assert found == [[1], [1]] and marks(replies, T0, b"\1\1\1\1", b"\2\2\2\2") == [0, 1]


def test_a_flood_of_knocks_is_forgotten_in_bounded_memory():
    replies = Replies()
    for start in range(0, 5 * MOST, 500):
        sources = [number.to_bytes(4) for number in range(start, start + 500)]
        replies.note([Unanswered(int(T0 * 1e6), src, VICTIM, 7, 17, b"") for src in sources])
    assert len(replies._young) + len(replies._old) <= 2 * (MOST + 500)
    assert marks(replies, T0, (5 * MOST - 1).to_bytes(4), b"\0\0\0\1") == [1, 0]


def marks(replies: Replies, seconds: float, *to: bytes) -> list[int]:
    """How errors of the victim to these hosts are marked."""
    rows = np.zeros(len(to), ROW)
    rows["protocol"], rows["address_bytes"], rows["in_packets"], rows["in_bytes"] = 1, 4, 1, 56
    rows["src"], rows["dst"] = VICTIM, np.array(to, "S16").view("V16")
    rows["first_us"] = rows["last_us"] = seconds * 1e6
    replies.mark(rows)
    return rows["is_reply"].tolist()
