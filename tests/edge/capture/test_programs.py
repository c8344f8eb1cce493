"""Which program captures an interface: names that are refused, arguments without a shell, and what each lacks."""

from pathlib import Path

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
def ring(tmp_path, monkeypatch):
    """A ring that captures lo alone, whatever this machine has."""
    program = tmp_path / "tlids-ring"
    program.write_text('#!/bin/sh\ntest "$1 $2" = "lo --check" || { echo "$1: no" >&2; exit 1; }\n')
    program.chmod(0o755)
    monkeypatch.setattr(programs, "RING", program)
    monkeypatch.setattr(programs.shutil, "which", lambda *_, **__: "/usr/bin/tcpdump")
    return program


def test_the_ring_captures_where_it_can(ring):
    said = []
    for program in ("", "ring"):
        assert programs.capture_command("lo", program, said.append) == [str(ring), "lo"]
    assert programs.capture_command("lo", "tcpdump", said.append)[0] == "/usr/bin/tcpdump"
    assert said == []


REFUSING = "#!/bin/sh\necho $1: Operation not permitted >&2\nexit 1\n"
HARMS = {
    "not built": Path.unlink,
    "Permission denied": lambda program: program.chmod(0o600),
    "Exec format error": lambda program: program.write_bytes(b"\x7fELF of another processor"),
    "lo: Operation not permitted": lambda program: program.write_text(REFUSING),
    "exit status 3": lambda program: program.write_text("#!/bin/sh\nexit 3\n"),
    "exit status -11": lambda program: program.write_text("#!/bin/sh\nkill -SEGV $$\n"),
    "no answer": lambda program: program.write_text("#!/bin/sh\nexec sleep 600\n"),
}


@pytest.mark.parametrize("failure", HARMS)
def test_tcpdump_captures_where_the_ring_cannot_and_who_asks_for_the_ring_is_told(ring, monkeypatch, failure):
    monkeypatch.setattr(programs, "TRIAL_S", 0.5 if failure == "no answer" else programs.TRIAL_S)
    HARMS[failure](ring)
    said = []
    assert programs.capture_command("lo", "", said.append)[0] == "/usr/bin/tcpdump"
    assert len(said) == 1 and said[0].startswith(f"capturing with tcpdump, because tlids-ring cannot: {failure}")
    with pytest.raises(InputError, match=f"expected tlids-ring to capture lo, found: {failure}"):
        programs.capture_command("lo", "ring", print)


def test_the_trial_is_not_given_the_password(ring, monkeypatch):
    monkeypatch.setenv("TLIDS_MQTT_PASSWORD", "secret")
    ring.write_text("#!/bin/sh\nenv >&2; exit 1\n")
    failure = programs.ring_fails("lo")
    assert "PATH=" in failure and "TLIDS" not in failure


def test_any_interface_is_tcpdumps(ring):
    assert programs.capture_command("any", "", print)[0] == "/usr/bin/tcpdump"


def test_another_program_is_refused(ring):
    with pytest.raises(InputError, match="expected ring or tcpdump"):
        programs.capture_command("lo", "dumpcap", print)
