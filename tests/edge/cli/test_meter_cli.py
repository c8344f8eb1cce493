"""The tlids-meter command, run as a person runs it."""

import csv
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from build_pcap import ACK, ALICE, BOB, SECOND, START, SYN, ethernet, ipv4, pcap, tcp, udp
from edge_process import LIMIT_S, unread, wait_for
from tlids_edge.cli import meter as meter_cli
from tlids_edge.flows.meter import CICFLOW_FEATURES, NETFLOW_FEATURES

DATASET_COLUMNS = (
    "IPV4_SRC_ADDR", "L4_SRC_PORT", "IPV4_DST_ADDR", "L4_DST_PORT", "PROTOCOL", "L7_PROTO", "IN_BYTES", "OUT_BYTES",
    "IN_PKTS", "OUT_PKTS", "TCP_FLAGS", "FLOW_DURATION_MILLISECONDS",
)  # fmt: skip
CAPTURE = pcap(
    (START, ethernet(ipv4(tcp(40000, 80, SYN, window=8192)))),
    (START + 1500, ethernet(ipv4(tcp(80, 40000, SYN | ACK), src=BOB, dst=ALICE))),
    (START + 20 * SECOND, ethernet(ipv4(udp(5000, 6000, b"abc"), 17))),
)


@pytest.fixture
def capture(tmp_path):
    path = tmp_path / "capture.pcap"
    path.write_bytes(CAPTURE)
    return path


def run(*arguments, **settings):
    command = [sys.executable, "-m", "tlids_edge.cli.meter", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=LIMIT_S, **settings)


