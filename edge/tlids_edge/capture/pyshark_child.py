"""The paper's capture (Section 5.3): pyshark reads the packets, and hands them over as a pcap stream.

Run as a program, `pyshark_child.py INTERFACE|FILE`, it writes pcap to standard output, so that the rest
of the program treats it like tcpdump. It exists for comparison: tshark dissects every packet to JSON and
pyshark parses it, which is 150 times slower than reading tcpdump's pipe, and nobody counts the packets that
are lost on the way.
"""

import asyncio
import os
import signal
import struct
import sys

SNAPLEN = 262_144
# Wireshark's encapsulation number -> the pcap file's link type
LINK_TYPES = {1: 1, 7: 101, 15: 0, 20: 105, 23: 127, 25: 113, 210: 276}


def main(arguments: list[str]) -> int:
    """Write packets to standard output until the source ends or SIGTERM comes."""
    signal.signal(signal.SIGTERM, _interrupt)
    capture = None
    try:
        capture = _open(arguments[0])
        _copy(capture)
    except (KeyboardInterrupt, BrokenPipeError, EOFError):
        pass
    except Exception as error:  # pyshark raises plain Exceptions of many kinds
        print(f"pyshark: {error}", file=sys.stderr)
        return 1
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _end_tshark(capture)
    return 0


def _open(source: str):
    """A pyshark capture of a file or an interface that also gives the raw bytes."""
    try:
        import pyshark  # here, because it is optional: a message says how to install it
    except ImportError:
        sys.exit('InputError: expected pyshark, found none: pip install "tlids-edge[pyshark]"; sudo apt install tshark')
    kind = {"input_file": source, "keep_packets": False} if os.path.isfile(source) else {"interface": source}
    reader = pyshark.FileCapture if "input_file" in kind else pyshark.LiveCapture
    return reader(**kind, use_json=True, include_raw=True, eventloop=asyncio.new_event_loop())


def _copy(capture) -> None:
    """Copy every packet; the first one tells the link type."""
    link_type = None
    live = getattr(capture, "sniff_continuously", None) if not hasattr(capture, "input_filepath") else None
    for packet in live() if live else capture:
        found = LINK_TYPES.get(int(packet.frame_info.encap_type))
        if found is None or link_type not in (None, found):
            continue  # one pcap stream has one link type
        if link_type is None:
            link_type = found
            _write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, SNAPLEN, link_type))
        frame = packet.get_raw_packet()
        seconds, micros = divmod(round(packet.sniff_time.timestamp() * 1_000_000), 1_000_000)
        _write(struct.pack("<IIII", seconds, micros, len(frame), int(packet.frame_info.len)) + frame)


def _write(data: bytes) -> None:
    """Write all of it to standard output, past Python's buffers."""
    while data:
        data = data[os.write(1, data) :]


def _interrupt(_number, _frame) -> None:
    """Turn SIGTERM into the exception that ends the loop."""
    raise KeyboardInterrupt


def _end_tshark(capture) -> None:
    """End the tshark and dumpcap that pyshark started."""
    for child in getattr(capture, "_running_processes", ()):
        try:
            child.terminate()
        except ProcessLookupError:
            pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
