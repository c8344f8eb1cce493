"""table.py: rows and their columns as a caller from Python gets them; test_meter_cli.py has the CSV."""

import pytest
from build_pcap import ACK, ALICE, BOB, SECOND, START, SYN, ethernet, ipv4, pcap, tcp, udp
from tlids_edge.errors import InputError
from tlids_edge.flows import table


@pytest.fixture
def capture(tmp_path):
    path = tmp_path / "capture.pcap"
    path.write_bytes(
        pcap(
            (START, ethernet(ipv4(tcp(40000, 80, SYN)))),
            (START + 1500, ethernet(ipv4(tcp(80, 40000, SYN | ACK), src=BOB, dst=ALICE))),
            (START + 20 * SECOND, ethernet(ipv4(udp(5000, 6000, b"abc"), 17))),
        )
    )
    return path


@pytest.fixture
def labels(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text(f"start,end,src,dst,dst_port,attack\n,,{ALICE},,80,DoS\n,2001-01-01,,,,Worm\n")
    return path


@pytest.mark.parametrize("family", ["netflow", "cicflow", "both"])
def test_a_row_has_a_number_or_a_text_for_every_column(capture, labels, family):
    options = table.Options(family, labels=labels, session="monday", with_l7=False)
    rows = list(table.flow_rows([capture], options, table.Outcome()))
    names = table.columns(options)
    assert len(rows) == 2 and {len(row) for row in rows} == {len(names)}
    assert {type(value) for row in rows for value in row} == {int, float, str}
    assert names[-3:] == ["Label", "Attack", "Session"]
    assert [row[-3:] for row in rows] == [(1, "DoS", "monday"), (0, "Benign", "monday")]


def test_the_outcome_counts_packets_flows_and_classes_and_names_those_that_no_flow_has(capture, labels):
    outcome = table.Outcome()
    list(table.flow_rows([capture], table.Options(labels=labels, with_l7=False), outcome))
    assert (outcome.packets.packets, outcome.flows) == (3, 2)
    assert outcome.classes == {"DoS": 1, "Benign": 1} and outcome.absent == ["Worm"]
    assert (outcome.first_us, outcome.last_us) == (START, START + 20 * SECOND)
    assert not outcome.interrupted


def test_without_labels_and_session_there_are_no_such_columns_and_no_classes(capture):
    outcome = table.Outcome()
    list(table.flow_rows([capture], table.Options(with_l7=False), outcome))
    assert outcome.classes is None
    assert table.columns(table.Options())[-1] == "END_REASON"


@pytest.mark.parametrize("bad", ["capture", "labels"])
def test_a_fault_shows_when_rows_are_asked_for_not_with_the_first_of_them(capture, labels, tmp_path, bad):
    absent = tmp_path / "absent"
    given = {"capture": capture, "labels": labels} | {bad: absent}
    with pytest.raises(InputError, match=f"{bad}.* {absent}.* found.* No such file"):
        table.flow_rows([given["capture"]], table.Options(labels=given["labels"]), table.Outcome())


def test_a_dialect_that_no_build_has_is_refused():
    with pytest.raises(ValueError, match="expected .*found 'klingon'"):
        table.Options(dialect="klingon")
