"""Which program captures an interface: names that are refused, arguments without a shell, and what each lacks."""

import os
import re
import sys

import pytest
from tlids_edge.capture import programs
from tlids_edge.errors import InputError


@pytest.mark.parametrize(
    "name",
    [
        "",
        "nosuchif0",
        "-w/etc/passwd",
        "--help",
        "../../etc",
        "lo;reboot",
        "lo reboot",
        "a" * 16,
        ".",
        "lo\n",
        "$(id)",
    ],
)
def test_what_is_no_interface_reaches_no_program(name):
    with pytest.raises(InputError, match="expected a network interface, found"):
        programs.capture_command(name, "", print)


def test_the_command_is_a_list_with_the_interface_as_the_value_of_i(monkeypatch):
    monkeypatch.setattr(programs.shutil, "which", lambda *_, **__: "/usr/bin/tcpdump")
    command = programs.tcpdump_command("lo")
    assert command[:3] == ["/usr/bin/tcpdump", "-i", "lo"] and command[-2:] == ["-w", "-"] and "-U" in command


def test_no_tcpdump_is_a_sentence(monkeypatch):
    monkeypatch.setattr(programs.shutil, "which", lambda *_, **__: None)
    with pytest.raises(InputError, match="expected tcpdump.* found none"):
        programs.tcpdump_command("lo")


@pytest.fixture
def built(tmp_path, monkeypatch):
    """A ring that can capture lo, whatever this machine has."""
    program = tmp_path / "tlids-ring"
    program.write_bytes(open(sys.executable, "rb").read(64))
    program.chmod(0o755)
    (tmp_path / "lo").mkdir()
    (tmp_path / "lo/type").write_text("772\n")
    monkeypatch.setattr(programs, "RING", program)
    monkeypatch.setattr(programs, "INTERFACES", tmp_path)
    monkeypatch.setattr(programs.socket, "socket", lambda *_: os.fdopen(os.dup(0)))
    monkeypatch.setattr(programs.shutil, "which", lambda *_, **__: "/usr/bin/tcpdump")
    return program


def for_another_processor(program):
    head = bytearray(program.read_bytes())
    head[18] ^= 1
    program.write_bytes(head)


def without_the_right(program, monkeypatch):
    def refused(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(programs.socket, "socket", refused)


def test_the_ring_captures_where_it_can(built):
    said = []
    for program in ("", "ring"):
        assert programs.capture_command("lo", program, said.append) == [str(built), "lo"]
    assert programs.capture_command("lo", "tcpdump", said.append)[0] == "/usr/bin/tcpdump"
    assert said == []


@pytest.mark.parametrize(
    ("harm", "lacking"),
    [
        (lambda program, _: program.unlink(), "to be built as .*, found nothing"),
        (lambda program, _: program.chmod(0o600), "to be built as .*, found nothing"),
        (lambda program, _: for_another_processor(program), "to be built for this processor, found .* for another"),
        (lambda program, _: (program.parent / "lo/type").write_text("65534\n"), "an Ethernet interface, found lo"),
        (without_the_right, "the right to open a packet socket, found: Operation not permitted"),
    ],
)
def test_tcpdump_captures_where_the_ring_cannot_and_who_asks_for_the_ring_is_told(built, monkeypatch, harm, lacking):
    harm(built, monkeypatch)
    said = []
    assert programs.capture_command("lo", "", said.append)[0] == "/usr/bin/tcpdump"
    assert len(said) == 1 and re.search(f"capturing with tcpdump, because tlids-ring expects {lacking}", said[0])
    with pytest.raises(InputError, match=f"tlids-ring expected {lacking}"):
        programs.capture_command("lo", "ring", print)


def test_any_interface_is_tcpdumps(built):
    assert programs.capture_command("any", "", print)[0] == "/usr/bin/tcpdump"


def test_another_program_is_refused(built):
    with pytest.raises(InputError, match="expected ring or tcpdump"):
        programs.capture_command("lo", "dumpcap", print)
