"""Notebook 06's tables, worked by hand, and its figures."""

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from tlids_helpers.testbed import show
from tlids_helpers.testbed.recordings import Recording

VERDICTS = pd.DataFrame(
    {
        "time": [0.0, 10, 20, 30, 40, 3600],
        "truth": ["Benign", "Benign", "Scan", "Scan", "Scan", "Flood"],
        "verdict": ["Benign", "Scan", "Scan", "Flood", "Benign", "Flood"],
        "anomaly": [False, True, True, True, True, True],
    }
)
CLASSES = ("Benign", "Scan", "Flood", "Absent")
BY_MODEL = VERDICTS["verdict"] != "Benign"


def test_confusion_in_counts():
    assert show.class_counts(VERDICTS, CLASSES).tolist() == [[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 0], [0] * 4]


def test_benign_and_attack_against_benign_and_anomaly():
    assert show.anomaly_counts(VERDICTS, "Benign", BY_MODEL).tolist() == [[1, 1], [1, 3]]
    assert show.anomaly_counts(VERDICTS, "Benign", VERDICTS["anomaly"]).tolist() == [[1, 1], [0, 4]]


def test_recall_of_the_classes_that_occur():
    table = show.recall(VERDICTS, CLASSES, {"named": VERDICTS["verdict"] == VERDICTS["truth"]})
    assert table["named"].to_dict() == pytest.approx({"Benign (2)": 1 / 2, "Scan (3)": 1 / 3, "Flood (1)": 1})


def test_false_alarms_are_counted_by_the_hour_of_the_recording():
    table = show.false_alarms(VERDICTS, "Benign", {"model": BY_MODEL})
    assert table.loc["model"].to_dict() == {
        "benign flows": 2, "alarms": 1, "share": "50.00%", "alarms per hour": 1.0,
    }  # fmt: skip


def test_a_row_a_recording_in_counts():
    flows = pd.DataFrame(
        {
            "Session": ["one", "one", "two"], "Attack": ["Benign", "Scan", "Benign"],
            "FIRST_SWITCHED_MS": [0, 60_000, 5], "LAST_SWITCHED_MS": [30_000, 90_000, 5],
        }
    )  # fmt: skip
    table = show.sessions([Recording("one", "10.0.0.0/24", 7, [], [])], flows)
    assert table.loc["one"].to_dict() == {
        "network": "10.0.0.0/24", "minutes": 1.5, "packets": 7, "flows": 2, "classes": 2, "benign flows": 1,
    }  # fmt: skip


def test_windows_of_judgements_do_not_reach_from_one_span_into_the_next():
    found = pd.DataFrame({"time": np.arange(12.0)})
    judged = pd.Series([True, False, True] * 4)
    assert show.window_counts(found, [(0, 4), (6, 11)], judged, 2) == [1, 2, 1, 2, 1]
    assert show.window_counts(found, [(0, 3)], judged, 5) == []


HOSTS = [{"name": name, "address": "10.0.0.1", "mac": "02:00:00:00:00:01"} for name in ("attacker", "phone", "tv")]
FLOWS = pd.DataFrame({"FIRST_SWITCHED_MS": [0, 5000, 61_000], "Attack": ["Benign", "Benign", "Scan"]})
BY_CLASS = pd.DataFrame({"flows": [50, 10, 20], "shipped": [9, 10, 20], "adapted": [1, 9, 17]},
                       index=["Benign", "Scan", "Flood"])  # fmt: skip
FIGURES = {
    "network": lambda: show.network(HOSTS, "A title"),
    "timeline": lambda: show.timeline(FLOWS, "A title"),
    "windows": lambda: show.windows({"model": [81, 90], "none": []}, 100, 81, "A title"),
    "recalls": lambda: show.recall_heatmap(pd.DataFrame({"an arm": {"Scan (3)": 0.5}}), "A title"),
    "before and after": lambda: show.before_and_after(BY_CLASS, "A title"),
}


FOUND = {
    "network": "",
    "timeline": ": 2 benign flows and 1 of attacks",
    "windows": ": median 85.5 by model, 81 in the paper",
    "recalls": ": lowest is 0.50, Scan (3), an arm",
    "before and after": ": in 1 of 2 attack classes alarms fall by more than a tenth of the flows",
}
"""What each of FIGURES shows, counted by hand."""


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_draws_with_its_title_and_what_it_found(name):
    figure = FIGURES[name]()
    FigureCanvasAgg(figure).draw()
    assert figure.get_suptitle() == "A title" + FOUND[name]


def test_the_timeline_counts_flows_of_ten_seconds():
    values = show.timeline(FLOWS, "A title").axes[0].collections[0].get_array().reshape(2, 7)
    assert values[0, 0] == pytest.approx(np.log10(2)) and values[1, 6] == 0  # two benign flows; one scan
    assert np.ma.getmaskarray(values).sum() == 12


def test_a_dot_a_window_stands_at_its_count():
    axes = show.windows({"model": [81, 90]}, 100, 81, "A title").axes[0]
    assert sorted(axes.collections[0].get_offsets()[:, 0]) == [81, 90]
