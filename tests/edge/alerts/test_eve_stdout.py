"""eve_stdout.py: a reader that is slow, or never reads."""

import os

from tlids_edge.alerts.eve_stdout import StdoutSink


def test_a_reader_who_never_reads_costs_bounded_memory_and_whole_lines_when_live():
    reading, writing = os.pipe()
    sink = StdoutSink(writing, patient=False)
    line = b"x" * 999 + b"\n"
    for _ in range(6000):
        sink.write([line])
    assert sink.unwritten > 0 and sink._held_bytes <= 4 << 20
    got = os.read(reading, 1 << 20)
    assert got.count(b"\n") * 1000 == len(got)
    os.close(reading)
    os.close(writing)
