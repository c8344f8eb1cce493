"""What stands in the figures and tables of the audit: labels, marks, and the numbers behind them."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hand_made import hand_made
from matplotlib.backends.backend_agg import FigureCanvasAgg

from tlids_helpers.audit import alarms, seeds, show
from tlids_helpers.audit.baselines import BASELINES
from tlids_helpers.audit.check import Check
from tlids_helpers.data.catalog import NETFLOW_FEATURES
from tlids_helpers.results import metrics

RNG = np.random.default_rng(0)
CONFIDENCE = np.stack([RNG.uniform(0.4, 1, 3000), np.zeros(3000)], axis=1)
TABLES = {
    name: alarms.reliability(CONFIDENCE, np.where(RNG.random(3000) < CONFIDENCE.max(axis=1) ** power, 0, 1))
    for name, power in (("CNN", 2), ("extra trees", 1))
}
NAMES = ("NF-BoT-IoT-v2", "NF-ToN-IoT-v2", "NF-UNSW-NB15-v2", "NF-CSE-CIC-IDS2018-v2")
ARMS = ("CNN, zero-shot", "extra trees, zero-shot", "CNN, fine-tuned on 1 %", "CNN, fine-tuned on 5 %",
        "CNN, fine-tuned on 100 %")  # fmt: skip
CROSS = pd.DataFrame(
    [
        {"source": a, "target": b, "arm": arm, "mark": "v2 subset",
         "balanced_accuracy": 0.98 if a == b else 0.45 + 0.1 * order + 0.02 * i}
        for i, a in enumerate(NAMES) for b in NAMES for order, arm in enumerate(ARMS)
        if (a != b or order < 2) and (a, b) != (NAMES[0], NAMES[3])
    ]
)  # fmt: skip
RUNS = pd.DataFrame(
    [
        {"model": name, "seed": seed, "macro_f1": 0.2 + 0.1 * order + 0.01 * seed * (order % 3),
         "bytes": 10.0**order * 500, "fit_seconds": 0.01 * 4**order, "predict_seconds": 0.001 * 3**order}
        for order, name in enumerate((*BASELINES[:6], "logistic regression", "CNN")) for seed in range(5)
    ]
)  # fmt: skip
SUMMARY = seeds.summary(RUNS)
SETS = pd.DataFrame({"features": ["nine", "no ports", "destination port only"], "macro_f1": [0.85, 0.7, 0.4]})
PSI = pd.DataFrame({"feature": NETFLOW_FEATURES, "psi": np.linspace(3.2, 0, 9)})
IMPORTANCE = pd.DataFrame({"feature": NETFLOW_FEATURES, "importance": np.linspace(0.4, -0.01, 9), "deviation": 0.01})
ATTRIBUTION = pd.DataFrame(
    {"feature": NETFLOW_FEATURES, "value": 53.0, "baseline": 1.2e6, "attribution": np.linspace(0.5, -0.3, 9)}
)
MAKERS = {
    "reliability": lambda **k: show.reliability(TABLES, **k),
    "cross_matrix": lambda **k: show.cross_matrix(CROSS, **k),
    "cross_arms": lambda **k: show.cross_arms(CROSS, **k),
    "baselines": lambda **k: show.score_against_cost(SUMMARY, **k),
    "feature_set_bars": lambda **k: show.feature_set_bars(SETS, **k),
    "psi_bars": lambda **k: show.psi_bars(PSI, **k),
    "importance_bars": lambda **k: show.importance_bars(IMPORTANCE, **k),
    "attribution_bars": lambda **k: show.attribution_bars(ATTRIBUTION, **k),
}


def visible(figure):
    return [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]


def texts(axes) -> list[str]:
    return [text.get_text().strip() for text in axes.texts]


def test_a_title_says_what_its_figure_found():
    found = {name: MAKERS[name]().get_suptitle().partition(": ")[2] for name in MAKERS}
    assert found["baselines"].startswith("CNN has the highest macro-F1")
    assert found["feature_set_bars"] == "highest macro-F1 with nine"
    assert found["psi_bars"] == "large shift in 8 of 9 features"  # of 3.2, 2.8, ... 0.4, 0
    assert found["importance_bars"] == f"shuffling {NETFLOW_FEATURES[0]} loses most macro-F1"
    assert found["attribution_bars"] == f"{NETFLOW_FEATURES[0]} changes it most"
    bins = pd.DataFrame({"confidence": [0.9, 0.5, 0.1], "accuracy": [0.8, 0.7, 0.1], "count": [30, 10, 0]})
    assert show.reliability({"A": bins}, "T").get_suptitle() == "T: A overconfident by 2.5 points"


@pytest.mark.parametrize("name", MAKERS)
def test_axes_are_labelled_and_the_mark_is_in_the_title(name, capsys):
    figure = MAKERS[name](mark="simulated")
    FigureCanvasAgg(figure).draw()
    assert figure.get_suptitle().endswith("[simulated]")
    assert "simulated" in [text.get_text() for text in figure.texts]  # the watermark
    assert all(axes.get_ylabel() for axes in visible(figure)) and visible(figure)[-1].get_xlabel()
    assert capsys.readouterr() == ("", "") and not plt.get_fignums()


def test_the_reliability_plot_draws_the_bins_that_have_rows():
    upper, lower = visible(show.reliability(TABLES))
    shown = TABLES["CNN"][TABLES["CNN"]["count"] > 0]
    assert 0 < len(shown) < len(TABLES["CNN"])
    (curve,) = [line for line in upper.lines if line.get_label() == "CNN"]
    assert np.array_equal(curve.get_xydata(), shown[["confidence", "accuracy"]])
    assert np.array_equal(lower.lines[0].get_ydata(), shown["count"])


def test_the_heat_map_has_the_source_in_the_row_and_nothing_where_there_is_no_pair():
    frame = CROSS.assign(balanced_accuracy=[0.01 * row for row in range(len(CROSS))])
    axes = visible(show.cross_matrix(frame, ARMS[1]))[0]
    values = np.ma.filled(axes.collections[0].get_array().astype(float), np.nan).reshape(4, 4)
    for i, source in enumerate(NAMES):
        for j, target in enumerate(NAMES):
            row = frame[(frame["source"] == source) & (frame["target"] == target) & (frame["arm"] == ARMS[1])]
            expected = 100 * row["balanced_accuracy"].iloc[0] if len(row) else np.nan
            assert values[i, j] == pytest.approx(expected, nan_ok=True)
    assert np.isnan(values[0, 3]) and np.isnan(values).sum() == 1
    assert [label.get_text() for label in axes.get_yticklabels()] == list(NAMES)
    assert MAKERS["cross_matrix"]().get_suptitle().endswith("[v2 subset]")


def test_every_pair_and_arm_is_a_sign_at_its_score():
    figure = show.cross_arms(CROSS)
    axes = visible(figure)[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert len(labels) == 11 and f"{NAMES[0]} → {NAMES[1]}" in labels
    signs = {points.get_label(): points.get_offsets() for points in axes.collections}
    assert list(signs) == list(ARMS)
    for row in CROSS[CROSS["source"] != CROSS["target"]].itertuples():
        height = labels.index(f"{row.source} → {row.target}")
        (found,) = [x for x, y in signs[row.arm] if y == height]
        assert found == pytest.approx(100 * row.balanced_accuracy)


@pytest.mark.parametrize("cost", show.COST_NAMES)
def test_a_model_stands_at_its_mean_score_and_cost_with_one_deviation(cost):
    axes = visible(show.score_against_cost(SUMMARY, cost))[0]
    assert axes.get_xscale() == "log"
    for container in axes.containers:
        runs = RUNS[RUNS["model"] == container.get_label()]
        line, _, (across, along) = container
        assert line.get_xydata()[0] == pytest.approx([runs[cost].mean(), 100 * runs["macro_f1"].mean()])
        (segment,) = along.get_segments()
        assert np.ptp(segment[:, 1]) == pytest.approx(200 * runs["macro_f1"].std())
        assert np.ptp(across.get_segments()[0][:, 0]) == pytest.approx(2 * runs[cost].std(), abs=1e-9)
    assert len(axes.containers) == 8


def test_feature_sets_stand_in_their_order():
    axes = visible(show.feature_set_bars(SETS))[0]
    assert texts(axes) == ["85.0", "70.0", "40.0"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["nine", "no ports", "destination port only"]


def test_the_bars_have_the_numbers_of_their_tables():
    assert texts(visible(show.psi_bars(PSI))[0])[:2] == ["3.20", "2.80"]
    assert texts(visible(show.importance_bars(IMPORTANCE))[0])[0] == "40.0"
    axes = visible(show.attribution_bars(ATTRIBUTION))[0]
    assert texts(axes)[0] == "+0.500" and texts(axes)[-1] == "-0.300"
    assert [bool(bar.get_hatch()) for bar in axes.patches] == [value < 0 for value in ATTRIBUTION["attribution"]]
    assert "53 (baseline 1.2e+06)" in axes.get_yticklabels()[0].get_text()


def of_three_seeds(score: float, cost: float) -> dict:
    return {"macro_f1": [score - 0.01, score, score + 0.01], "fit_seconds": cost, "predict_seconds": cost / 2,
            "bytes": 2500, "seed": [1, 2, 3]}  # fmt: skip


FEW = seeds.summary(
    pd.concat(
        [pd.DataFrame({"model": name, **of_three_seeds(score, 1.0)}) for name, score in (("CNN", 0.92), ("tree", 0.6))]
    )
)


def test_the_table_of_the_seeds_has_mean_and_deviation_of_each_model():
    frame = show.spread(FEW, mark="v2").set_index("model")
    assert frame.index.tolist() == ["CNN", "tree"] and frame.columns.name == "v2"
    assert frame.loc["CNN", "macro_f1"] == "0.9200 ± 0.0100" and frame.loc["CNN", "seeds"] == 3


def test_the_table_of_costs_is_in_seconds_and_thousands_of_bytes():
    frame = show.costs(FEW).set_index("model")
    assert frame.loc["CNN"].to_dict() == {"fit_seconds": 1.0, "predict_seconds": 0.5, "kB": 2.5}


def test_models_side_by_side_on_the_same_rows(tmp_path):
    prepared = hand_made(tmp_path, ("Benign", "scan"), mark="v2")
    truth = np.array([0, 0, 1, 1])
    given = {"right": np.eye(2)[truth], "benign": np.eye(2)[[0, 0, 0, 0]]}
    scores = show.side_by_side(given, truth, prepared)
    assert scores.columns.name == "v2" and scores["score"].tolist() == list(metrics.ALL_SCORES)
    assert scores.set_index("score").loc["accuracy"].tolist() == [1, 0.5]
    by_class = show.f1_by_class(given, truth, prepared)
    assert by_class.to_numpy().tolist() == [["Benign", 2, 1.0, pytest.approx(2 / 3)], ["scan", 2, 1.0, 0.0]]
    assert by_class.columns.tolist() == ["class", "support", "right", "benign"]


def test_a_markdown_table_has_the_mark_in_its_corner():
    frame = pd.DataFrame({"class": ["a", "b"], "rows": [1234, None], "share": [0.5, math.nan], "few": [True, False]})
    frame = frame.astype({"rows": "Int64"}).rename_axis(columns="simulated")
    assert show.markdown(Check(frame, "So it is.")).splitlines() == [
        "| simulated: class | rows | share | few |",
        "| --- | --- | --- | --- |",
        "| a | 1,234 | 0.5000 | yes |",
        "| b | - | - | no |",
        "",
        "So it is.",
    ]
