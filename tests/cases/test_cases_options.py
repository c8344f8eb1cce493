"""Options that are no numbers, full tables, and text in other encodings."""

import io
import os
import re
import shutil
from pathlib import Path

import pytest
from build_pcap import ALICE, START, enhanced_packet, interface, section
from case_times import TWO, run_meter
from edge_process import run_edge
from timed_captures import MS, question, written
from tlids_edge.capture.packets import PacketStats, read_packets
from tlids_edge.cli import edge, meter

# what was made to fill the memory, and tables that are full


def test_a_section_has_65536_interfaces_at_most():
    bomb = (
        section() + interface() * 70_000 + enhanced_packet(TWO[0][1], START) + enhanced_packet(TWO[0][1], START, 69_000)
    )
    stats = PacketStats()
    assert len(list(read_packets(io.BytesIO(bomb), stats))) == 1
    assert stats.malformed == {"interface beyond the 65,536th": 70_000 - 65_536, "packet block": 1}


def test_flows_that_end_because_the_table_is_full_are_told_with_what_to_raise(tmp_path):
    path = written(
        tmp_path / "c.pcap", [packet for port in range(1, 51) for packet in question(START + port * MS, port)]
    )
    done = run_meter(path, "--max-flows", "10", "--quiet")
    assert b"40 of 50 flows" in done.stderr and b"--max-flows" in done.stderr
    assert run_meter(path, "--max-flows", "50", "--quiet").stderr == b""


# options


@pytest.fixture
def refused(capsys):
    """A command's module and its arguments -> what it says on standard error before it ends with status 2."""

    def said(command, *arguments) -> str:
        with pytest.raises(SystemExit) as ended:
            command.main([*arguments])
        assert ended.value.code == 2
        return capsys.readouterr().err

    return said


def of_edge(*options) -> tuple:
    return edge, "--model", "model", "--source", "x.pcap", *options


@pytest.mark.parametrize("value", ["60s", "1m", "1,5", "60 s", "ten", "", "0x10", "1:30"])
@pytest.mark.parametrize("option", ["--idle-timeout", "--active-timeout", "--status"])
def test_a_time_that_is_no_number_is_answered_by_an_example(option, value, refused):
    assert f"expected seconds, such as 60, found {value!r}" in refused(*of_edge(option, value))
    if option != "--status":
        assert f"expected seconds, such as 60, found {value!r}" in refused(meter, "x.pcap", option, value)


@pytest.mark.parametrize(("option", "value"), [("--max-flows", "20k"), ("--max-flows", "2.5"), ("--max-flows", "inf")])
def test_a_number_of_flows_that_is_none_is_answered_by_an_example(option, value, refused):
    for asked in (of_edge(option, value), (meter, "x.pcap", option, value)):
        assert "expected a whole number, such as 20000" in refused(*asked)


@pytest.mark.parametrize("value", ["inf", "1e400", "1e300", "nan", "-1", "-inf"])
def test_no_number_is_infinite_or_below_zero(value, refused):
    for name in ("--idle-timeout", "--active-timeout", "--max-flows", "--status", "--eve-max-mb"):
        answers = [refused(*of_edge(f"{name}={value}"))]
        if name not in ("--status", "--eve-max-mb"):
            answers.append(refused(meter, "x.pcap", f"{name}={value}"))
        sentences = {re.search(r"argument .*: expected .*, found '.*'", said)[0] for said in answers}
        assert len(sentences) == 1 and name in sentences.pop()


@pytest.mark.parametrize("option", ["--idle-timeout", "--active-timeout", "--max-flows", "--status"])
def test_zero_is_refused_but_for_a_size(option, refused):
    assert "above zero, found '0'" in refused(*of_edge(option, "0"))


def test_a_value_that_cannot_be_read_ends_the_processes_with_one_sentence_and_status_2(model):
    for done in (run_edge(model, "x.pcap", "--status", "ten"), run_meter("x.pcap", "--idle-timeout", "ten")):
        assert done.returncode == 2 and b"expected seconds, such as 60, found 'ten'" in done.stderr


