"""The figures: labelled axes, a visible mark, and numbers that are those put in."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from tlids_helpers import plots
from tlids_helpers.data.catalog import CICFLOW_FEATURES, DATASETS, NETFLOW_FEATURES
from tlids_helpers.results import comparison, paper

RNG = np.random.default_rng(0)
UQ = list(DATASETS["nf-uq-nids"].classes)
MATRIX = RNG.integers(0, 2_000_000, (21, 21)) * (RNG.random((21, 21)) < 0.4)
MATRIX[-1] = 0  # a class without a test row
FLOWS = pd.DataFrame({name: RNG.integers(-1, 60_000, 300) for name in NETFLOW_FEATURES})
FLOWS["Attack"] = RNG.choice(UQ, 300)
IMPORTANCE = {"Tot_Fwd_Pkts": 0.5} | dict.fromkeys(CICFLOW_FEATURES, 0.05)
HISTORY = {"loss": [1.0, 0.5, 0.3, 0.2], "val_loss": [1.1, 0.6, 0.4, 0.5],
           "accuracy": [0.5, 0.7, 0.8, 0.9], "val_accuracy": [0.4, 0.6, 0.8, 0.7]}  # fmt: skip
SWEEP = pd.DataFrame({"parameter": ["learning_rate"] * 3 + ["batch_size"] * 2, "value": [0.01, 0.001, 0.0001, 64, 128],
                      "accuracy": [0.9, 0.8, 0.6, 0.85, 0.9]})  # fmt: skip
PER_CLASS = {name: {"precision": 0.5, "recall": 0.25, "f1": 0.33, "support": 1234} for name in UQ}


def result(protocol, seconds, mark="simulated"):
    return {"notebook": "03_transfer", "run": "a run", "dataset": "nf-ton-iot",
            "paper_slug": "nf-ton-iot", "version": 1,
            "task": "multiclass", "split": "paper", "protocol": protocol, "source": "", "source_mark": "", "seed": 1,
            "mark": mark, "rows": {"test": 1}, "scores": dict.fromkeys(paper.METRICS, 0.8125), "epochs": 3,
            "seconds": {"total": seconds, "per_epoch": 1.0}, "parameters": {}}  # fmt: skip


RESULTS = [result("paper", 8.0), result("scratch", 20.0)]
BESIDE = comparison.beside(paper.table(5), RESULTS)
MAKERS = {
    "class_counts": lambda **k: plots.class_counts({"Benign": 9, "DoS": 200, "Theft": None}, **k),
    "split_sizes": lambda **k: plots.split_sizes({"train": 80, "test": 20}, {"train": 800, "test": 200}, **k),
    "feature_importance": lambda **k: plots.feature_importance(IMPORTANCE, CICFLOW_FEATURES, **k),
    "feature_distributions": lambda **k: plots.feature_distributions(FLOWS, NETFLOW_FEATURES, **k),
    "confusion": lambda **k: plots.confusion(MATRIX, UQ, **k),
    "per_class_bars": lambda **k: plots.per_class_bars(PER_CLASS, **k),
    "training_curves": lambda **k: plots.training_curves(HISTORY, **k),
    "sweep": lambda **k: plots.sweep(SWEEP, **k),
    "comparison_bars": lambda **k: plots.comparison_bars(BESIDE, **k),
    "time_saved": lambda **k: plots.time_saved(comparison.time_saved(RESULTS), **k),
}  # fmt: skip


def visible(figure):
    return [axes for axes in figure.axes if axes.get_visible() and axes.get_label() != "<colorbar>"]


def draw(figure) -> None:
    # pyplot has closed the figure, and its canvas draws nothing any more
    FigureCanvasAgg(figure).draw()


def texts(axes) -> list[str]:
    return [text.get_text().strip() for text in axes.texts]


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.filterwarnings("error")
def test_axes_are_labelled_and_the_mark_is_in_the_title(name, capsys):
    figure = MAKERS[name](mark="simulated")
    draw(figure)
    assert figure.get_suptitle().endswith("[simulated]")
    assert "simulated" in [text.get_text() for text in figure.texts]  # the watermark
    assert all(axes.get_xlabel() for axes in visible(figure))
    rows = {round(axes.get_position().y0, 3) for axes in visible(figure)}
    labelled = {round(axes.get_position().y0, 3) for axes in visible(figure) if axes.get_ylabel()}
    assert labelled == rows  # axes that share the one to their left may leave the label to it
    assert capsys.readouterr() == ("", "")
    assert not plt.get_fignums()  # nothing left open for pyplot to draw again


@pytest.mark.parametrize("name", sorted(set(MAKERS) - {"comparison_bars", "time_saved"}))
def test_a_mark_without_simulated_rows_has_no_watermark_and_no_mark_no_brackets(name):
    figure = MAKERS[name](mark="v2 subset")
    assert figure.get_suptitle().endswith("[v2 subset]")
    assert "simulated" not in [text.get_text() for text in figure.texts]
    assert "[" not in MAKERS[name]().get_suptitle()


@pytest.mark.parametrize("matrix, classes", [(MATRIX, UQ), ([[5, 0], [1, 3]], ["Benign", "Attack"])])
def test_the_counts_in_the_confusion_matrix_are_the_matrix(matrix, classes):
    axes = visible(plots.confusion(matrix, classes))[0]
    shown = [int(text.replace(",", "")) for text in texts(axes)]
    assert np.array_equal(np.reshape(shown, np.shape(matrix)), matrix)
    places = [text.get_position() for text in axes.texts]
    assert places == [(j + 0.5, i + 0.5) for i in range(len(classes)) for j in range(len(classes))]
    assert [label.get_text() for label in axes.get_xticklabels()] == list(classes)
    supports = [f"{name} ({sum(row):,})" for name, row in zip(classes, matrix, strict=True)]
    assert [label.get_text() for label in axes.get_yticklabels()] == supports


def test_the_colour_of_the_confusion_matrix_is_the_share_of_the_row():
    axes = visible(plots.confusion([[5, 0], [1, 3]], ["Benign", "Attack"]))[0]
    assert np.allclose(np.ravel(axes.collections[0].get_array()), [1, 0, 0.25, 0.75])


def test_no_two_numbers_of_a_21_class_confusion_matrix_touch():
    figure = plots.confusion(np.full((21, 21), 1_841_610), UQ)
    draw(figure)
    boxes = [text.get_window_extent() for text in visible(figure)[0].texts]
    assert all(left.x1 < right.x0 for left, right in zip(boxes[:20], boxes[1:21], strict=True))
    assert boxes[0].y0 > boxes[21].y1


def test_class_counts_tell_what_nobody_has_published():
    axes = visible(MAKERS["class_counts"]())[0]
    assert texts(axes) == ["200", "9", "not published"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["DoS", "Benign", "Theft"]
    assert axes.get_xscale() == "log"


def test_per_class_bars_have_their_heights_and_supports():
    axes = visible(plots.per_class_bars(PER_CLASS))[0]
    assert [bar.get_width() for bar in axes.patches] == [0.5] * 21 + [0.25] * 21 + [0.33] * 21
    assert axes.get_yticklabels()[0].get_text() == "Benign (1,234)"


def test_the_best_epoch_is_that_of_the_lowest_validation_loss():
    assert plots.best_epoch(HISTORY) == 3
    assert plots.best_epoch({"loss": [0.3, 0.2, 0.1]}) == 3
    for axes in visible(plots.training_curves(HISTORY)):
        (line,) = [line for line in axes.lines if line.get_label() == "best epoch: 3"]
        assert list(line.get_xdata()) == [3, 3]
        assert {"training", "validation"} < {text.get_text() for text in axes.get_legend().get_texts()}


def test_feature_distributions_are_of_log1p_with_sentinels_at_zero_and_without_inf():
    frame = pd.DataFrame({"IN_BYTES": [-1.0, -1.0, 0.0, np.inf, np.nan, 9.0], "Attack": ["a"] * 6})
    axes = visible(plots.feature_distributions(frame, ["IN_BYTES"]))[0]
    (median,) = [line for line in axes.lines if line.get_linewidth() == 1.6]
    assert list(median.get_xdata()) == [0, 0]  # of 0, 0, 0 and log(10)
    whiskers = np.concatenate([line.get_xdata() for line in axes.lines])
    assert whiskers.max() <= np.log(10)


def test_the_papers_nine_are_shown_however_low_they_rank():
    importance = {f"other_{place}": 0.1 for place in range(5)} | dict.fromkeys(CICFLOW_FEATURES, 0.01)
    axes = visible(plots.feature_importance(importance, CICFLOW_FEATURES, top=3))[0]
    shown = [label.get_text().split()[0] for label in axes.get_yticklabels()]
    assert shown == ["other_0", "other_1", "other_2", *CICFLOW_FEATURES]
    assert [bool(bar.get_hatch()) for bar in axes.patches[:12]] == [False] * 3 + [True] * 9


def test_comparison_bars_have_each_marked_number_and_a_dash_where_there_is_none():
    figure = plots.comparison_bars(BESIDE)
    axes = visible(figure)[0]
    assert texts(axes) == ["70.54 %", "83.67 %", "97.21 %", "97.53 %", "93.74 %", "81.25 %", "-", "-", "-", "-"]
    assert "[simulated]" in axes.get_yticklabels()[0].get_text()
    assert figure.get_suptitle().endswith("[simulated]")


def test_time_saved_writes_the_ratio_and_both_times():
    figure = plots.time_saved(comparison.time_saved(RESULTS))
    assert texts(visible(figure)[0]) == ["20.0 s", "8.0 s", "2.50 ×"]
    assert figure.get_suptitle().endswith("[simulated]")


def test_the_sweep_stars_the_papers_choice():
    axes = visible(plots.sweep(SWEEP))[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.0001", "0.001", "0.01"]
    star = axes.collections[1].get_offsets()
    assert np.allclose(star, [[2, 0.9]])


def test_empty_results_still_draw():
    draw(plots.time_saved(comparison.time_saved([])))
    draw(plots.comparison_bars(comparison.beside(paper.table(6), [])))
