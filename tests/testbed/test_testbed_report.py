"""Notebook 06's tables, worked by hand, and its figures."""

import json

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from tlids_helpers.common.errors import InputError
from tlids_helpers.testbed import plots, recordings, report

FOUND = pd.DataFrame(
    {
        "time": [0.0, 10, 20, 30, 40, 3600],
        "truth": ["Benign", "Benign", "Scan", "Scan", "Scan", "Flood"],
        "verdict": ["Benign", "Scan", "Scan", "Flood", "Benign", "Flood"],
        "anomaly": [False, True, True, True, True, True],
    }
)
CLASSES = ("Benign", "Scan", "Flood", "Absent")
BY_MODEL = FOUND["verdict"] != "Benign"


def test_confusion_in_counts():
    assert report.confusion(FOUND, CLASSES).tolist() == [[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 0], [0] * 4]


def test_benign_and_attack_against_benign_and_anomaly():
    assert report.binary(FOUND, "Benign", BY_MODEL).tolist() == [[1, 1], [1, 3]]
    assert report.binary(FOUND, "Benign", FOUND["anomaly"]).tolist() == [[1, 1], [0, 4]]


def test_recall_of_the_classes_that_occur():
    table = report.recall(FOUND, CLASSES, {"named": FOUND["verdict"] == FOUND["truth"]})
    assert table["named"].round(3).to_dict() == {"Benign (2)": 0.5, "Scan (3)": 0.333, "Flood (1)": 1.0}


def test_false_alarms_are_counted_by_the_hour_of_the_recording():
    table = report.false_alarms(FOUND, "Benign", {"model": BY_MODEL})
    assert table.loc["model"].to_dict() == {
        "benign flows": 2, "alarms": 1, "share": "50.00%", "alarms per hour": 1.0,
    }  # fmt: skip


def test_windows_of_judgements_do_not_reach_from_one_span_into_the_next():
    found = pd.DataFrame({"time": np.arange(12.0)})
    judged = pd.Series([True, False, True] * 4)
    assert report.judgements(found, [(0, 4), (6, 11)], judged, 2) == [1, 2, 1, 2, 1]
    assert report.judgements(found, [(0, 3)], judged, 5) == []


def test_a_recording_is_what_its_file_tells_and_a_broken_one_is_refused(tmp_path):
    told = {"subnet": "10.0.0.0/24", "packets": {"captured": 7}, "hosts": {"tv": {"mac": ""}}, "attacks": [], "more": 1}
    (tmp_path / "session1.json").write_text(json.dumps(told))
    found = recordings.recording(tmp_path, "session1")
    assert (found.subnet, found.packets, found.hosts) == ("10.0.0.0/24", 7, [{"name": "tv", "mac": ""}])
    (tmp_path / "session1.json").write_text("{}")
    for name in ("session1", "session2"):
        with pytest.raises(InputError, match="record it anew"):
            recordings.recording(tmp_path, name)


def test_a_folder_without_recordings_is_refused(tmp_path):
    with pytest.raises(InputError, match="make testbed"):
        recordings.sessions(tmp_path)


HOSTS = [{"name": name, "address": "10.0.0.1", "mac": "02:00:00:00:00:01"} for name in ("attacker", "phone", "tv")]
FLOWS = pd.DataFrame({"FIRST_SWITCHED_MS": [0, 5000, 61_000], "Attack": ["Benign", "Benign", "Scan"]})
FIGURES = {
    "network": lambda: plots.network(HOSTS, "A title"),
    "timeline": lambda: plots.timeline(FLOWS, "A title"),
    "windows": lambda: plots.windows({"model": [81, 90], "none": []}, 100, 81, "A title"),
    "recalls": lambda: plots.recalls(pd.DataFrame({"an arm": {"Scan (3)": 0.5}}), "A title"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_draws_with_its_title(name):
    figure = FIGURES[name]()
    FigureCanvasAgg(figure).draw()
    assert figure.get_suptitle() == "A title"


def test_the_timeline_counts_flows_of_ten_seconds():
    values = plots.timeline(FLOWS, "A title").axes[0].collections[0].get_array().reshape(2, 7)
    assert values[0, 0] == pytest.approx(np.log10(2)) and values[1, 6] == 0  # two benign flows; one scan
    assert np.ma.getmaskarray(values).sum() == 12


def test_a_dot_a_window_stands_at_its_count():
    axes = plots.windows({"model": [81, 90]}, 100, 81, "A title").axes[0]
    assert sorted(axes.collections[0].get_offsets()[:, 0]) == [81, 90]
