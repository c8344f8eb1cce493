"""The compiled meter's library: what is loaded, what is not, and that no byte beyond a capture is read."""

import re
import shutil
import subprocess
import sys

import pytest
from build_pcap import SYN, ethernet, icmp, ipv4, ipv6, pcap, tcp, udp
from shared_captures import REPOSITORY
from tlids_edge.flows import compiled, core
from tlids_edge.flows.meter import Meter

CORE = REPOSITORY / "edge/tlids_edge/flows/core"
STRICT = ("-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror")
SANITIZED = (*STRICT, "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def built(target, *arguments):
    """Compile with gcc; skip where there is none."""
    gcc = shutil.which("gcc")
    if gcc is None:
        pytest.skip("gcc is not installed")
    subprocess.run([gcc, *arguments, "-o", target], check=True)
    return target


# ---- what is loaded


def test_without_the_library_flows_are_metered_in_python_and_that_is_said(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(core, "LIBRARY", tmp_path / "meter.so")
    assert type(compiled.new_meter()) is Meter
    assert "expected the compiled meter" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["off", "OFF"])
def test_the_switch_forces_python_without_a_word(monkeypatch, capsys, value):
    monkeypatch.setenv(core.SWITCH, value)
    assert type(compiled.new_meter()) is Meter
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("compiled")
def test_a_library_for_another_processor_is_not_used(monkeypatch, tmp_path, capsys):
    other = bytearray(core.LIBRARY.read_bytes())
    other[18:20] = b"\xf3\x00"  # e_machine: RISC-V
    (tmp_path / "meter.so").write_bytes(other)
    monkeypatch.setattr(core, "LIBRARY", tmp_path / "meter.so")
    assert type(compiled.new_meter()) is Meter
    assert "for this machine" in capsys.readouterr().err


def test_a_library_of_another_version_is_not_used(monkeypatch, tmp_path, capsys):
    header = re.sub(r"#define TLIDS_ABI \d+", "#define TLIDS_ABI 99", (CORE / "meter.h").read_text())
    (tmp_path / "meter.h").write_text(header)
    (tmp_path / "meter.c").write_text((CORE / "meter.c").read_text())
    built(tmp_path / "meter.so", *STRICT, "-shared", "-fPIC", tmp_path / "meter.c")
    monkeypatch.setattr(core, "LIBRARY", tmp_path / "meter.so")
    assert type(compiled.new_meter()) is Meter
    assert "layout" in capsys.readouterr().err and "99" in str(core_layout(tmp_path / "meter.so"))


def core_layout(path):
    with pytest.raises(core.CoreUnavailable) as reason:
        core.load(path)
    return reason.value


def test_some_other_library_is_not_used(monkeypatch, tmp_path, capsys):
    (tmp_path / "other.c").write_text("int other(void);\nint other(void) { return 1; }\n")
    built(tmp_path / "meter.so", *STRICT, "-shared", "-fPIC", tmp_path / "other.c")
    monkeypatch.setattr(core, "LIBRARY", tmp_path / "meter.so")
    assert type(compiled.new_meter()) is Meter
    assert "tlids_layout" in capsys.readouterr().err


@pytest.mark.usefixtures("compiled")
def test_the_compiled_meter_is_taken_where_it_is_and_cicflowmeters_endings_are_pythons():
    assert type(compiled.new_meter()) is compiled.CompiledMeter
    assert type(compiled.new_meter("cicflow", endings="cicflowmeter")) is Meter


# ---- memory


def in_a_process(code, *arguments):
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120)


LIMITED = """
import resource, sys
from tlids_edge.errors import InputError
from tlids_edge.flows.compiled import CompiledMeter
size = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (size + int(sys.argv[1]),) * 2)
try:
    print(len(CompiledMeter(max_flows=20_000)))
except InputError as error:
    print(error)
"""


@pytest.mark.usefixtures("compiled")
def test_under_a_limit_of_memory_the_table_is_there_as_a_whole_or_not_at_all():
    assert in_a_process(LIMITED, str(64 << 20)).stdout == "0\n"
    assert "found too little: lower --max-flows" in in_a_process(LIMITED, str(4 << 20)).stdout


GUARDED = """
import ctypes, mmap, sys
import numpy as np
from tlids_edge.flows import core
from tlids_edge.flows.compiled import CompiledMeter
from tlids_edge.flows.rows import PACKET
capture = bytes.fromhex(sys.argv[1])[24:]
pages = mmap.mmap(-1, 2 * mmap.PAGESIZE)
start = ctypes.addressof(ctypes.c_char.from_buffer(pages))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.mprotect(ctypes.c_void_p(start + mmap.PAGESIZE), mmap.PAGESIZE, 0) == 0
meter, entries, found = CompiledMeter("both"), np.zeros(64, PACKET), 0
for size in range(len(capture) + 1):
    begin = mmap.PAGESIZE - size
    pages[begin : mmap.PAGESIZE] = capture[:size]
    for shorter in range(0, 60, 3):
        if size >= 16:
            captured = max(size - 16 - shorter, 0)
            pages[begin + 8 : begin + 12] = captured.to_bytes(4, "little")
        reading = core.Reading()
        meter.decode(reading, (start + begin, size), 0, (entries.ctypes.data, 64))
        line = core.Line(end=reading.count, block=1, most_bytes=1, latest_us=1 << 62, at_end=1, newest_us=-1)
        if reading.count > reading.odd:
            while meter.pass_on(line, entries.ctypes.data, (start + begin, size), 0) != core.NOTHING_LEFT:
                meter.take_notes()
            found += line.number
print(found)
"""


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize(
    "frame",
    [
        ethernet(ipv4(tcp(flags=SYN, payload=b"abc"))),
        ethernet(ipv4(tcp(flags=4))),
        ethernet(ipv6(tcp()), 0x86DD),
        ethernet(ipv4(udp(payload=b"x"), 17)),
        ethernet(ipv4(icmp(), 1)),
        ethernet(b"\x00\x05\x08\x00" + ipv4(tcp()), 0x8100),
    ],
    ids=["tcp", "rst", "ipv6", "udp", "icmp", "vlan"],
)
def test_no_byte_behind_a_record_is_read(frame):
    done = in_a_process(GUARDED, pcap(frame).hex())
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0


def test_chains_stay_short_a_known_key_changes_allocations_may_fail_rows_end_and_emptied_tables_go_on(tmp_path):
    program = built(tmp_path / "inside", *SANITIZED, f"-I{CORE}", REPOSITORY / "tests/edge/flows/core_inside.c")
    done = subprocess.run([program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_sanitizers_report_nothing_while_damaged_records_come_in(tmp_path):
    program = built(tmp_path / "fuzz", *SANITIZED, CORE / "fuzz.c", CORE / "meter.c")
    done = subprocess.run([program, "100000000", "8"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no report" in done.stdout
