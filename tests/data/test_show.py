"""The tables and figures of the data chapter: sums and differences, labelled axes, and a mark that is always there."""

import dataclasses
import math

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from tlids_helpers.data import prepare, show
from tlids_helpers.data.catalog import CICFLOW_FEATURES, DATASETS, NETFLOW_FEATURES
from tlids_helpers.data.raw import SUBSET, Allowed
from tlids_helpers.data.split import ROLES

RNG = np.random.default_rng(0)
FLOWS = pd.DataFrame({name: RNG.integers(-1, 60_000, 300) for name in NETFLOW_FEATURES})
FLOWS["Attack"] = RNG.choice(list(DATASETS["nf-uq-nids"].classes), 300)
IMPORTANCE = {"Tot_Fwd_Pkts": 0.5} | dict.fromkeys(CICFLOW_FEATURES, 0.05)
FIGURES = {
    "class_counts": lambda **k: show.class_counts({"Benign": 9, "DoS": 200, "Theft": None}, **k),
    "split_sizes": lambda **k: show.split_sizes({"train": 80, "test": 20}, {"train": 800, "test": 200}, **k),
    "feature_importance": lambda **k: show.feature_importance(IMPORTANCE, CICFLOW_FEATURES, **k),
    "feature_distributions": lambda **k: show.feature_distributions(FLOWS, NETFLOW_FEATURES, **k),
}


@pytest.fixture
def subset(netflow, put, data_dir):
    frame = netflow({"Benign": 60, "DoS": 40, "theft": 20}).astype({"IN_PKTS": float, "OUT_PKTS": float})
    frame["PROTOCOL"] = 6
    frame.loc[0, "IN_PKTS"] = float("inf")
    frame.loc[1:2, "OUT_PKTS"] = float("nan")
    frame.loc[3:6, "OUT_PKTS"] = -1
    put(frame, "NF-BoT-IoT.csv")
    return prepare.prepare("nf-bot-iot", data_dir, allowed=Allowed(subset=True, loss=0.05))


def test_the_census_shows_every_count_of_the_file(subset):
    found = show.census(subset)
    assert list(found.columns) == ["nf-bot-iot"] and found.columns.name == "subset"
    counts = found["nf-bot-iot"].to_dict()
    assert counts.pop("kept: label spelled in another case") == 20
    assert {text: n for text, n in counts.items() if n} == {
        "lines of the file": 121,
        "header": 1,
        "rows with a label": 120,
        "kept": 117,
        "dropped: a feature is empty or NaN": 2,
        "dropped: a feature is infinite": 1,
        "kept: a feature is negative (taken as 0 by the model)": 4,
    }


def test_impossible_ports_have_a_line_where_there_are_any(subset, netflow, put, data_dir):
    text = "kept: a port is above 65,535 or a protocol above 255"
    assert text not in show.census(subset).index
    frame = netflow({"Benign": 60, "DoS": 40})
    frame["PROTOCOL"] = 6
    frame.loc[0:2, "L4_DST_PORT"] = 70_000
    assert show.census(prepare.prepare(str(put(frame, "own.csv")), data_dir)).loc[text].to_list() == [3]


def test_every_count_of_the_census_has_its_line(subset):
    census = subset.parts["nf-bot-iot"]["census"]
    assert set(show.CENSUS_ROWS) == {name for name, value in census.items() if type(value) is int}


def test_a_unions_census_has_one_column_for_each_file(four_parts, data_dir):
    union = prepare.prepare("nf-uq-nids", data_dir, allowed=SUBSET)
    found = show.census(union)
    assert tuple(found.columns) == DATASETS["nf-uq-nids"].parts
    assert list(found.loc["kept"]) == [len(four_parts[slug]) for slug in found.columns]


def test_a_unions_own_file_is_counted_once_though_it_stands_for_four_parts(union_frame, put, data_dir):
    put(union_frame, "NF-UQ-NIDS.csv")
    found = show.census(prepare.prepare("nf-uq-nids", data_dir, allowed=SUBSET))
    assert found.loc["kept"].to_dict() == {"NF-UQ-NIDS.csv": len(union_frame)}


