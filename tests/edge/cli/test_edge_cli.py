"""The `tlids-edge` command as its users see it."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from edge_process import (
    LIMIT_S,
    STARTED,
    children,
    command,
    events,
    first_line,
    flow_alerts,
    need_root,
    run_edge,
    start_edge,
    stop,
    wait_for,
    wait_until_told,
    wait_until_watching,
)
from frames import PCAP_HEADER, T0, conversation, pcap, record, udp
from home_traffic import ORDINARY, scan, spoof
from tiny_model import write_model
from tlids_edge.cli.edge import _parse, main

EDGE = Path(__file__).resolve().parents[3] / "edge"


@pytest.fixture
def capture(tmp_path) -> str:
    """81 answered flows and 19 knocks, as in Section 5.4."""
    frames = [frame for n in range(81) for frame in conversation("10.0.0.1", 1000 + n, "10.0.0.2", 80, T0 + n)]
    frames += [(T0 + n, udp("10.0.0.66", 5000, "10.0.0.2", 100 + n)) for n in range(19)]
    path = tmp_path / "home.pcap"
    path.write_bytes(pcap(sorted(frames, key=lambda frame: frame[0])))
    return str(path)


def test_only_anomalies_are_written_without_all_flows(model, capture):
    text = run_edge(model, capture).stdout
    found = flow_alerts(text)
    assert {event["event_type"] for event in events(text)} == {"alert"}
    assert len(found) == 19 and {event["src_ip"] for event in found} == {"10.0.0.66"}
    assert {event["pcap_filename"] for event in found} == {"home.pcap"}


def test_all_flows_adds_one_flow_event_for_every_flow(model, capture):
    found = events(run_edge(model, capture, "--all-flows", "--flow-alerts", "all").stdout)
    flows = [event for event in found if event["event_type"] == "flow"]
    assert len(flows) == 100 and sum(event["flow"]["alerted"] for event in flows) == 19
    alerts = {event["flow_id"] for event in found if event["event_type"] == "alert" and "flow" in event}
    assert alerts == {event["flow_id"] for event in flows if event["flow"]["alerted"]}


def test_the_summary_has_the_counts_of_section_5_4_and_the_confusion_matrix(model, capture, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text(f"start,end,src,dst,dst_port,attack\n,,10.0.0.66,,,Scan\n{T0 + 80},,10.0.0.1,,80,Web\n")
    said = run_edge(model, capture, "--labels", str(labels)).stderr.decode()
    assert "81 benign, 19 anomaly (0 by a rule alone)" in said
    assert "model's classes: Benign 81, Reconnaissance 19" in said
    rows = [line.split()[1:] for line in said.splitlines() if re.search(r"(benign|anomaly) +\d+ +\d+$", line)]
    assert rows == [["benign", "80", "0"], ["anomaly", "1", "19"]]
    assert "Scan: 19 of 19 flows found" in said and "Web: 0 of 1 flows found" in said


def test_no_matrix_is_printed_without_labels(model, capture):
    assert b"confusion" not in run_edge(model, capture).stderr


def test_a_bad_labels_file_is_refused_before_the_capture_is_read(model, tmp_path, capture):
    (tmp_path / "labels.csv").write_text("start,end,src,dst,dst_port,attack\n,,bad host,,,Scan\n")
    done = run_edge(model, capture, "--labels", str(tmp_path / "labels.csv"))
    assert done.returncode == 2 and b"in line 2" in done.stderr and b"'bad host'" in done.stderr and done.stdout == b""


def test_a_file_and_standard_input_give_the_same_lines(model, capture):
    from_file = run_edge(model, capture, "--all-flows", "--flow-alerts", "all").stdout
    with open(capture, "rb") as stream:
        piped = run_edge(model, "-", "--all-flows", "--flow-alerts", "all", stdin=stream).stdout
    assert sorted(piped.splitlines()) == sorted(from_file.replace(b',"pcap_filename":"home.pcap"', b"").splitlines())


def test_the_papers_pyshark_gives_the_lines_of_the_default_capture(model, tmp_path):
    pytest.importorskip("pyshark")
    if shutil.which("tshark") is None:
        pytest.skip("needs tshark, which is not installed")
    path = tmp_path / "c.pcap"
    path.write_bytes(
        pcap(conversation("10.0.0.1", 1234, "10.0.0.2", 80) + [(T0 + 1, udp("10.0.0.1", 5, "10.0.0.2", 53))])
    )
    ours, theirs = (
        run_edge(model, str(path), "--all-flows", "--flow-alerts", "all", "--capture", way)
        for way in ("ring", "pyshark")
    )
    assert theirs.returncode == 0, theirs.stderr
    assert len(events(ours.stdout)) == 3 and sorted(theirs.stdout.splitlines()) == sorted(ours.stdout.splitlines())


def test_eve_lines_go_to_a_file_and_nothing_to_standard_output(model, capture, tmp_path):
    done = run_edge(model, capture, "--eve", str(tmp_path / "eve.json"))
    assert done.stdout == b"" and len(flow_alerts((tmp_path / "eve.json").read_bytes())) == 19


@pytest.mark.parametrize(
    ("switch", "left"),
    [((), {9200001, 9200011}), (("--no-arp-watch",), {9200011}), (("--no-fan-out",), {9200001})],
)
def test_each_rule_can_be_switched_off(model, tmp_path, switch, left):
    path = tmp_path / "c.pcap"
    path.write_bytes(pcap(sorted([*ORDINARY, spoof(5), *scan(60)], key=lambda frame: frame[0])))
    found = events(run_edge(model, str(path), *switch).stdout)
    assert {event["alert"]["signature_id"] for event in found} & set(range(9200000, 9300000)) == left


def test_a_rule_raises_flows_that_the_model_holds_for_benign(model, tmp_path):
    frames = scan(60) + conversation("192.168.1.20", 50_000, "192.168.1.1", 443, T0 + 2)
    path = tmp_path / "c.pcap"
    path.write_bytes(pcap(frames))
    with_rule = run_edge(model, str(path)).stderr.decode()
    without = run_edge(model, str(path), "--no-fan-out").stderr.decode()
    assert "61 benign, 0 anomaly" in without
    assert "0 benign, 61 anomaly (61 by a rule alone)" in with_rule


def test_what_a_rule_covers_does_not_depend_on_how_fast_the_packets_come(model, tmp_path, monkeypatch):
    monkeypatch.setenv("TLIDS_HASH_SEED", "0")  # that of a file
    path = tmp_path / "c.pcap"
    path.write_bytes(pcap(scan(120, gap=0.1)))  # the early flows end before the rule fires, a second after their RST
    from_file = run_edge(model, str(path), "--flow-alerts", "all").stdout.replace(b',"pcap_filename":"c.pcap"', b"")
    content, pieces = path.read_bytes(), 20
    size = -(-len(content) // pieces)
    edge = start_edge(model, "-", "--flow-alerts", "all", stdin=subprocess.PIPE)
    for start in range(0, len(content), size):  # slower than a turn of the loop
        edge.stdin.write(content[start : start + size])
        edge.stdin.flush()
        time.sleep(0.1)
    slowly, _ = edge.communicate(timeout=LIMIT_S)
    assert sorted(slowly.splitlines()) == sorted(from_file.splitlines())
    assert 10 < len(events(slowly)) < 120


def test_a_status_line_tells_packets_drops_flows_alerts_cpu_and_memory(model):
    edge = start_edge(model, "-", "--status", "0.3", stdin=subprocess.PIPE)
    edge.stdin.write(pcap([(T0, udp("10.0.0.1", 1, "10.0.0.2", 53)), (T0 + 60, udp("10.0.0.1", 2, "10.0.0.2", 53))]))
    edge.stdin.flush()
    lines = [wait_until_told(edge, "packets 2 .*alerts 1") for _ in range(2)]
    edge.communicate(timeout=LIMIT_S)
    for line in lines:
        told = re.search(r"packets 2 drops 0 flows 1 open 1 alerts 1 incidents 0 cpu \d+% mem (\d+) MB", line)
        assert told and 20 < int(told[1]) < 150


def test_the_default_interval_of_the_status_line_is_ten_seconds():
    options = _parse(["--model", "m", "--source", "-"])
    assert (options.status, options.idle_timeout, options.active_timeout, options.max_flows) == (
        10,
        15,
        60,
        20_000,
    )
    assert (options.eve, options.capture) == ("-", "")


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        (("--eve", "/nonexistent/eve.json"), ("write", "/nonexistent/eve.json")),
        (("--mqtt", "not a host"), ("MQTT broker", "'not a host'")),
    ],
)
def test_an_option_that_makes_no_sense_is_one_sentence_and_exit_status_2(model, capture, options, facts, capfd):
    assert main(["--model", str(model), "--source", capture, *options]) == 2
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("tlids-edge:")]
    assert len(said) == 1 and all(fact in said[0] for fact in facts)


@pytest.mark.parametrize("source", ["nosuchfile.pcap", "nosuchif0", "/", "."])
def test_a_source_that_is_nothing_is_refused_with_the_interfaces_there_are(model, source, capfd):
    assert main(["--model", str(model), "--source", source]) == 2
    said = capfd.readouterr().err
    assert repr(source) in said and "interface" in said and "lo" in said


def test_the_script_runs_from_a_copied_folder_without_installation(model, capture, tmp_path):
    copy = tmp_path / "copied"
    shutil.copytree(EDGE, copy, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    script = [
        sys.executable,
        "-P",
        str(copy / "capture_and_infer.py"),
        "--model",
        str(model),
        "--source",
        capture,
    ]
    done = subprocess.run(script, capture_output=True, timeout=LIMIT_S, cwd="/")
    assert done.returncode == 0 and len(flow_alerts(done.stdout)) == 19
    probe = f"import runpy; runpy.run_path({str(copy / 'capture_and_infer.py')!r}); import tlids_edge"
    where = subprocess.run(
        [sys.executable, "-c", f"{probe}; print(tlids_edge.__file__)"],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert where.stdout.strip() == str(copy / "tlids_edge" / "__init__.py")


def test_neither_tensorflow_nor_pandas_nor_the_helpers_are_imported(model, capture):
    script = (
        "import sys; from tlids_edge.cli.edge import main\n"
        f"main(['--model', {str(model)!r}, '--source', {capture!r}])\n"
        "bad = {'tensorflow', 'keras', 'pandas', 'tlids_helpers', 'paho', 'pyshark'} & set(sys.modules)\n"
        "sys.exit(f'imported {bad}' if bad else 0)"
    )
    assert subprocess.run([sys.executable, "-c", script], stdout=subprocess.DEVNULL, timeout=LIMIT_S).returncode == 0


def test_help_reads_like_a_man_page_and_names_every_option():
    said = subprocess.run(
        [sys.executable, "-m", "tlids_edge.cli.edge", "--help"], capture_output=True, text=True
    ).stdout
    for name in ("--model", "--source", "--eve", "--all-flows", "--capture", "--idle-timeout",
                 "--active-timeout", "--max-flows", "--labels", "--mqtt", "--no-arp-watch",
                 "--no-fan-out"):  # fmt: skip
        assert name in said
    assert "signals:" in said and "exit status:" in said


def test_the_first_packet_is_judged_before_the_input_ends(model):
    edge = start_edge(model, "-", stdin=subprocess.PIPE)
    edge.stdin.write(PCAP_HEADER + record(T0, udp("10.0.0.1", 1, "10.0.0.2", 53)))
    edge.stdin.write(record(T0 + 60, udp("10.0.0.1", 2, "10.0.0.2", 53)))
    edge.stdin.flush()
    line = first_line(edge)
    edge.communicate(timeout=LIMIT_S)
    assert json.loads(line)["dest_port"] == 53


def test_the_unit_file_is_one_that_systemd_accepts(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze, which is not installed")
    unit = tmp_path / "tlids-edge.service"
    text = (EDGE / "tlids-edge.service").read_text()
    unit.write_text(text.replace("/opt/tlids/venv/bin/tlids-edge", shutil.which("true")))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True)
    assert done.returncode == 0 and "tlids-edge" not in done.stderr, done.stderr
    assert "NoNewPrivileges=" not in re.sub(r"(?m)^#.*$", "", text), "it would keep tcpdump from its capability"


def test_only_tcpdump_gets_the_right_to_capture(tflite):
    need_root("setpriv", "setcap", "tcpdump")
    python = Path("/usr/bin/python3")
    same = f"import sys; sys.exit(sys.version_info[:2] != {tuple(sys.version_info[:2])})"
    if not python.exists() or subprocess.run([python, "-c", same]).returncode:
        pytest.skip("needs a system Python of this version, which an unprivileged user may run")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        write_model(folder / "model", tflite)
        private = Path(shutil.copy2(shutil.which("tcpdump"), folder / "tcpdump"))
        shutil.chown(private, "root", "nogroup")
        private.chmod(0o750)
        if subprocess.run(["setcap", "cap_net_raw+ep", private]).returncode:
            pytest.skip("this file system keeps no capabilities")
        paths = os.pathsep.join([str(EDGE), *(path for path in sys.path if path.endswith("site-packages"))])
        user = [
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            "--inh-caps=-all",
            "--bounding-set=-all,+net_raw",
        ]
        edge = subprocess.Popen(
            ["setpriv", *user, str(python), *command(folder / "model", "lo")[1:]],
            env={"PATH": f"{folder}:/usr/bin:/bin", "PYTHONPATH": paths},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/",
        )  # fmt: skip
        STARTED.append(edge)
        wait_until_watching(edge)
        wait_for(
            lambda: [capabilities(child) for child in children(edge.pid)] == [1 << 13],
            "tcpdump with cap_net_raw and nothing else",
        )
        assert capabilities(edge.pid) == 0
        _, said = stop(edge)
        assert edge.returncode == 0 and b"0 dropped by the kernel" in said


def capabilities(pid: int) -> int:
    """The effective capabilities of a process, a bit for each; -1 where it has ended."""
    try:
        return int(re.search(r"CapEff:\s*([0-9a-f]+)", Path(f"/proc/{pid}/status").read_text())[1], 16)
    except OSError:  # it has ended since it was listed
        return -1
