"""Captures that come badly: a pipe that does not block, a failing disk, a header of no section, thousands of pieces."""

import gzip
import io
import os
import pty
import subprocess
import sys
import tty

import pytest
from build_pcap import option
from case_commands import LIMIT_S, capture_of, environment
from case_times import TWO, meter, ng
from edge_process import unread, wait_for
from tlids_edge.capture import live
from tlids_edge.capture.inflate import Inflated
from tlids_edge.capture.packets import PacketStats, read_packets
from tlids_edge.cli import meter as meter_cli
from tlids_edge.errors import InputError

FLOWS = 5


def test_a_pipe_that_somebody_left_non_blocking_is_read_to_its_end():
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    command = [sys.executable, "-m", "tlids_edge.cli.meter", "-", "--no-l7"]
    pipes = {"stdin": reading, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment(), **pipes) as metering, open(writing, "wb", buffering=0) as pipe:
        content = capture_of(FLOWS)
        pipe.write(content[:60])
        wait_for(lambda: not unread(reading), "the first bytes to be read")
        pipe.write(content[60:])
        pipe.close()
        os.close(reading)
        output, said = metering.communicate(timeout=LIMIT_S)
    assert len(output.splitlines()) == FLOWS + 1 and b"0 malformed" in said


def failing_disk() -> int:
    """A descriptor that gives a capture, then an input/output error: a terminal whose other end is closed."""
    here, there = pty.openpty()
    tty.setraw(there)
    os.write(there, capture_of(FLOWS))
    os.close(there)
    return here


def test_a_read_error_is_told_of_the_capture_and_not_of_the_output(tmp_path):
    disk, output = failing_disk(), tmp_path / "flows.csv"
    command = [sys.executable, "-m", "tlids_edge.cli.meter", "-", "-o", str(output), "--no-l7"]
    done = subprocess.run(command, stdin=disk, capture_output=True, timeout=LIMIT_S, env=environment())
    os.close(disk)
    assert done.returncode == 2 and not output.exists()
    assert b"expected a capture standard input that can be read, found: Input/output error" in done.stderr


def test_a_read_error_while_watching_is_one_sentence():
    disk = failing_disk()
    stream = live.buffered(disk, bool, "a.pcap")
    with pytest.raises(
        InputError, match="a capture a.pcap that can be read, found: Input/output error: check the disk"
    ):
        list(read_packets(stream, PacketStats()))
    os.close(disk)


def test_a_section_without_a_byte_order_is_no_capture(tmp_path, capsys):
    """As of a text that begins with the same four characters: it would be an empty table."""
    (tmp_path / "c.pcapng").write_bytes(b"\n\r\r\n" + b"flows of Monday\n")
    assert meter_cli.main([str(tmp_path / "c.pcapng"), "-o", str(tmp_path / "x")]) == 2
    said = capsys.readouterr().err
    assert "found data that begins with the bytes 0a 0d 0d 0a" in said and not (tmp_path / "x").exists()


@pytest.mark.parametrize("magic", [b"\x34\xcd\xb2\xa1", b"\xa1\xb2\xcd\x34", b"snoop\0\0\0"])
def test_a_capture_in_another_format_is_told_how_to_convert_it(magic):
    with pytest.raises(InputError, match="editcap -F pcap"):
        list(read_packets(io.BytesIO(magic + bytes(100)), PacketStats()))


@pytest.mark.parametrize("magic", [b"7z\xbc\xaf\x27\x1c", b"\x04\x22\x4d\x18", b"\x1f\x9d\x90", b"Rar!\x1a"])
def test_an_archive_is_told_to_be_unpacked(magic):
    with pytest.raises(InputError, match="found compressed data: unpack it"):
        list(read_packets(io.BytesIO(magic + bytes(100)), PacketStats()))


def test_thousands_of_gzip_members_of_a_byte_each_are_few_pieces():
    content = capture_of(50)
    members = b"".join(gzip.compress(bytes([byte]), 1) for byte in content)
    inflated = Inflated(io.BytesIO(members).read, b"")
    pieces = list(iter(lambda: inflated.read(1 << 18), b""))
    assert b"".join(pieces) == content and len(pieces) == 1


def test_a_resolution_of_127_digits_is_told_in_few_words(tmp_path):
    (tmp_path / "c.pcapng").write_bytes(ng(*[time_us for time_us, _ in TWO], options=option(9, b"\x7f")))
    warning = meter(tmp_path / "c.pcapng")[1].packets.times.warning()
    assert "microseconds, though the capture says 1e+127 ticks a second" in warning
