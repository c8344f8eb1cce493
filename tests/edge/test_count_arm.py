"""Instructions a packet on aarch64 do not grow unnoticed: counted over a few thousand packets of the testbed."""

import json
import platform
import shutil
import struct
import sys

import build_pcap
import pytest
from arm import count_arm
from arm.counter import Counter
from tlids_edge.errors import InputError
from zig_compiler import set_up_zig

GROWTH = 1.25
STORED = json.loads(count_arm.RESULT.read_text())


@pytest.fixture(scope="module")
def counter(tmp_path_factory) -> Counter:
    """The emulator with its plugin; the first time it is downloaded into build/arm."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        pytest.skip("needs Linux on x86-64: QEMU is Debian's for that")
    for tool in ("apt-get", "dpkg-deb", "make"):
        if not shutil.which(tool):
            pytest.skip(f"needs {tool}")
    set_up_zig()
    try:
        return Counter(tmp_path_factory.mktemp("aarch64"))
    except InputError as error:
        pytest.skip(f"no emulator that loads plugins: {error}")


def test_a_packet_takes_at_most_a_quarter_more_instructions_than_stored(counter, tmp_path):
    found = count_arm.short_count(counter, tmp_path)
    limit = GROWTH * STORED["short"]
    assert found <= limit, (
        f"expected at most {limit:,.0f} instructions a packet, found {found:,.0f}: make it cheaper, or, if it must be, "
        "run `make count-arm`"
    )


def test_a_run_counts_the_same_twice_and_pythons_meter_counts_more(counter, tmp_path):
    capture = count_arm.flood(50, tmp_path)
    once, again = (counter.count(capture, "compiled", ndpi=False) for _ in range(2))
    assert (once.packets, once.flows) == (50, 50)
    assert abs(once.instructions - again.instructions) < 0.001 * once.instructions
    python = counter.count(count_arm.flood(1050, tmp_path), "Python", ndpi=False)
    assert python.packets == 1050 and python.instructions > once.instructions + 1000 * 10_000


def test_the_first_packets_of_a_capture_are_whole_records(tmp_path):
    source = tmp_path / "three.pcap"
    source.write_bytes(build_pcap.pcap(b"a" * 60, b"b" * 61, b"c" * 62))
    cut = count_arm.first_packets(source, 2, tmp_path)
    assert cut.read_bytes() == build_pcap.pcap(b"a" * 60, b"b" * 61)
    assert count_arm.first_packets(source, 9, tmp_path).read_bytes() == source.read_bytes()
    frame = count_arm.flood(300, tmp_path).read_bytes()[-54:]
    assert struct.unpack_from("!4B", frame, 26) == (11, 0, 1, 43) and frame[47] == build_pcap.SYN


def test_what_is_stored_is_on_paper_what_the_page_says():
    rates = [
        STORED["hertz"] * share / line["instructions"] for line in STORED["lines"] for share in STORED["per_cycle"]
    ]
    assert min(rates) > 1_000 and STORED["hertz"] == 1_200_000_000
    ways = {line["way"] for line in STORED["lines"]}
    assert ways == set(count_arm.WAYS)
