"""`make test-pi` can fail: what it replays, how a check ends, and what its table says of checks that were not run."""

import importlib
import json
import struct
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
ATTACKER, HOST = bytes.fromhex("020000000066"), bytes.fromhex("020000000001")
RECORD = struct.Struct("<IIII")


@pytest.fixture
def scripts(monkeypatch):
    """Imports one of the scripts' modules by name, as when they are run."""
    for folder in ("tests/edge/pi", "tests/bench"):
        monkeypatch.syspath_prepend(str(REPOSITORY / folder))
    return importlib.import_module


def capture(*frames: tuple[bytes, int]) -> bytes:
    """A pcap file of frames that were cut to what is given of their real length."""
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
    return header + b"".join(RECORD.pack(7, 8, len(kept), length) + kept for kept, length in frames)


def test_frames_are_filled_up_to_their_length_and_the_attackers_left_out_of_the_quiet_ones(scripts):
    own, attack = HOST * 2 + b"\x08\x00abc", HOST + ATTACKER + b"\x08\x00abc"
    whole, quiet = scripts("cargo").padded(capture((own, 60), (attack, 80)), ATTACKER)
    filled = own.ljust(60, b"\0"), attack.ljust(80, b"\0")
    assert whole == capture(*((frame, len(frame)) for frame in filled))
    assert quiet == capture((filled[0], 60))


class Answers:
    """A system that is running and says nothing."""

    running = True

    def run(self, _text: str) -> tuple[int, str]:
        return 0, ""


def test_a_failed_check_says_what_was_seen_and_ends_the_run_only_where_the_rest_needs_it(scripts):
    check_pi, emulator = scripts("check_pi"), scripts("emulator")

    def fails(_pi) -> str:
        """Fails."""
        raise emulator.CheckError("no alert")

    row = dict(check_pi.planned((("a check", fails),))[0])
    assert row["result"] == "not run"
    assert check_pi.one(Answers(), fails, row, must=False) and not check_pi.one(Answers(), fails, row, must=True)
    assert not check_pi.one(None, fails, row, must=False)  # the board, which only boots
    assert (row["result"], row["seen"], row["done"]) == ("failed", "no alert", "Fails.")


def test_a_qemu_that_makes_no_channel_is_ended_and_told(scripts, tmp_path, monkeypatch):
    emulator = scripts("emulator")
    pi = emulator.Pi(None, tmp_path / "disk", tmp_path / "cargo", tmp_path)
    (tmp_path / "qemu.log").write_text("a word of it\n")
    monkeypatch.setattr(pi, "command", lambda *_: ["sleep", "600"])
    monkeypatch.setattr(emulator, "CHANNEL_S", 0.3)
    with pytest.raises(emulator.GoneError, match=r"^QEMU made no channel within 0.3 s: a word of it$"):
        pi.start()
    assert not pi.running and pi._qemu is None


def test_the_table_lists_checks_that_were_not_run(scripts):
    rows = [
        {"check": "boot", "done": "It boots.", "seen": "a|b", "result": "passed"},
        {"check": "purge", "done": "It goes.", "seen": "", "result": "not run"},
    ]
    result = {"date": "2026-01-02", "emulator": "QEMU", "boots": [{"options": "none", "seconds": 9, "checks": rows}]}
    docs_pi = scripts("docs_pi")
    text = docs_pi.filled(f"before\n{docs_pi.BEGIN}\nold\n{docs_pi.END}\nafter\n", result)
    assert "1 passed, 0 failed, 1 not run" in text and "| purge | It goes | not run |  |" in text
    assert "a\\|b" in text and "old" not in text
    assert text.startswith("before\n") and text.endswith("after\n")


def test_a_score_may_differ_by_float32_sums_and_nothing_else_may(scripts, tmp_path):
    checks_home, compare = scripts("checks_home"), scripts("arm.compare").compare

    def lines(name: str, **changes: object):
        metadata = {"tlids_flows": ["9"], "tlids_score": ["0.689491"]} | {k: [v] for k, v in changes.items()}
        event = {"timestamp": "t", "event_type": "alert", "pcap_filename": name, "alert": {"metadata": metadata}}
        return checks_home.plain(json.dumps(event) + "\n", tmp_path / name)

    ours = lines("here")
    assert compare("lines", ours, lines("there", tlids_score="0.689490")).differences == []
    for changes in ({"tlids_score": "0.689391"}, {"tlids_flows": "8"}, {"tlids_closed_by": "silence"}):
        assert compare("lines", ours, lines("there", **changes)).differences


def test_a_run_of_some_checks_keeps_what_the_others_saw(scripts):
    check_pi = scripts("check_pi")

    def result(**rows: str) -> dict:
        checks = [{"check": name, "done": "", "seen": "", "result": found} for name, found in rows.items()]
        return {"boots": [{"options": "none", "checks": checks}]}

    new = result(boot="not run", purge="not run", probe="not run")
    check_pi.take_over(new, result(boot="passed", purge="failed"), ["purge"])
    assert [row["result"] for row in new["boots"][0]["checks"]] == ["passed", "not run", "not run"]


@pytest.mark.parametrize(
    ("signature", "subject"),
    [
        ("TL-IDS incident is over: ARP MITM, SYN scan from 10.0.0.9 (proven)", "10.0.0.9"),
        ("TL-IDS incident is over: UDP scan from MAC 02:00:00:00:00:66", "MAC 02:00:00:00:00:66"),
        ("TL-IDS incident is over: SYN flood from about 298 sources to 10.0.0.1 port 80", "to 10.0.0.1 port 80"),
        ("TL-IDS incident is over: SYN flood from 1 source to many ports of 10.0.0.1", "to many ports of 10.0.0.1"),
    ],
)
def test_an_incident_is_known_by_whom_it_is_about_and_not_by_how_many(scripts, signature, subject):
    assert scripts("checks_home").subject({"alert": {"signature": signature}}) == subject
