"""labels.py: which flow gets which label, and which line is refused."""

import types

import pytest
from tlids_edge.errors import InputError
from tlids_edge.flows.labels import label_flow, read_labels

HEADER = "start,end,src,dst,dst_port,attack\n"
NOON = 1_767_268_800  # 2026-01-01T12:00:00Z


def labels(tmp_path, text: str, header: str = HEADER):
    path = tmp_path / "labels.csv"
    path.write_text(header + text)
    return read_labels(path)


def flow(first: float = NOON, last: float = NOON + 1, **changes):
    fields = {
        "first_us": int(first * 1e6), "last_us": int(last * 1e6), "src": "192.168.1.66", "dst": "192.168.1.5",
        "src_port": 40000, "dst_port": 1883, "src_mac": "aa:bb:cc:00:00:66", "dst_mac": "aa:bb:cc:00:00:05",
    }  # fmt: skip
    return types.SimpleNamespace(**fields | changes)


def test_no_row_means_benign(tmp_path):
    assert label_flow(labels(tmp_path, ""), flow()) == "Benign"


def test_a_row_with_empty_fields_labels_the_whole_capture(tmp_path):
    assert label_flow(labels(tmp_path, ",,,,,Flood\n"), flow()) == "Flood"


@pytest.mark.parametrize(
    "when", [str(NOON), "2026-01-01T12:00:00Z", "2026-01-01T13:00:00+01:00", "2026-01-01 12:00:00"]
)
def test_times_are_epoch_seconds_or_iso_8601_in_utc(tmp_path, when):
    rules = labels(tmp_path, f"{when},,,,,DoS\n")
    assert label_flow(rules, flow(NOON - 10, NOON)) == "DoS"
    assert label_flow(rules, flow(NOON - 10, NOON - 0.001)) == "Benign"


def test_a_flow_belongs_to_a_window_when_any_part_of_it_does(tmp_path):
    rules = labels(tmp_path, f"{NOON},{NOON + 60},,,,DoS\n")
    assert label_flow(rules, flow(NOON - 5, NOON + 100)) == "DoS"
    assert label_flow(rules, flow(NOON + 60, NOON + 70)) == "DoS"
    assert label_flow(rules, flow(NOON + 60.001, NOON + 70)) == "Benign"


@pytest.mark.parametrize("src", ["192.168.1.66", "192.168.1.0/24", "AA:BB:CC:00:00:66", "aa-bb-cc-00-00-66"])
def test_a_source_is_an_address_a_network_or_a_mac_address(tmp_path, src):
    rules = labels(tmp_path, f",,{src},,,Scan\n")
    assert label_flow(rules, flow()) == "Scan"
    assert label_flow(rules, flow(src="10.9.9.9", src_mac="", dst="10.9.9.8", dst_mac="")) == "Benign"


def test_an_ipv6_network_does_not_match_ipv4(tmp_path):
    rules = labels(tmp_path, ",,::/0,,,Scan\n")
    assert label_flow(rules, flow()) == "Benign"
    assert label_flow(rules, flow(src="fe80::1", dst="fe80::2")) == "Scan"


def test_the_first_matching_row_wins(tmp_path):
    rules = labels(tmp_path, ",,192.168.1.66,,1883,First\n,,192.168.1.66,,,Second\n")
    assert label_flow(rules, flow()) == "First"
    assert label_flow(rules, flow(dst_port=80)) == "Second"


def test_a_row_matches_both_ways_unless_it_says_otherwise(tmp_path):
    answer = flow(src="192.168.1.5", dst="192.168.1.66", src_port=1883, dst_port=40000)
    assert label_flow(labels(tmp_path, ",,192.168.1.66,,1883,DoS\n"), answer) == "DoS"
    header = HEADER.replace("attack", "attack,both_ways")
    assert label_flow(labels(tmp_path, ",,192.168.1.66,,1883,DoS,1\n", header), answer) == "DoS"
    assert label_flow(labels(tmp_path, ",,192.168.1.66,,1883,DoS,0\n", header), answer) == "Benign"


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ("yesterday,,,,,DoS", "'yesterday'"),
        ("nan,,,,,DoS", "'nan'"),
        (f"{NOON + 1},{NOON},,,,DoS", f"{NOON + 1} to {NOON}"),
        (",,192.168.1.300,,,DoS", "'192.168.1.300'"),
        (",,eth0,,,DoS", "'eth0'"),
        (",,,,99999,DoS", "'99999'"),
        (",,,,http,DoS", "'http'"),
        (",,,,,", "an empty field"),
        (",,,,DoS", "more or fewer"),
        (",,,,,DoS,extra", "more or fewer"),
    ],
)
def test_a_bad_row_is_refused_with_its_line_number(tmp_path, row, found):
    with pytest.raises(InputError) as refusal:
        labels(tmp_path, f",,,,,Fine\n{row}\n")
    assert "in line 3 of" in str(refusal.value) and f"found {found}" in str(refusal.value)


def test_other_columns_and_missing_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="columns start,end.* found 'begin,end"):
        labels(tmp_path, "", "begin,end,src,dst,dst_port,attack\n")
    with pytest.raises(InputError, match="columns start,end.* found ''"):
        labels(tmp_path, "", "")
    with pytest.raises(InputError, match="none.csv .*No such file"):
        read_labels(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes(HEADER.encode() + b",,,,,D\xe9ni\n")
    with pytest.raises(InputError, match="UTF-8"):
        read_labels(tmp_path / "latin.csv")
