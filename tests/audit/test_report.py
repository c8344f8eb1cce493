"""The audit's report: what is shown, what is said when a check cannot be made, and a comparison by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from hand_made import hand_made

from tlids_helpers.audit import baselines, report, spread
from tlids_helpers.common.errors import InputError


def refused():
    raise InputError("expected a benign class, found none: name it 'Benign'")


def runs(scores: dict[str, list[float]]) -> pd.DataFrame:
    """Runs of each model on the seeds 1, 2, ..., 400 rows to train on and 100 to test on."""
    costs = {"fit_seconds": 1.0, "predict_seconds": 0.5, "bytes": 2500}
    records = [
        {"model": name, "seed": seed, "macro_f1": value, "accuracy": 1 - value, "mcc": math.nan, "train_rows": 400,
         "test_rows": 100, **costs}
        for name, values in scores.items()
        for seed, value in enumerate(values, 1)
    ]  # fmt: skip
    return pd.DataFrame(records)


THREE = runs({"CNN": [0.91, 0.92, 0.93], "extra trees": [0.92, 0.95, 0.92], "decision tree": [0.5, 0.6, 0.7]})


def test_a_check_is_its_table_and_its_sentence():
    frame = pd.DataFrame({"class": ["a"], "rows": [3]})
    made = report.check(lambda: frame, lambda table: f"{table['rows'].sum()} rows.")
    assert made.table is frame and made.sentence == "3 rows."
    assert str(frame) in repr(made) and repr(made).endswith("3 rows.")
    assert made._repr_html_().endswith("<p>3 rows.</p>") and "<table" in made._repr_html_()


@pytest.mark.parametrize(
    ("corner", "marks", "said"),
    [
        ("simulated", None, "3 rows. [simulated]"),
        ("v2 subset", None, "3 rows."),
        (None, ["source simulated", "source simulated"], "3 rows. [source simulated]"),
        (None, ["", "source simulated"], "3 rows. [partly simulated]"),
        (None, ["simulated", "source simulated"], "3 rows. [simulated]"),
        (None, ["", "v2"], "3 rows."),
    ],
)
def test_a_sentence_on_simulated_rows_ends_with_the_mark(corner, marks, said):
    frame = pd.DataFrame({"rows": [1, 2]} | ({"mark": marks} if marks else {})).rename_axis(columns=corner)
    assert report.check(lambda: frame, lambda table: f"{table['rows'].sum()} rows.").sentence == said


def test_a_class_named_like_a_tag_is_shown_and_does_nothing():
    assert report.Check(None, "<script>x</script> has 3 rows.")._repr_html_() == (
        "<p>&lt;script&gt;x&lt;/script&gt; has 3 rows.</p>"
    )


def test_columns_are_what_is_shown_and_the_sentence_is_of_the_whole_table():
    frame = pd.DataFrame({"class": ["a"], "rows": [3]})
    made = report.check(lambda: frame, lambda table: f"{table['rows'].sum()} rows.", ["class"])
    assert made.table.columns.tolist() == ["class"] and made.sentence == "3 rows."


def test_a_check_that_the_rows_do_not_allow_says_why_and_reads_as_no_result():
    made = report.check(refused, str)
    assert made.table is None
    assert repr(made) == "Not checked: expected a benign class, found none: name it 'Benign'."
    assert "<table" not in made._repr_html_() and report.markdown(made) == made.sentence


def test_a_mistake_in_the_code_is_not_taken_for_a_check_that_cannot_be_made():
    with pytest.raises(ZeroDivisionError):
        report.check(lambda: 1 / 0, str)


def test_the_table_of_the_spread_says_mean_and_deviation_of_each_model():
    frame = report.spread_table(spread.summary(THREE), mark="v2").set_index("model")
    assert frame.index.tolist() == ["CNN", "extra trees", "decision tree"]
    assert frame.loc["CNN", "macro_f1"] == "0.9200 ± 0.0100" and frame.loc["CNN", "seeds"] == 3
    assert frame.columns.name == "v2"


def test_the_table_of_costs_is_in_seconds_and_thousands_of_bytes():
    frame = report.cost_table(spread.summary(THREE)).set_index("model")
    assert frame.loc["CNN"].to_dict() == {"fit_seconds": 1.0, "predict_seconds": 0.5, "kB": 2.5}


def test_the_best_baseline_is_chosen_score_by_score_and_the_distance_is_in_points():
    frame = report.against_best(THREE, "CNN", ("accuracy", "macro_f1", "mcc")).set_index("score")
    assert frame.index.tolist() == ["accuracy", "macro_f1"]  # mcc is no number
    assert frame["best baseline"].tolist() == ["decision tree", "extra trees"]
    # -1, -3 and +1 points: the mean is -1
    assert frame.loc["macro_f1", "points"] == pytest.approx(-1) and frame.loc["macro_f1", "wins"] == 1
    assert frame.loc["macro_f1", "CNN"] == pytest.approx(0.92)
    assert frame.loc["macro_f1", "its mean"] == pytest.approx(0.93)
    assert frame.loc["accuracy", "points"] == pytest.approx(-32)


def test_the_sentence_counts_the_scores_and_names_the_worst():
    said = report.against_best_sentence(report.against_best(THREE, "CNN", ("accuracy", "macro_f1")))
    assert "ahead of the best baseline in 0 of 2 scores and behind it in 2" in said
    assert "most of all in accuracy (decision tree by 32.00 points)" in said
    assert "Fewer than 5 seeds are no result." in said


def test_a_model_that_leads_everywhere_is_said_to():
    led = runs({"CNN": [0.9] * 5, "extra trees": [0.8] * 5})
    said = report.against_best_sentence(report.against_best(led, "CNN", ("macro_f1",)))
    assert said == "Over 5 seeds CNN is ahead of the best baseline in 1 of 1 scores and behind it in 0."


@pytest.fixture
def prepared(tmp_path):
    rows = [(value, "Benign") for value in (1, 2, 3, 4)] + [(value, "scan") for value in (11, 12, 13, 14)]
    rows += [(value, "flood") for value in (21, 22)]
    return hand_made(tmp_path, ("Benign", "flood", "scan"), train=rows, validation=rows, test=rows)


def test_alarms_by_hand(prepared):
    """A model that alarms on the benign 4 and misses the scan 11: 5 of 6 attacks, 1 of 4 benign rows."""

    def predict(features):
        attack = (features[:, 0] > 3) & (features[:, 0] != 11)
        return np.stack([1.0 - attack, np.zeros(len(features)), attack], axis=1)

    frame = report.alarms([baselines.Fitted("rule", predict, 0.0, 0)], prepared, "multiclass", 10.0)
    named = frame.set_index("rule").loc["argmax"]
    assert (named["found"], named["attacks"], named["false_alarms"], named["benign"]) == (5, 6, 1, 4)
    assert named["per_day"] == pytest.approx(10 * 86_400 / 4)
    assert report.alarms_sentence(frame, 10.0) == (
        "At 10 benign flows a second, by the class that is named: rule finds 5 of 6 attack flows and alarms on 1 of 4 "
        "benign ones, 216,000 a day."
    )


def test_without_a_benign_class_there_are_no_alarms_to_count(tmp_path):
    rows = [(1, "flood"), (2, "scan")]
    other = hand_made(tmp_path, ("flood", "scan"), train=rows, validation=rows, test=rows, benign="Benign")
    with pytest.raises(InputError, match="expected a benign class in Own"):
        report.alarms([], other, "multiclass", 10.0)


def test_the_flow_to_explain_is_the_first_of_the_rarest_attack_or_of_the_class_asked_for(prepared):
    truth = np.array([0, 2, 2, 1, 1, 2])
    assert report.flow_to_explain(prepared, truth, "", "multiclass") == (3, 1)
    assert report.flow_to_explain(prepared, truth, "scan", "multiclass") == (1, 2)
    with pytest.raises(InputError, match="expected the class of a flow among Benign, flood, scan, found 'worm'"):
        report.flow_to_explain(prepared, truth, "worm", "multiclass")
    with pytest.raises(InputError, match="expected a test row of 'scan'"):
        report.flow_to_explain(prepared, np.array([0, 1]), "scan", "multiclass")
    with pytest.raises(InputError, match="expected attacks in the test split of Own, found none"):
        report.flow_to_explain(prepared, np.array([0, 0]), "", "multiclass")


def test_rows_without_a_destination_port_have_no_table_of_ports(prepared, tmp_path):
    assert report.possible(prepared) == baselines.BASELINES
    blind = hand_made(tmp_path / "blind", ("Benign", "scan"), features=("PROTOCOL",))
    assert "destination port" not in report.possible(blind) and len(report.possible(blind)) == 6


def test_a_markdown_table_has_the_mark_in_its_corner():
    frame = pd.DataFrame({"class": ["a", "b"], "rows": [1234, None], "share": [0.5, math.nan], "few": [True, False]})
    frame = frame.astype({"rows": "Int64"}).rename_axis(columns="simulated")
    assert report.markdown(report.Check(frame, "So it is.")).splitlines() == [
        "| simulated: class | rows | share | few |",
        "| --- | --- | --- | --- |",
        "| a | 1,234 | 0.5000 | yes |",
        "| b | - | - | no |",
        "",
        "So it is.",
    ]
