"""Fuzz the decoder and the meter with mutated captures; the tests run a little of it, and this file runs millions:

    python tests/bench/fuzz_packets.py --inputs 10000000 --seed 1

Frames come from hand-built seeds and, where there are any, from the shared captures; some captures hold fragments and
answers between the same ends beside them. All pass through the clock, with tunnels opened, and every flow is written as
EVE. Whatever comes in, the only exception is InputError and the counts must add up.
"""

import argparse
import io
import json
import math
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "edge"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cases"))

import numpy as np
from build_pcap import (
    ACK,
    ALICE,
    BOB,
    RST,
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
from link_frames import LINKS, TUNNELS
from shared_captures import captures
from tlids_edge.alerts.eve import alert_line, flow_line
from tlids_edge.capture import link_layers
from tlids_edge.capture.clock import Clock
from tlids_edge.capture.packets import PacketStats, read_packets
from tlids_edge.capture.pcap import read_records
from tlids_edge.detect.card import read_card
from tlids_edge.detect.detector import Verdict
from tlids_edge.errors import InputError
from tlids_edge.flows.meter import DIALECTS, Flow, Meter
from tlids_edge.flows.ndpi import Ndpi

CARD = read_card(Path(__file__).resolve().parents[2] / "edge/models/testbed")
LINK_TYPES = (*link_layers.LINK_TYPES, 195)  # and one that is not read
INTERESTING = [
    bytes.fromhex(value)
    for value in "00 ff 7f 80 45 60 2c 8100 88a8 8847 8864 ffff 00000000 ffffffff aaaa03 0a0d0d0a".split()
]
EXTENSIONS = bytes([43, 0]) + bytes(6) + bytes([44, 0]) + bytes(6) + bytes([6, 0]) + bytes(6)
RELAYED = b"\x00\x00\x08\x00" + bytes(4) + b"\x88\x03" + bytes(30) + b"\xaa\xaa\x03" + bytes(3) + b"\x08\x00"
BUILT = (
    (1, ethernet(ipv4(tcp(flags=SYN)))),
    (1, ethernet(ipv4(tcp(payload=b"GET / HTTP/1.1\r\n\r\n", options=bytes(12))))),
    (1, ethernet(ipv4(udp(payload=bytes(30)), 17, options=bytes(8)))),
    (1, ethernet(ipv4(udp(payload=bytes(30)), 17, fragment=0x2001))),
    (1, ethernet(ipv4(tcp(flags=SYN)[:8], fragment=0x2000))),
    (1, ethernet(ipv4(bytes(12), fragment=1))),
    (1, ethernet(ipv4(tcp(flags=RST | ACK)))),
    (1, ethernet(ipv4(tcp(80, 40000, SYN | ACK), src=BOB, dst=ALICE))),
    (1, ethernet(b"\x00\x64\x08\x00" + ipv4(tcp(80, 40000, SYN | ACK), src=BOB, dst=ALICE), 0x8100)),
    (1, ethernet(ipv6(b"\x06\x00\x00\x01" + bytes(4) + tcp(), 44), 0x86DD)),
    (1, ethernet(ipv6(b"\x06\x00\x00\x10" + bytes(4) + bytes(20), 44), 0x86DD)),
    (1, ethernet(ipv4(icmp(), 1))),
    (1, ethernet(ipv6(EXTENSIONS + tcp(), 0), 0x86DD)),
    (1, ethernet(arp(), 0x0806)),
    (1, ethernet(bytes(4) + ipv4(tcp()), 0x8847)),
    (113, bytes(14) + b"\x08\x00" + ipv4(udp(), 17)),
    (127, RELAYED + ipv4(tcp())),
    *LINKS.values(),
    *((1, frame) for frame, _ in TUNNELS.values()),
)


def seeds(per_capture: int = 60) -> list[tuple[int, bytes]]:
    """Link type and frame of the first packets of every shared capture, and of the hand-built ones."""
    found = list(BUILT)
    for parameter in (*captures("conformance"), *captures("pcap")):
        if parameter.values[0] is None:
            continue
        with open(parameter.values[0], "rb") as stream:
            for _, record in zip(range(per_capture), read_records(stream, PacketStats()), strict=False):
                found.append((record.link_type, record.frame[:200]))
    return found


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Change a few places: a bit, a byte, an interesting value, a cut, a repetition."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        if not changed:
            break
        at = chance.randrange(len(changed))
        kind = chance.randrange(6)
        if kind == 0:
            changed[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            changed[at] = chance.randrange(256)
        elif kind == 2:
            value = chance.choice(INTERESTING)
            changed[at : at + len(value)] = value
        elif kind == 3:
            del changed[at:]
        elif kind == 4:
            del changed[at : at + chance.randrange(1, 9)]
        else:
            changed[at:at] = changed[max(0, at - chance.randrange(1, 17)) : at]
    return bytes(changed)


def inputs(count: int, seed: int, corpus: list[tuple[int, bytes]]) -> Iterator[bytes]:
    """Yield `count` captures: one to three frames, mutated before or after they are put into a file."""
    chance = random.Random(seed)
    for _ in range(count):
        link_type, frame = chance.choice(corpus)
        frames = [frame] * chance.choice((1, 1, 2, 3))
        if link_type == 1 and chance.random() < 0.3:
            frames.append(chance.choice(BUILT[:17])[1])
        if chance.random() < 0.7:
            frames = [mutate(frame, chance) for frame in frames]
        if chance.random() < 0.05:
            link_type = chance.choice(LINK_TYPES)
        order = chance.choice("<>")
        if chance.random() < 0.7:
            capture = pcap(*frames, link_type=link_type, order=order, nanoseconds=chance.random() < 0.3)
        else:
            capture = section(order) + interface(link_type, order=order)
            capture += b"".join(enhanced_packet(frame, START + 9 * i, order=order) for i, frame in enumerate(frames))
        yield mutate(capture, chance) if chance.random() < 0.5 else capture


def check(capture: bytes, endings: str = "tlids", l7: Ndpi | None = None, decap: bool = True) -> int:
    """Decode and meter one capture, and check what must hold for any; returns its number of flows."""
    stats, meter = PacketStats(decap=decap), Meter("both", max_flows=2, endings=endings, l7=l7)
    clock = Clock(stats.times)
    yielded = counted = 0
    try:
        for packet in clock.ordered(read_packets(io.BytesIO(capture), stats)):
            yielded += 1
            counted += packet.protocol >= 0
            assert packet.length >= 0 and packet.payload_length >= 0 and 0 <= packet.vlan < 1 << 24
            meter.add(packet)
            assert len(meter) <= 2
    except InputError:
        return 0
    read, left_out = yielded + stats.non_ip, stats.malformed_total + sum(stats.unreadable.values())
    assert read <= stats.packets + stats.aggregated <= read + left_out
    meter.close_all()
    flows, notes = meter.take(), meter.take_unanswered()
    assert len(notes) <= meter.opened and len(stats.take_tiny_fragments()) <= stats.tiny_fragments
    if endings == "tlids":
        assert sum(flow.in_packets + flow.out_packets for flow in flows) == counted
        assert len(flows) == meter.opened == sum(meter.closed.values())
    for flow in flows:
        assert flow.end_reason and flow.src and flow.dst and flow.last_us >= flow.first_us
        assert not flow.proven or flow.answered and flow.in_packets
        _check_lines(flow)
        for values in (flow.netflow(), *(flow.cicflow(dialect) for dialect in DIALECTS)):
            assert all(math.isfinite(value) and value >= -1 for value in values), values
    return len(flows)


def _check_lines(flow: Flow) -> None:
    """The EVE lines of a flow are JSON of one line each, whatever its packets held."""
    verdict = Verdict(flow, np.full(len(CARD.classes), 0.1), CARD.classes[-1], True, 0.9)
    for line in (alert_line(verdict, CARD), flow_line(verdict, True)):
        assert line.endswith(b"\n") and line.count(b"\n") == 1
        assert {"timestamp", "flow_id", "src_ip", "dest_ip"} <= json.loads(line).keys()


def main() -> None:
    """Run, print the rate, and stop with the offending input in a file when something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ndpi", action="store_true", help="show the packets to nDPI as well")
    parser.add_argument("--store", metavar="COMMAND", help="put the counts into docs/results/edge.json, as its outcome")
    options = parser.parse_args()
    l7 = Ndpi() if options.ndpi else None
    started, flows, done = time.monotonic(), 0, 0
    for done, capture in enumerate(inputs(options.inputs, options.seed, seeds()), 1):
        try:
            flows += check(capture, "cicflowmeter" if done % 8 == 0 else "tlids", l7)
        except BaseException:
            Path(f"fuzz-{options.seed}-{done}.pcap").write_bytes(capture)
            raise
        if done % 500_000 == 0:
            print(
                f"{done:,} inputs, {flows:,} flows, {done / (time.monotonic() - started):,.0f} inputs/s",
                flush=True,
            )
    print(f"{done:,} inputs, {flows:,} flows, no fault, {time.monotonic() - started:,.0f} s")
    if options.store:
        import kept

        kept.keep_edge("fuzzing", options.store, {"fuzz-inputs": f"{done:,}", "fuzz-flows": f"{flows:,}"})


if __name__ == "__main__":
    main()
