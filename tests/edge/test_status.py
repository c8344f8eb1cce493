"""status.py: the meter's progress line."""

import io

from tlids_edge.status import MeterLine, say, status_line


class Terminal(io.StringIO):
    def isatty(self):
        return True


def progress_of(stream, quiet=False):
    """What is shown of 20,000 packets in the first second and of 2,000 more within a tenth of the next."""
    now = [0.0]
    progress = MeterLine(stream, quiet, clock=lambda: now[0])
    for second, packets, flows in ((0.1, 1_000, 1), (1.0, 20_000, 7), (1.1, 22_000, 9)):
        now[0] = second
        progress.show(packets, flows)
    progress.clear()
    return stream.getvalue()


def test_progress_on_a_terminal_says_packets_flows_and_the_rate_twice_a_second(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    assert progress_of(Terminal()) == "\r20,000 packets, 7 flows, 20,000 packets/s\033[K\r\033[K"


def test_there_is_no_progress_in_a_file_when_quiet_or_under_ci(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    assert progress_of(io.StringIO()) == ""
    assert progress_of(Terminal(), quiet=True) == ""
    monkeypatch.setenv("CI", "true")
    assert progress_of(Terminal()) == ""


def test_what_is_said_cannot_steer_a_terminal_or_forge_a_line_of_the_journal(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    say("model \x1b[2J\rtlids-edge: all is well\nMay 1 sshd: root\u202e\x9b\udcff, ü")
    assert stream.getvalue() == (
        "tlids-edge: model \\x1b[2J\\rtlids-edge: all is well\\nMay 1 sshd: root\\u202e\\x9b\\udcff, ü\n"
    )


def test_what_is_withdrawn_or_left_out_is_in_the_status_line_when_there_is_any():
    stats = dict.fromkeys(("packets", "drops", "flows", "open", "alerts", "incidents", "cpu_percent", "memory_mb"), 1)
    stats |= dict.fromkeys(("evicted", "malformed", "gaps", "unwritten", "unjudged", "unlisted", "withdrawn"), 0)
    assert status_line(stats).endswith("mem 1 MB")
    assert status_line(stats | {"withdrawn": 3, "unjudged": 2}).endswith("mem 1 MB unjudged 2 withdrawn 3")
