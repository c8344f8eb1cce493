"""labels.py: which flow gets which label, and which line is refused."""

import ipaddress
import random
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
        (f"{NOON + 1},{NOON},,,,DoS", f"'{NOON + 1}' to '{NOON}'"),
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


@pytest.mark.parametrize(
    ("header", "found"),
    [('start,end,"src"x,dst,dst_port,attack\n', "expected CSV in line 1"), ("x" * 5000 + "\n", r"\.\.\.'")],
)
def test_a_first_line_that_is_none_is_refused_in_few_words(header, found, tmp_path):
    with pytest.raises(InputError, match=found) as refusal:
        labels(tmp_path, "", header)
    assert len(str(refusal.value)) < 400


def test_a_port_of_thousands_of_digits_is_no_port(tmp_path):
    with pytest.raises(InputError, match="a port from 0 to 65535, found"):
        labels(tmp_path, f",,,,{'1' * 5000},DoS\n")


def test_a_labels_file_without_an_end_is_refused():
    with pytest.raises(InputError, match="at most 67,108,864 bytes in /dev/zero"):
        read_labels("/dev/zero")


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


def first_of_all(rows, flow) -> str:
    """The first row that matches, looked for one row after the other as the module's text says it."""

    def is_host(host, address, mac):
        return host is None or (host == mac if isinstance(host, str) else ipaddress.ip_address(address) in host)

    for row in rows:
        there = is_host(row.src, flow.src, flow.src_mac) and is_host(row.dst, flow.dst, flow.dst_mac)
        back = is_host(row.src, flow.dst, flow.dst_mac) and is_host(row.dst, flow.src, flow.src_mac)
        there = there and row.dst_port in (None, flow.dst_port)
        back = back and row.both_ways and row.dst_port in (None, flow.src_port)
        if flow.last_us >= row.start_us and flow.first_us <= row.end_us and (there or back):
            return row.attack
    return "Benign"


def test_rows_found_by_their_index_are_those_found_one_after_the_other(tmp_path):
    draw = random.Random(5)
    hosts = [
        "", "10.0.0.1", "10.0.0.2", "10.0.0.0/30", "10.0.0.0/8", "0.0.0.0/0", "fe80::1", "fe80::/64", "::/0",
        "aa:bb:cc:00:00:01", "aa:bb:cc:00:00:02",
    ]  # fmt: skip
    addresses, macs = ["10.0.0.1", "10.0.0.2", "10.9.0.1", "192.168.0.1", "fe80::1", "2001:db8::1"], [*hosts[-2:], ""]
    for _ in range(40):
        rows = []
        for number in range(draw.randrange(1, 60)):
            start, end = sorted(draw.randrange(NOON, NOON + 50) for _ in range(2))
            when = draw.choice((f"{start},{end}", f"{start},", f",{end}", ","))
            who = f"{draw.choice(hosts)},{draw.choice(hosts)},{draw.choice(('', '80', '53'))}"
            rows.append(f"{when},{who},row{number},{draw.choice(('', '0', '1'))}\n")
        rules = labels(tmp_path, "".join(rows), HEADER.strip() + ",both_ways\n")
        for _ in range(100):
            begin = NOON + draw.randrange(-5, 55)
            one = flow(
                begin, begin + draw.randrange(10), src=draw.choice(addresses), dst=draw.choice(addresses),
                src_mac=draw.choice(macs), dst_mac=draw.choice(macs), src_port=draw.choice((80, 53, 9)),
                dst_port=draw.choice((80, 53, 9)),
            )  # fmt: skip
            assert label_flow(rules, one) == first_of_all(rules, one)


def test_a_hundred_thousand_rows_are_not_read_for_every_flow(tmp_path):
    """One after the other, these flows would take an hour. Even rows are of one source, odd ones of one each."""

    def source(n: int) -> str:
        return f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" if n % 2 else "10.0.0.0"

    rules = labels(tmp_path, "".join(f"{NOON + n},{NOON + n + 0.5},{source(n)},,,row{n}\n" for n in range(100_000)))
    for n in range(0, 100_000, 99):
        assert label_flow(rules, flow(NOON + n + 0.1, NOON + n + 0.2, src=source(n))) == f"row{n}"
        assert label_flow(rules, flow(NOON + n + 0.6, NOON + n + 0.7, src=source(n))) == "Benign"
