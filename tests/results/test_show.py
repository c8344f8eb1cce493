"""The tables and figures of runs: labelled axes, a visible mark, and numbers that are those put in."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from finished_runs import run
from matplotlib.backends.backend_agg import FigureCanvasAgg

from tlids_helpers.data.catalog import DATASETS
from tlids_helpers.results import comparison, paper, show

RNG = np.random.default_rng(0)
UQ = list(DATASETS["nf-uq-nids"].classes)
MATRIX = RNG.integers(0, 2_000_000, (21, 21)) * (RNG.random((21, 21)) < 0.4)
MATRIX[-1] = 0  # a class without a test row
PER_CLASS = {name: {"precision": 0.5, "recall": 0.25, "f1": 0.33, "support": 1234} for name in UQ}
RESULTS = [
    run(protocol=name, accuracy=0.8125, mark="simulated", seconds={"total": seconds, "per_epoch": 1.0})
    for name, seconds in (("paper", 8.0), ("scratch", 20.0))
]
BESIDE = comparison.beside(paper.proposed(5), RESULTS, show_simulated=True)
MAKERS = {
    "confusion": lambda **k: show.confusion(MATRIX, UQ, **k),
    "per_class_bars": lambda **k: show.per_class_bars(PER_CLASS, **k),
    "comparison_bars": lambda **k: show.comparison_bars(BESIDE, **k),
    "time_saved": lambda **k: show.time_saved(comparison.time_saved(RESULTS), **k),
}


def visible(figure):
    return [axes for axes in figure.axes if axes.get_visible() and axes.get_label() != "<colorbar>"]


def draw(figure) -> None:
    # pyplot has closed the figure, and its canvas draws nothing any more
    FigureCanvasAgg(figure).draw()


def texts(axes) -> list[str]:
    return [text.get_text().strip() for text in axes.texts]


@pytest.mark.parametrize("name", MAKERS)
def test_axes_are_labelled_and_the_mark_is_in_the_title(name, capsys):
    figure = MAKERS[name](mark="simulated")
    draw(figure)
    assert figure.get_suptitle().endswith("[simulated]")
    assert "simulated" in [text.get_text() for text in figure.texts]  # the watermark
    assert all(axes.get_xlabel() and axes.get_ylabel() for axes in visible(figure))
    assert capsys.readouterr() == ("", "")
    assert not plt.get_fignums()  # nothing left open for pyplot to draw again


@pytest.mark.parametrize("name", ["confusion", "per_class_bars"])
def test_a_mark_without_simulated_rows_has_no_watermark_and_no_mark_no_brackets(name):
    figure = MAKERS[name](mark="v2 subset")
    assert figure.get_suptitle().endswith("[v2 subset]")
    assert "simulated" not in [text.get_text() for text in figure.texts]
    assert "[" not in MAKERS[name]().get_suptitle()


def test_a_title_counts_the_right_flows_and_names_the_most_frequent_mistake_and_the_lowest_f1():
    title = show.confusion([[5, 0, 1], [0, 3, 2], [0, 0, 4]], ["Benign", "Scan", "Flood"], "T").get_suptitle()
    assert title == "T: 12 of 15 flows right; most frequent mistake: Scan as Flood (2)"
    assert show.confusion([[5, 0], [1, 3]], ["Benign", "Scan"], "T").get_suptitle() == "T: 8 of 9 flows right"
    scores = {"Scan": {"precision": 1, "recall": 0.5, "f1": 0.67, "support": 4},
              "Flood": {"precision": 0, "recall": 0, "f1": 0, "support": 0}}  # fmt: skip
    assert show.per_class_bars(scores, "T").get_suptitle() == "T: lowest F1 is 0.67, of Scan"  # Flood was not tested


@pytest.mark.parametrize("matrix, classes", [(MATRIX, UQ), ([[5, 0], [1, 3]], ["Benign", "Attack"])])
def test_the_counts_in_the_confusion_matrix_are_the_matrix(matrix, classes):
    axes = visible(show.confusion(matrix, classes))[0]
    shown = [int(text.replace(",", "")) for text in texts(axes)]
    assert np.array_equal(np.reshape(shown, np.shape(matrix)), matrix)
    positions = [text.get_position() for text in axes.texts]
    assert positions == [(j + 0.5, i + 0.5) for i in range(len(classes)) for j in range(len(classes))]
    assert [label.get_text() for label in axes.get_xticklabels()] == list(classes)
    supports = [f"{name} ({sum(row):,})" for name, row in zip(classes, matrix, strict=True)]
    assert [label.get_text() for label in axes.get_yticklabels()] == supports


def test_the_colour_of_the_confusion_matrix_is_the_share_of_the_row():
    axes = visible(show.confusion([[5, 0], [1, 3]], ["Benign", "Attack"]))[0]
    assert np.allclose(np.ravel(axes.collections[0].get_array()), [1, 0, 0.25, 0.75])


def test_no_two_numbers_of_a_21_class_confusion_matrix_touch():
    figure = show.confusion(np.full((21, 21), 1_841_610), UQ)
    draw(figure)
    boxes = [text.get_window_extent() for text in visible(figure)[0].texts]
    assert all(left.x1 < right.x0 for left, right in zip(boxes[:20], boxes[1:21], strict=True))
    assert boxes[0].y0 > boxes[21].y1


def test_per_class_bars_have_their_heights_and_supports():
    axes = visible(show.per_class_bars(PER_CLASS))[0]
    assert [bar.get_width() for bar in axes.patches] == [0.5] * 21 + [0.25] * 21 + [0.33] * 21
    assert axes.get_yticklabels()[0].get_text() == "Benign (1,234)"


def test_comparison_bars_have_each_marked_number_and_a_dash_where_there_is_none():
    figure = show.comparison_bars(BESIDE)
    axes = visible(figure)[0]
    assert texts(axes) == ["70.54 %", "83.67 %", "97.21 %", "97.53 %", "93.74 %", "81.25 %", "–", "–", "–", "–"]
    assert "[simulated]" in axes.get_yticklabels()[0].get_text()
    assert figure.get_suptitle().endswith("[simulated]")


def test_comparison_bars_show_no_simulated_number_unless_asked_for():
    figure = show.comparison_bars(comparison.beside(paper.proposed(5), RESULTS))
    assert texts(visible(figure)[0])[5:] == ["–"] * 5
    assert not [text for text in figure.texts if "simulated" in text.get_text()]


def test_time_saved_writes_the_ratio_and_both_times():
    figure = show.time_saved(comparison.time_saved(RESULTS))
    assert texts(visible(figure)[0]) == ["20.0 s", "8.0 s", "2.50 ×"]
    assert figure.get_suptitle().endswith("[simulated]")


def test_empty_results_still_draw():
    draw(show.time_saved(comparison.time_saved([])))
    draw(show.comparison_bars(comparison.beside(paper.table(6), [])))
    assert show.overview([]).empty and "rows are" in show.overview([])


def test_the_overview_has_a_line_for_each_run_with_what_its_rows_are():
    results = [run(seed=1), run(seed=2, mark="subset"), run(seed=3, source_mark="simulated")]
    frame = show.overview(results)
    assert frame["rows are"].tolist() == ["published", "subset", "source simulated"]
    assert frame["accuracy"].tolist() == ["0.7000"] * 3 and frame["macro_f1"].tolist() == ["0.5500"] * 3
    assert frame["run"].tolist() == [one["run"] for one in results]


def test_tables_of_several_runs_have_a_column_each_and_all_their_marks_in_the_corner():
    frame = show.scores({"one": RESULTS[0], "other": run(mark="own")})
    assert list(frame) == ["one", "other"] and frame.columns.name == "simulated; own"
    assert frame.loc["accuracy"].tolist() == ["0.8125", "0.7000"]
    times = show.times({"scratch": RESULTS[1], "transfer": RESULTS[0]})
    assert times.loc["ratio"].tolist() == [1.0, 2.5] and times.columns.name == "simulated"


def test_the_table_of_classes_has_their_test_rows():
    frame = show.per_class(run(mark="own"))
    assert frame.columns.name == "own" and frame["support"].tolist() == [10, 10]
    assert frame.loc[0, ["class", "precision", "recall", "f1"]].tolist() == ["Benign", "0.5000", "0.2500", "0.3000"]