def test_classes_shows_published_counts_what_is_here_and_the_difference(subset):
    found = show.classes(subset).set_index("class")
    assert found.columns.name == "subset"
    here = sum(sum(subset.counts[role].values()) for role in ROLES)
    assert (found["here"].sum(), here) == (117, 117)
    assert found["published"].to_dict() == DATASETS["nf-bot-iot"].classes
    assert (found["difference"] == found["here"] - found["published"]).all()
    assert found.loc["Reconnaissance", "here"] == 0


def test_classes_of_an_own_file_have_no_published_column(netflow, put, data_dir):
    prepared = prepare.prepare(str(put(netflow({"Benign": 60, "DoS": 40}), "own.csv")), data_dir)
    found = show.classes(prepared)
    assert list(found.columns) == ["class", "here"] and list(found["here"]) == [60, 40]


def test_classes_without_published_counts_show_a_gap_and_no_number(cicflow, put, data_dir):
    put(cicflow({"Normal": 50, "Telnet": 30}), "IoT-DS2.csv")
    found = show.classes(prepare.prepare("iot-ds2", data_dir, allowed=SUBSET)).set_index("class")
    assert found["published"].isna().all() and found["difference"].isna().all()
    assert (found.loc["Telnet", "here"], found["here"].sum()) == (30, 80)


def test_roles_add_up_by_class_and_by_role(subset):
    found = show.roles(subset).set_index("class")
    assert found.loc["all", list(ROLES)].tolist() == [subset.size(role) for role in ROLES]
    for name in subset.classes:
        share = subset.counts["test"][name] / sum(subset.counts[role][name] for role in ROLES)
        assert found.loc[name, "test share"] == round(share, 3)
    assert found.loc["all", "test share"] == round(math.ceil(0.2 * 117) / 117, 3)


def test_twins_are_test_rows_that_equal_a_training_row(netflow, put, data_dir):
    frame = netflow({"Benign": 100, "DoS": 100})
    path = str(put(frame, "unique.csv"))
    assert show.twins(prepare.prepare(path, data_dir)) == 0
    path = str(put(frame.assign(**{n: 1 for n in frame.columns if n != "Attack"}), "same.csv"))
    prepared = prepare.prepare(path, data_dir)
    assert show.twins(prepared) == prepared.size("test") == 40


@pytest.mark.parametrize("slug", DATASETS)
def test_facts_name_the_rows_the_source_and_the_terms(slug):
    entry, found = DATASETS[slug], show.facts(DATASETS[slug])["value"]
    assert found["rows"] == f"{entry.total:,}" and found["get it from"] == entry.page and found["terms"] == entry.terms
    assert ("rows in Tables 1 and 3" in found) == bool(entry.paper_train)


@pytest.mark.parametrize(
    ("mark", "meaning"),
    [
        ("", "the whole published file"), ("v2", "the whole published file"),
        ("subset", "a subset of the published"), ("v2 subset", "a subset of the published"),
        ("simulated", "a simulated stand-in"), ("v2 simulated", "a simulated stand-in"),
        ("own", "your own flows"), ("own subset", "a subsample of your own flows"),
    ],
)  # fmt: skip
def test_every_mark_has_its_sentence(mark, meaning, subset):
    prepared = dataclasses.replace(subset, mark=mark, version=2 if "v2" in mark else 1)
    sentence = show.provenance(prepared)
    assert sentence.startswith(f"NF-BoT-IoT here is {meaning}")
    assert ("Version 2" in sentence) == ("v2" in mark)


def test_the_mark_of_a_subsample_has_a_sentence_too(netflow, put, data_dir):
    path = str(put(netflow({"Benign": 60, "DoS": 40}), "own.csv"))
    assert "a subsample of your own flows" in show.provenance(prepare.prepare(path, data_dir, rows=50))
    assert "a simulated stand-in" in show.provenance(prepare.prepare("nf-bot-iot", data_dir, rows=500))