def test_a_number_of_flows_may_be_written_with_an_exponent_and_megabytes_have_an_example(refused, tmp_path):
    path = written(tmp_path / "c.pcap", TWO)
    assert run_meter(path, "--max-flows", "1e6").returncode == 0
    assert "expected megabytes, such as 100, found '100MB'" in refused(*of_edge("--eve-max-mb", "100MB"))


EMPTY = [
    of_edge("--labels", ""), of_edge("--mqtt", ""), of_edge("--mqtt-ca", ""), of_edge("--state", ""),
    (edge, "--model", "", "--source", "x.pcap"), (edge, "wipe", "--state", ""), (edge, "rollback", "--state", ""),
    (edge, "models", "--state", "s", "--use", ""), (edge, "adapt", "--model", "m", "--state", "s", "-o", ""),
    (meter, "x.pcap", "--labels", ""), (meter, "x.pcap", "--session", ""), (meter, ""),
]  # fmt: skip


@pytest.mark.parametrize("asked", EMPTY, ids=lambda asked: " ".join(asked[1:]))
def test_an_empty_name_as_of_a_variable_that_nobody_has_set_is_refused(asked, refused):
    assert "expected a name that is not empty, found ''" in refused(*asked)


@pytest.mark.usefixtures("compiled")
def test_more_flows_than_there_is_memory_for_are_one_sentence(model, tmp_path, capsys):
    path = str(written(tmp_path / "c.pcap", TWO))
    for command, arguments in ((meter, [path]), (edge, ["--model", str(model), "--source", path])):
        assert command.main([*arguments, "--max-flows", "1e12"]) == 2
        assert "expected memory for 1,000,000,000,000 flows, found too little" in capsys.readouterr().err


@pytest.mark.parametrize(("option", "name"), [("--eve", "card.json"), ("--incidents", "model.tflite")])
def test_alerts_are_not_written_into_the_model(option, name, model, tmp_path, capsys):
    own = Path(shutil.copytree(model, tmp_path / "own"))
    before = (own / name).read_bytes()
    arguments = ["--model", str(own), "--source", str(written(tmp_path / "c.pcap", TWO)), option, str(own / name)]
    assert edge.main(arguments) == 2 and (own / name).read_bytes() == before
    assert "expected an output other than the input" in capsys.readouterr().err


def test_a_size_below_a_byte_is_not_taken_for_no_limit(model, tmp_path):
    path, eve = written(tmp_path / "c.pcap", TWO), tmp_path / "eve.json"
    eve.write_text("{}\n")
    done = run_edge(model, str(path), "--eve", str(eve), "--eve-max-mb", "1e-9", "--all-flows")
    assert done.returncode == 0 and eve.with_name("eve.json.1").exists()


C_LOCALE = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0"}


@pytest.mark.parametrize("to_file", [False, True])
def test_accents_in_a_session_and_a_class_are_written_in_utf8_in_the_c_locale(to_file, tmp_path):
    path, labels = written(tmp_path / "c.pcap", TWO), tmp_path / "labels.csv"
    labels.write_text(f"start,end,src,dst,dst_port,attack\n,,{ALICE},,,Dénial\n", encoding="utf-8")
    output = ["-o", tmp_path / "flows.csv"] if to_file else []
    done = run_meter(path, "--labels", labels, "--session", "Büro", *output, env=C_LOCALE)
    content = (tmp_path / "flows.csv").read_bytes() if to_file else done.stdout
    assert done.returncode == 0 and content.decode("utf-8").count("Dénial,Büro") == 2


@pytest.mark.parametrize("environment", [dict(os.environ), C_LOCALE], ids=["here", "C"])
def test_a_session_that_is_no_utf8_is_one_message(environment, tmp_path):
    done = run_meter(written(tmp_path / "c.pcap", TWO), "--session", b"B\xfcro", env=environment)
    assert done.returncode == 2 and b"expected text in UTF-8" in done.stderr and b"Traceback" not in done.stderr
