"""`meter_capture.py CAPTURE compiled|Python rows|objects [ndpi]`: meter one capture; the emulated machine runs this.

`rows`: as tlids-edge does it, whose model and rules are left out, since QEMU 7.2 runs no LiteRT: packets pass in slices
of time, ended flows stay a matrix, and notes of unanswered flows are taken when the rules would be due. `objects`: as
tlids-meter does it, whose flows become Flow objects. Standard output has the packets and flows that were counted, as
one JSON object.
"""

import json
import sys
from typing import BinaryIO

from tlids_edge.capture.packets import ICMPV6, Packet, PacketStats, read_packets
from tlids_edge.flows.compiled import CompiledMeter
from tlids_edge.flows.meter import Meter
from tlids_edge.flows.ndpi import Ndpi
from tlids_edge.flows.raw import RawReader
from tlids_edge.flows.slices import SLICE_US

BATCH = 1000  # packets, between two times that the Python meter's ended flows are taken
MANY = 256  # notes are taken at once, as detect/rules.py has it


def main(capture: str, kind: str, flows: str, l7: str = "") -> None:
    """Meter the capture, and say what was counted."""
    ndpi = Ndpi() if l7 else None
    meter = CompiledMeter(l7=ndpi) if kind == "compiled" else Meter(l7=ndpi)
    way = in_python if kind != "compiled" else in_slices if flows == "rows" else as_objects
    stats = PacketStats()
    with open(capture, "rb") as stream:
        ended = way(meter, stats, stream)
    meter.close_all()
    rest = meter.take_rows() if way is in_slices else meter.take()
    print(json.dumps({"packets": stats.packets, "flows": ended + len(rest)}))


def in_slices(meter: CompiledMeter, stats: PacketStats, stream: BinaryIO) -> int:
    """tlids-edge's way; how many flows have ended."""
    reader, ended, due_us = RawReader(meter, stats, True, is_for_a_rule, SLICE_US), 0, 0
    for _ in reader.read(stream):
        noted = meter.noted
        if noted and (noted >= MANY or not 0 <= due_us - reader.now_us <= SLICE_US):
            due_us = reader.now_us + SLICE_US
            meter.take_notes()
        if meter.ended:
            ended += len(meter.take_rows())
    return ended


def is_for_a_rule(packet: Packet) -> bool:
    """Whether a rule would see a packet that Python has decoded."""
    return packet.arp is not None or packet.protocol == ICMPV6


def as_objects(meter: CompiledMeter, stats: PacketStats, stream: BinaryIO) -> int:
    """tlids-meter's way; how many flows have ended."""
    ended = 0
    for _ in RawReader(meter, stats).read(stream):
        ended += len(meter.take())
        meter.take_notes()
    return ended


def in_python(meter: Meter, stats: PacketStats, stream: BinaryIO) -> int:
    """The Python meter alone; how many flows have ended."""
    ended = 0
    for number, packet in enumerate(read_packets(stream, stats)):
        meter.add(packet)
        if number % BATCH == 0:
            ended += len(meter.take())
            meter.take_unanswered()
    return ended


if __name__ == "__main__":
    main(*sys.argv[1:])
