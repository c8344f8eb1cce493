"""`make test-arm` can fail: what it compares with finds every kind of difference, and its set-up says what it lacks."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from arm.compare import compare, read_events, read_rows, read_verdicts
from arm.machine import pinned
from tlids_edge.errors import InputError

ARM = Path(__file__).parent / "arm"
ROW = {
    "FIRST_SWITCHED_MS": "1000", "IPV4_SRC_ADDR": "10.0.0.1", "L4_SRC_PORT": "40000", "IPV4_DST_ADDR": "10.0.0.2",
    "L4_DST_PORT": "80", "PROTOCOL": "6", "L7_PROTO": "7.0", "IN_BYTES": "40",
}  # fmt: skip


def rows(folder: Path, *changes: dict) -> dict:
    """A meter's table with one row for each change of ROW."""
    path = folder / "flows.csv"
    table = [",".join(ROW), *(",".join((ROW | change).values()) for change in changes)]
    path.write_text("\n".join(table) + "\n")
    return read_rows(path)


def verdicts(folder: Path, *changes: dict) -> dict:
    verdict = {"flow": 7, "likeliest": "dos", "class": "dos", "alarm": True, "probabilities": [0.25, 0.75]}
    path = folder / "verdicts.json"
    path.write_text("".join(json.dumps(verdict | change) + "\n" for change in changes))
    return read_verdicts(path)


def events(folder: Path, score: str, alerted: bool = True) -> dict:
    """The flow event and the alert of one flow."""
    common = {"timestamp": "2026-01-31T12:00:00.000000+0000", "flow_id": 7, "src_ip": "10.0.0.1"}
    flow = {"flowvars": [{"key": "tlids_class", "value": "dos"}, {"key": "tlids_score", "value": score}]}
    alert = {"tlids_class": ["dos"], "tlids_score": [score], "tlids_probabilities": ["Benign=0.250000", f"dos={score}"]}
    lines = [
        common | {"event_type": "flow", "metadata": flow, "flow": {"alerted": alerted}},
        common | {"event_type": "alert", "alert": {"metadata": alert}},
    ]
    path = folder / "eve.json"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return read_events(path)


def test_equal_rows_and_verdicts_are_no_difference(tmp_path):
    found = compare("rows", rows(tmp_path, {}, {}), rows(tmp_path, {}, {}))
    assert (found.compared, found.largest, found.differences) == (2, None, [])
    found = compare("verdicts", verdicts(tmp_path, {}), verdicts(tmp_path, {}))
    assert (found.compared, found.largest, found.differences) == (1, 0.0, [])


def test_a_missing_row_is_found_on_either_machine(tmp_path):
    other = {"L4_DST_PORT": "81"}
    whole, short = rows(tmp_path, {}, other), rows(tmp_path, {})
    (alone,) = compare("rows", whole, short).differences
    assert "'81'" in alone and alone.endswith("on x86-64 alone")
    (alone,) = compare("rows", short, whole).differences
    assert alone.endswith("on aarch64 alone")


def test_one_of_two_equal_rows_that_is_missing_is_found(tmp_path):
    assert len(compare("rows", rows(tmp_path, {}, {}), rows(tmp_path, {})).differences) == 1


def test_a_changed_application_or_byte_count_is_found(tmp_path):
    for name, value in (("L7_PROTO", "5.126"), ("IN_BYTES", "41")):
        (difference,) = compare("rows", rows(tmp_path, {}), rows(tmp_path, {name: value})).differences
        assert f"{name} {ROW[name]} and {value}" in difference


@pytest.mark.parametrize("change", [{"class": "Benign"}, {"likeliest": "Benign"}, {"alarm": False}])
def test_a_changed_verdict_is_found(tmp_path, change):
    (name,) = change
    (difference,) = compare("verdicts", verdicts(tmp_path, {}), verdicts(tmp_path, change)).differences
    assert f"{name} " in difference


def test_a_probability_off_by_a_thousandth_is_found_and_a_millionth_is_measured(tmp_path):
    off = compare("verdicts", verdicts(tmp_path, {}), verdicts(tmp_path, {"probabilities": [0.251, 0.749]}))
    assert len(off.differences) == 1
    assert off.largest == pytest.approx(1e-3)
    near = compare("verdicts", verdicts(tmp_path, {}), verdicts(tmp_path, {"probabilities": [0.250001, 0.75]}))
    assert near.differences == []
    assert near.largest == pytest.approx(1e-6)


def test_a_probability_that_is_no_number_or_is_missing_is_found(tmp_path):
    for probabilities in ([float("nan"), 0.75], [0.25]):
        broken = verdicts(tmp_path, {"probabilities": probabilities})
        assert len(compare("verdicts", verdicts(tmp_path, {}), broken).differences) == 1


def test_eve_scores_may_differ_by_a_rounding_and_nothing_else_may(tmp_path):
    ours = events(tmp_path, "0.750000")
    assert compare("events", ours, events(tmp_path, "0.750001")).differences == []
    assert len(compare("events", ours, events(tmp_path, "0.751000")).differences) == 2
    (difference,) = compare("events", ours, events(tmp_path, "0.750000", alerted=False)).differences
    assert "flow.alerted True and False" in difference


def test_nothing_compared_is_a_difference():
    assert compare("rows", {}, {}).differences == ["nothing was there to compare"]


def test_pins_are_those_for_the_emulated_python(tmp_path):
    lock = tmp_path / "requirements.lock"
    lock.write_text(
        "ai-edge-litert==2.3.0 ; sys_platform == 'linux'\n    # via tlids-helpers\n"
        "numpy==1.0 ; python_full_version < '3.12'\nnumpy==2.0 ; python_full_version >= '3.12'\n"
    )
    assert pinned(lock) == ["numpy==2.0", "ai-edge-litert==2.3.0"]
    lock.write_text("numpy==1.0 ; python_full_version < '3.12'\n")
    with pytest.raises(InputError, match=r"expected numpy pinned for Python 3\.13 .* `make lock`"):
        pinned(lock)


@pytest.mark.parametrize("missing", ["capture", "model"])
def test_a_missing_capture_or_model_is_one_sentence_before_any_download(tmp_path, model, missing):
    capture = tmp_path / "some.pcap"
    capture.touch()
    given = {"capture": capture, "model": model} | {missing: tmp_path / "absent"}
    options = [part for name, path in given.items() for part in (f"--{name}", str(path))]
    done = subprocess.run([sys.executable, ARM / "check_arm.py", *options], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"test-arm: expected a {missing} ")
    assert done.stderr.count("\n") == 1 and "absent" in done.stderr