def rows(path):
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_capture_becomes_a_csv_in_the_datasets_columns(capture, tmp_path):
    output = tmp_path / "flows.csv"
    assert meter_cli.main([str(capture), "-o", str(output), "--no-l7"]) == 0
    first, second = rows(output)
    assert tuple(first)[:12] == DATASET_COLUMNS
    assert first == {
        "IPV4_SRC_ADDR": ALICE, "L4_SRC_PORT": "40000", "IPV4_DST_ADDR": BOB, "L4_DST_PORT": "80", "PROTOCOL": "6",
        "L7_PROTO": "0.0", "IN_BYTES": "40", "OUT_BYTES": "40", "IN_PKTS": "1", "OUT_PKTS": "1", "TCP_FLAGS": "18",
        "FLOW_DURATION_MILLISECONDS": "1", "FIRST_SWITCHED_MS": str(START // 1000),
        "LAST_SWITCHED_MS": str(START // 1000 + 1), "SRC_MAC": "02:00:00:00:00:01", "DST_MAC": "02:00:00:00:00:02",
        "END_REASON": "idle",
    }  # fmt: skip
    assert (second["PROTOCOL"], second["END_REASON"]) == ("17", "shutdown")


def test_families_bring_their_nine_features_and_both_bring_all(capture, tmp_path):
    columns = {}
    for family in ("netflow", "cicflow", "both"):
        output = tmp_path / f"{family}.csv"
        assert meter_cli.main([str(capture), "-o", str(output), "--family", family, "--no-l7"]) == 0
        columns[family] = set(rows(output)[0])
    assert set(NETFLOW_FEATURES) <= columns["netflow"]
    assert set(CICFLOW_FEATURES) <= columns["cicflow"]
    assert columns["netflow"] | columns["cicflow"] == columns["both"]


def test_dialect_and_timeouts_reach_the_meter(capture, tmp_path):
    output = tmp_path / "flows.csv"
    arguments = ["--family", "cicflow", "--dialect", "constant-window", "--idle-timeout", "0.001"]
    assert meter_cli.main([str(capture), "-o", str(output), *arguments]) == 0
    assert [row["Init_Fwd_Win_Byts"] for row in rows(output)] == ["-1"] * 3  # 1.5 ms of silence split the first flow


def test_standard_input_and_output_give_the_same_csv(capture, tmp_path):
    output = tmp_path / "flows.csv"
    run(capture, "-o", output)
    piped = run("-", input=CAPTURE)
    assert piped.returncode == 0
    assert piped.stdout.decode() == output.read_text()


def test_a_summary_goes_to_standard_error_and_no_progress_line_to_a_file(capture, tmp_path):
    result = run(capture, "-o", tmp_path / "flows.csv", "--no-l7")
    assert result.stderr == b"tlids-meter: 2 flows; 3 packets, 0 truncated, 0 not IP, 0 malformed\n"
    assert result.stdout == b""


def test_quiet_leaves_nothing_on_standard_error_but_errors(capture, tmp_path):
    assert run(capture, "-o", tmp_path / "flows.csv", "--no-l7", "--quiet").stderr == b""
    refused = run(tmp_path / "absent.pcap", "-o", tmp_path / "flows.csv", "--quiet")
    assert (refused.returncode, b"absent.pcap" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("absent.pcap", None, "No such file"),
        ("empty.pcap", b"", "nothing"),
        ("page.pcap", b"<!DOCTYPE html>", "text that begins with '<!DOCTYPE html>'"),
        ("capture.pcap.zst", b"\x28\xb5\x2f\xfd", "compressed data"),
        ("capture.pcap.gz", b"\x1f\x8b\x08", "damaged gzip"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2_and_leaves_no_file(name, content, found, tmp_path):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    result = run(path, "-o", tmp_path / "flows.csv", "--no-l7")
    assert result.returncode == 2
    said = result.stderr.decode()
    assert "expected a" in said and f"found{':' * (content is None)} {found}" in said and name in said
    assert said.count("\n") == 1
    assert b"Traceback" not in result.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ([name] if content is not None else [])


@pytest.mark.parametrize("place", ["absent/flows.csv", "."])
def test_an_output_that_cannot_be_written_is_one_sentence(place, capture, tmp_path):
    result = run(capture, "-o", tmp_path / place, "--no-l7")
    assert result.returncode == 2
    assert b"write" in result.stderr and b"found" in result.stderr and result.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    "setting",
    [["--idle-timeout", "0"], ["--max-flows", "-3"], ["--family", "x"], ["--active-timeout", "nan"]],
)
def test_a_senseless_setting_is_refused_with_usage(setting, capture):
    result = run(capture, *setting)
    assert result.returncode == 2
    assert result.stdout == b"" and b"usage" in result.stderr


def test_an_existing_csv_stays_whole_until_the_new_one_is(capture, tmp_path, monkeypatch):
    output = tmp_path / "flows.csv"
    output.write_text("the old one")

    def fail(*_):
        yield ("a row",)
        assert output.read_text() == "the old one"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(meter_cli.table, "flow_rows", fail)
    assert meter_cli.main([str(capture), "-o", str(output), "--no-l7"]) == 2
    assert output.read_text() == "the old one"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["capture.pcap", "flows.csv"]


def test_the_csv_has_the_permissions_of_any_new_file(capture, tmp_path):
    output, other = tmp_path / "flows.csv", tmp_path / "other"
    other.touch()
    meter_cli.main([str(capture), "-o", str(output), "--no-l7"])
    assert output.stat().st_mode == other.stat().st_mode


def test_an_interrupt_ends_the_capture_and_what_was_read_is_written(tmp_path):
    output = tmp_path / "flows.csv"
    command = [sys.executable, "-m", "tlids_edge.cli.meter", "-", "-o", str(output), "--no-l7"]

    def heed_interrupts():  # a shell has what it runs in the background ignore them, and children inherit that
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heed_interrupts
    ) as process:
        process.stdin.write(CAPTURE)
        process.stdin.flush()
        wait_for(lambda: has_read_all(process), "the meter to read all there is and wait for more")
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT_S) == 0
    assert len(rows(output)) == 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["flows.csv"]


def has_read_all(process):
    """Whether the pipe is empty and the reader sleeps, so that it has dealt with every packet it got."""
    state = Path("/proc", str(process.pid), "stat").read_text().rsplit(")", 1)[1].split()[0]
    return unread(process.stdin) == 0 and state == "S"


def test_a_reader_that_closes_early_is_no_error(tmp_path):
    capture = tmp_path / "many.pcap"
    capture.write_bytes(pcap(*(ethernet(ipv4(udp(1000 + index, 53), 17)) for index in range(5000))))
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run(
        [sys.executable, "-m", "tlids_edge.cli.meter", str(capture), "--no-l7"],
        stdout=writer,
        stderr=subprocess.PIPE,
    )
    os.close(writer)
    assert result.returncode == 0
    assert b"Traceback" not in result.stderr and b"Exception" not in result.stderr


def test_labels_add_the_datasets_two_columns(capture, tmp_path):
    labels, output = tmp_path / "labels.csv", tmp_path / "flows.csv"
    labels.write_text(f"start,end,src,dst,dst_port,attack\n,,{ALICE},,80,DoS\n")
    assert meter_cli.main([str(capture), "-o", str(output), "--labels", str(labels), "--no-l7"]) == 0
    assert [(row["Label"], row["Attack"]) for row in rows(output)] == [("1", "DoS"), ("0", "Benign")]


def test_with_labels_the_classes_are_counted_and_one_that_no_flow_has_is_warned_of_with_the_flows_times(
    capture, tmp_path
):
    labels = tmp_path / "labels.csv"
    labels.write_text(
        f"start,end,src,dst,dst_port,attack\n,,{ALICE},,1,Benign\n,,{ALICE},,80,DoS\n,2001-01-01,{ALICE},,,Worm\n"
    )
    result = run(capture, "-o", tmp_path / "flows.csv", "--labels", labels, "--no-l7")
    first, last = (datetime.fromtimestamp(us // SECOND, UTC) for us in (START, START + 20 * SECOND))
    _, counts, warning = result.stderr.decode().splitlines()
    assert counts == "tlids-meter: DoS 1, Benign 1"
    assert warning == (
        f"tlids-meter: warning: no flow is labelled Worm; flows are from {first:%Y-%m-%dT%H:%M:%SZ} to "
        f"{last:%Y-%m-%dT%H:%M:%SZ}: check the labels' times, which are UTC, and addresses"
    )


def test_several_captures_are_one_recording_in_which_a_flow_goes_on_from_file_to_file(tmp_path):
    request = START, ethernet(ipv4(tcp(40000, 80, SYN)))
    answer = START + 1500, ethernet(ipv4(tcp(80, 40000, SYN | ACK), src=BOB, dst=ALICE))
    files = [tmp_path / "home.pcap0", tmp_path / "home.pcap1", tmp_path / "home.pcap2"]
    for path, packets in zip(files, [(request,), (), (answer,)], strict=True):
        path.write_bytes(pcap(*packets))
    assert meter_cli.main([*map(str, files), "-o", str(tmp_path / "flows.csv"), "--no-l7"]) == 0
    (flow,) = rows(tmp_path / "flows.csv")
    assert (flow["IN_PKTS"], flow["OUT_PKTS"]) == ("1", "1")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_bad_capture_among_several_is_named_and_nothing_is_written(order, capture, tmp_path):
    bad = tmp_path / "bad.pcap"
    bad.write_bytes(b"")
    files = [[capture, bad][place] for place in order]
    result = run(*files, "-o", tmp_path / "flows.csv", "--no-l7")
    assert result.returncode == 2
    assert f"found nothing in {bad}" in result.stderr.decode() and result.stderr.count(b"\n") == 1
    assert not list(tmp_path.glob("*flows.csv*"))


def test_the_recordings_name_becomes_the_column_that_splits_by_session(capture, tmp_path):
    assert meter_cli.main([str(capture), "-o", str(tmp_path / "flows.csv"), "--session", "monday", "--no-l7"]) == 0
    assert [row["Session"] for row in rows(tmp_path / "flows.csv")] == ["monday", "monday"]


def test_help_names_every_option_and_dialect():
    text = run("--help").stdout.decode()
    for word in (
        "--labels",
        "--session",
        "--idle-timeout",
        "--endings",
        "cse-cic-ids2018",
        "constant-window",
        "cicflowmeter-2020",
    ):
        assert word in text
