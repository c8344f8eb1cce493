"""`meter_capture.py CAPTURE compiled|Python rows|objects [ndpi]`: meter one capture; the emulated machine runs this.

`objects`: ended flows become Flow objects, as in tlids-meter; `rows`: they stay a matrix, as in tlids-edge.
Standard output has the packets and flows that were counted, as one JSON object.
"""

import json
import sys

from tlids_edge.capture.packets import PacketStats, read_packets
from tlids_edge.flows.compiled import CompiledMeter
from tlids_edge.flows.meter import Meter
from tlids_edge.flows.ndpi import Ndpi
from tlids_edge.flows.raw import RawReader

BATCH = 1000  # packets, between two times that ended flows are taken


def main(capture: str, kind: str, flows: str, l7: str = "") -> None:
    """Meter the capture, and say what was counted."""
    ndpi = Ndpi() if l7 else None
    stats = PacketStats()
    with open(capture, "rb") as stream:
        if kind == "compiled":
            meter = CompiledMeter(l7=ndpi)
            take = meter.take if flows == "objects" else meter.take_rows
            ended = 0
            for _ in RawReader(meter, stats).read(stream):
                ended += len(take())
                meter.take_notes()
        else:
            meter = Meter(l7=ndpi)
            take, ended = meter.take, 0
            for number, packet in enumerate(read_packets(stream, stats)):
                meter.add(packet)
                if number % BATCH == 0:
                    ended += len(take())
                    meter.take_unanswered()
    meter.close_all()
    print(json.dumps({"packets": stats.packets, "flows": ended + len(take())}))


if __name__ == "__main__":
    main(*sys.argv[1:])
