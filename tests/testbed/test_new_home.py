"""Notebook 07's helpers: counts worked by hand, attacks put into a recording, and one small home learned for real."""

from collections.abc import Iterator

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from threadpoolctl import threadpool_limits
from tlids_edge.flows import rows

from tlids_helpers.testbed import new_home, recordings, show
from tlids_helpers.testbed.__main__ import MODEL
from tlids_helpers.testbed.new_home import OTHER, Learned, Session

FOLDER = recordings.FOLDER.with_name("second-home")
TRUTH = np.array(["Benign", "Benign", "Scan", "Scan", "Flood"])
DEVICES = np.array(["camera", "hub", "plug", "plug", OTHER])
ALARMS = {"shipped": np.array([True, False, True, True, False])}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Two threads for matrices, beside other tests, wait for each other."""
    with threadpool_limits(1):
        yield


def flow(second: float, host: int = 1, lasts: float = 1.0):
    """A flow that ends at `second`, of a host that talks to one service."""
    row = np.zeros((), rows.ROW)
    row["src"], row["address_bytes"] = bytes([10, 0, 0, host]), 4
    row["src_mac"], row["src_mac_bytes"] = bytes([2, 0, 0, 0, 0, host]), 6
    row["src_port"], row["dst_port"], row["protocol"] = 50_000 + host, 443, 6
    row["tcp_flags"], row["l7_app"], row["in_packets"], row["out_packets"] = 27, 91, 9, 11
    row["in_bytes"], row["out_bytes"], row["proven"] = 900 + 10 * host, 4_000 + host, True
    row["first_us"], row["last_us"] = int((second - lasts) * 1e6), int(second * 1e6)
    return rows.flow(row)


def session(flows: list, truth: str = "Benign") -> Session:
    return Session(flows, np.array([truth] * len(flows)), np.array(["hub"] * len(flows)))


def quiet_home(seconds: int = 600) -> Session:
    """Eleven hosts, a flow a second."""
    return session([flow(when, when % 11 + 1) for when in range(1, seconds + 1)])


def test_benign_alarms_are_counted_by_the_device_that_opened_the_flow():
    table = new_home.by_device(Session([None] * 5, TRUTH, DEVICES), ALARMS)
    assert table.to_dict("index") == {"camera": {"flows": 1, "shipped": 1}, "hub": {"flows": 1, "shipped": 0}}


def test_classes_are_counted_benign_first_and_then_the_largest():
    table = new_home.by_class(Session([None] * 5, TRUTH, DEVICES), ALARMS)
    assert table.to_dict() == {
        "flows": {"Benign": 2, "Scan": 2, "Flood": 1}, "shipped": {"Benign": 1, "Scan": 2, "Flood": 0}
    }  # fmt: skip
    assert list(table.index) == ["Benign", "Scan", "Flood"]


def test_an_attack_at_its_own_speed_begins_in_the_middle_and_keeps_its_gaps():
    early = session([flow(when) for when in (1, 101)])  # from 0 to 101 s, so the middle is 50.5
    attack = [flow(when, 9) for when in (7000, 7002, 7003, 7090)]
    made = new_home.poisoned(early, attack, 0)
    assert [each.last_us / 1e6 for each in made] == [1, 50.5, 52.5, 53.5, 101]  # the last one does not fit
    assert [(each.last_us - each.first_us) / 1e6 for each in made] == [1] * 5
    assert [each.last_us / 1e6 for each in attack] == [7000, 7002, 7003, 7090]  # the judged recording is as it was


def test_a_patient_attack_ends_one_flow_in_each_gap_as_long_as_the_recording_lasts():
    early = session([flow(when) for when in (1, 30)])
    made = new_home.poisoned(early, [flow(7000 + when, 9) for when in range(20)], 8)
    assert [each.last_us / 1e6 for each in made] == [1, 8, 16, 24, 30]
    assert new_home.poisoned(early, [], 8) == early.flows


def test_a_home_is_learned_and_judged_by_its_own_minutes(tmp_path):
    home, early = Learned(MODEL, 600.0, 1), quiet_home()
    told = home.adapt(early.flows, tmp_path / "home", 300)
    assert told["rows"] == len(told["kept"]) >= 300
    known = {tuple(np.float32(each.netflow())) for each in early.flows}
    assert {tuple(row) for row in told["kept"]} <= known
    assert not new_home.alarms(tmp_path / "home", early.flows).any()


def test_too_little_to_learn_leaves_the_shipped_model_and_says_why(tmp_path):
    early = quiet_home()
    table = new_home.curve(Learned(MODEL, early.seconds, 1), early, early, (0.05, 1))
    assert list(table["minutes"]) == [0.5, 10.0] and "rows learned at least" in table["why not"][0]
    assert not table["why not"][1] and np.isnan(table["promised at most"][0])
    assert table["benign alarms"][0] == new_home.alarms(MODEL, early.flows).sum()
    assert 0 < table["promised at most"][1] < 0.1 and table["benign alarms"][1] == 0


def test_a_flow_that_is_in_the_sample_counts_as_learned_poison():
    early = quiet_home()
    later = session([flow(5000 + when, 77) for when in range(40)], "Scan")
    first = np.arange(40) < 20
    table = new_home.poisoning(Learned(MODEL, early.seconds, 1), early, later, first, ["Scan"])
    assert list(table["how"]) == list(new_home.POISONS) and set(table["sent"]) == {20}
    assert (table["later"] == 20).all() and (table["undefended"] == 0).all()  # they look like what the hosts do
    assert table["learned"][1] == 20  # one in eight seconds is under every cap


def test_the_flows_of_the_second_home_are_those_that_are_shipped():
    first = recordings.recording(FOLDER, "session1")
    metered = new_home.session(FOLDER, first)
    shipped = pd.read_parquet(FOLDER / "second-home.parquet").query("Session == 'session1'")
    assert len(metered.flows) == len(shipped) and metered.benign.all()
    macs = {host["name"]: host["mac"] for host in first.hosts}
    counts = shipped["SRC_MAC"].value_counts()
    for name, count in pd.Series(metered.devices).value_counts().items():
        assert name == OTHER or counts[macs[name]] == count


@pytest.mark.parametrize(
    "figure",
    [
        show.learning_curve(
            pd.DataFrame({"minutes": [1, 2], "attacks found": [9, 8], "benign alarms": [3, 1],
                          "promised at most": [np.nan, 0.1]}), {"benign": 10, "attack": 10}, "learned",
        ),
        show.before_and_after(pd.DataFrame({"flows": [2, 4], "shipped": [1, 4], "adapted": [0, 3]}, ["Benign", "Scan"]),
                              "before"),
    ],
    ids=["curve", "classes"],
)  # fmt: skip
def test_figures_are_drawn_in_per_cent(figure):
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    assert "(%)" in axes.get_xlabel() + axes.get_ylabel()
    heights = [list(line.get_ydata()) for line in axes.lines] + [[bar.get_width() for bar in axes.patches]]
    assert [90, 80] in heights or [50, 100, 0, 75] in heights
