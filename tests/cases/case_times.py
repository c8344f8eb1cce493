"""Captures with odd times, metered: their rows, who opened which flow, what was warned of."""

import os
import subprocess
import sys

from build_pcap import SECOND, START, enhanced_packet, interface, section
from edge_process import LIMIT_S
from timed_captures import session
from tlids_edge.flows import table

TWO = session(START) + session(START + 3 * SECOND, 40_001)
YEAR_2100 = 4_102_444_800 * SECOND


def meter(*captures, **options):
    """The rows of captures, and their outcome."""
    outcome = table.Outcome()
    return list(table.flow_rows(captures, table.Options(family="both", with_l7=False, **options), outcome)), outcome


def rows(*captures, **options):
    return meter(*captures, **options)[0]


def warning(*captures):
    return meter(*captures)[1].packets.times.warning()


def clients(found):
    """Who opened which flow."""
    return sorted((row[0], row[1], row[2], row[3]) for row in found)


def run_meter(*arguments, **settings):
    command = [sys.executable, "-m", "tlids_edge.cli.meter", *map(os.fsdecode, arguments), "--no-l7"]
    return subprocess.run(command, capture_output=True, timeout=LIMIT_S, **settings)


def ng(*ticks, options=b"", order="<"):
    """A pcapng capture of two connections, with these times."""
    blocks = [enhanced_packet(frame, tick, order=order) for tick, (_, frame) in zip(ticks, TWO, strict=False)]
    return section(order) + interface(options=options, order=order) + b"".join(blocks)