def visible(figure):
    return [axes for axes in figure.axes if axes.get_visible() and axes.get_label() != "<colorbar>"]


def texts(axes) -> list[str]:
    return [text.get_text().strip() for text in axes.texts]


@pytest.mark.parametrize("name", FIGURES)
def test_axes_are_labelled_and_the_mark_is_in_the_title(name, capsys):
    figure = FIGURES[name](mark="simulated")
    FigureCanvasAgg(figure).draw()  # pyplot has closed the figure, and its canvas draws nothing any more
    assert figure.get_suptitle().endswith("[simulated]")
    assert "simulated" in [text.get_text() for text in figure.texts]  # the watermark
    assert all(axes.get_xlabel() for axes in visible(figure))
    rows = {round(axes.get_position().y0, 3) for axes in visible(figure)}
    labelled = {round(axes.get_position().y0, 3) for axes in visible(figure) if axes.get_ylabel()}
    assert labelled == rows  # axes that share the one to their left may leave the label to it
    assert capsys.readouterr() == ("", "")
    assert not plt.get_fignums()  # nothing left open for pyplot to draw again


@pytest.mark.parametrize("name", FIGURES)
def test_a_mark_without_simulated_rows_has_no_watermark_and_no_mark_no_brackets(name):
    figure = FIGURES[name](mark="v2 subset")
    assert figure.get_suptitle().endswith("[v2 subset]")
    assert "simulated" not in [text.get_text() for text in figure.texts]
    assert "[" not in FIGURES[name]().get_suptitle()


def test_class_counts_tell_what_nobody_has_published():
    axes = visible(FIGURES["class_counts"]())[0]
    assert texts(axes) == ["200", "9", "not published"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["DoS", "Benign", "Theft"]
    assert axes.get_xscale() == "log"


def test_feature_distributions_are_of_log1p_with_sentinels_at_zero_and_without_inf():
    frame = pd.DataFrame({"IN_BYTES": [-1.0, -1.0, 0.0, np.inf, np.nan, 9.0], "Attack": ["a"] * 6})
    axes = visible(show.feature_distributions(frame, ["IN_BYTES"]))[0]
    (median,) = [line for line in axes.lines if line.get_linewidth() == 1.6]
    assert list(median.get_xdata()) == [0, 0]  # of 0, 0, 0 and log(10)
    whiskers = np.concatenate([line.get_xdata() for line in axes.lines])
    assert whiskers.max() <= np.log(10)


def test_the_papers_nine_are_shown_however_low_they_rank():
    importance = {f"other_{place}": 0.1 for place in range(5)} | dict.fromkeys(CICFLOW_FEATURES, 0.01)
    axes = visible(show.feature_importance(importance, CICFLOW_FEATURES, top=3))[0]
    shown = [label.get_text().split()[0] for label in axes.get_yticklabels()]
    assert shown == ["other_0", "other_1", "other_2", *CICFLOW_FEATURES]
    assert [bool(bar.get_hatch()) for bar in axes.patches[:12]] == [False] * 3 + [True] * 9


def test_split_sizes_stand_beside_the_papers_or_alone():
    assert texts(visible(FIGURES["split_sizes"]())[0]) == ["800", "200", "80", "20"]
    assert texts(visible(show.split_sizes({"train": 80, "test": 20}))[0]) == ["80", "20"]


def test_sources_tell_the_rows_and_the_parts_of_each_protocol(four_parts, data_dir):
    union = prepare.prepare("nf-uq-nids", data_dir, allowed=SUBSET)
    without = prepare.prepare("nf-uq-nids-without-nf-ton-iot", data_dir, allowed=SUBSET)
    found = show.sources({"paper": union, "leave_target_out": without})
    assert found.loc["training rows"].to_dict() == {
        "paper": f"{union.size('train'):,}", "leave_target_out": f"{without.size('train'):,}"
    }  # fmt: skip
    assert "nf-ton-iot" in found.loc["parts", "paper"] and "nf-ton-iot" not in found.loc["parts", "leave_target_out"]
    assert found.columns.name == "subset"
