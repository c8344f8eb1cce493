"""The committed measurement of transfer: the page is made from it, and the tables are its numbers."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text
from sklearn.metrics import matthews_corrcoef

from tlids_helpers.common.errors import InputError
from tlids_helpers.results import transfer_tables as tables

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def results():
    return json.loads((REPOSITORY / tables.RESULTS).read_text())


def mean(results, protocol, frozen, target, share):
    """Straight from the file."""
    (cell,) = [
        cell for cell in results["cells"]
        if cell["task"] == "multiclass" and (cell["protocol"], cell["frozen"]) == (protocol, frozen)
        and target in cell["target"] and cell["share"] == share
    ]  # fmt: skip
    return np.mean(cell["macro_f1"])


@pytest.fixture
def page(monkeypatch):
    """The script of the page; its neighbours are imported by name, as when it is run."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "tests" / "bench"))
    return importlib.import_module("transfer_page")


@pytest.fixture
def finding(page):
    return page.finding


def test_the_page_is_made_from_the_results(results, page):
    assert page.page(results) == (REPOSITORY / "docs" / "transfer.md").read_text()


def test_the_page_has_the_counts_of_the_readme(page):
    found = page.docs_figures.figures(page.docs_figures.read())
    text = (REPOSITORY / "docs" / "transfer.md").read_text()
    for name, way in (("in", "frozen, target in the source"), ("out", "frozen, target not in the source")):
        assert f"| {way} | {found[f'transfer-wins-{name}']} of {found['transfer-pairs']} |" in text


def test_the_mcc_on_equal_sides_is_that_of_the_counts(page):
    counts = [[950, 50], [380, 620]]  # 1,000 benign flows, 1,000 attacks
    truth, said = zip(*(pair for i in (0, 1) for j in (0, 1) for pair in [(i, j)] * counts[i][j]), strict=True)
    assert page.even_mcc(0.62, 0.05) == pytest.approx(matthews_corrcoef(truth, said))


def test_pairs_won_are_counted_seed_by_seed(results, finding):
    cells = {(cell["protocol"], cell["frozen"], cell["target"]): cell["macro_f1"] for cell in results["cells"]
             if cell["task"] == "multiclass" and cell["share"] == 1.0}  # fmt: skip
    won = 0
    for target in results["targets"]:
        for ours, alone in zip(cells["paper", "none", target], cells["scratch", "none", target], strict=True):
            won += ours > alone
    assert finding.wins(results).loc["nothing frozen, target in the source", "100%"] == f"{won} of 20"


def test_each_text_of_the_narrow_figure_is_ten_pixels_high_or_more_on_a_phone_and_inside_the_figure(results):
    inches, phone = 4.0, 358  # of a window of 390 px, less the page's margins
    figure = tables.figure(results, width=inches)
    figure.canvas.draw()
    texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    assert len(texts) > 10 and min(text.get_fontsize() for text in texts) / 72 * phone / inches >= 10
    boxes = [text.get_window_extent() for text in figure.legends[0].get_texts()]
    assert all(0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)


def test_notebook_03_begins_with_the_finding_as_the_results_have_it(results, finding):
    cells = json.loads((REPOSITORY / "notebooks" / "03_transfer.ipynb").read_text())["cells"]
    assert finding.finding(results) in "".join(cells[0]["source"])


def test_every_combination_has_five_seeds_and_no_score_is_out_of_range(results):
    cells, targets, shares = results["cells"], 4, 4
    assert len(cells) == 2 * targets * shares * 5 and len(results["trees"]) == 2 * targets * shares * 4
    for entry in [*cells, *results["recipes"], *results["trees"]]:
        assert len(entry["macro_f1"]) == len(entry["accuracy"]) == 5
        assert all(0 <= score <= 1 for score in (*entry["macro_f1"], *entry["accuracy"]))


def test_the_words_of_the_finding_hold_in_the_numbers(results):
    scratch = {
        (target, share): mean(results, "scratch", "none", target, share)
        for target in ("ToN", "CSE", "BoT", "UNSW") for share in (0.01, 0.05, 0.1, 1.0)
    }  # fmt: skip
    for target in ("ToN", "CSE", "UNSW"):
        assert mean(results, "paper", "blocks", target, 0.01) > scratch[target, 0.01] + 0.05
    for share in (0.01, 0.05, 0.1, 1.0):
        assert mean(results, "leave_target_out", "blocks", "ToN", share) < scratch["ToN", share] - 0.03
    for entry in results["cells"]:
        alone = scratch.get((entry["target"].split("-")[1], entry["share"]))
        if entry["task"] == "multiclass" and entry["protocol"] == "leave_target_out" and entry["frozen"] == "none":
            spread = np.std(tables.arm(results, "from scratch", entry["target"], entry["share"])["macro_f1"], ddof=1)
            assert np.mean(entry["macro_f1"]) > alone - spread


def test_the_words_of_the_finding_on_all_rows_hold_in_the_numbers(results):
    gains = {
        (protocol, frozen, target): mean(results, protocol, frozen, target, 1.0)
        - mean(results, "scratch", "none", target, 1.0)
        for target in ("ToN", "CSE", "BoT", "UNSW") for protocol in ("paper", "leave_target_out")
        for frozen in ("blocks", "none")
    }  # fmt: skip
    assert max(gains, key=gains.get) == ("leave_target_out", "blocks", "BoT") and max(gains.values()) > 0.07
    assert all(gain < 0.04 for (_, _, target), gain in gains.items() if target != "BoT")
    for target in results["targets"]:
        forest = tables.arm(results, tables.FOREST, target, 1.0)["macro_f1"]
        for name in tables.ARMS:
            ours = tables.arm(results, name, target, 1.0)["macro_f1"]
            spread = max(np.std(ours, ddof=1), np.std(forest, ddof=1))
            assert np.mean(ours) < np.mean(forest)
            assert (np.mean(forest) - np.mean(ours) < spread) == ("CSE" in target)


def test_all_free_is_never_below_from_scratch_where_it_is_judged_and_in_three_of_four_cases_three_times_as_fast(
    results, finding
):
    early = 0
    for target in finding.JUDGED_ON:
        for share in finding.RECIPE_SHARES:
            assert finding.paired(results, finding.FREE, target, share).mean() >= 0
            ours, theirs = (
                tables.pick(results["recipes"], recipe=name, target=target, share=share)["updates_to_scratch"]
                for name in (finding.FREE, "scratch")
            )
            early += np.median([np.inf if each is None else each for each in ours]) <= np.median(theirs) / 3
    assert early == 3


def test_headroom_is_the_gain_over_what_all_rows_gain(results):
    scratch, all_rows = (mean(results, "scratch", "none", "UNSW", share) for share in (0.01, 1.0))
    gained = mean(results, "paper", "blocks", "UNSW", 0.01) - scratch
    shown = tables.headroom(results).loc[("UNSW-NB15", "1%"), "frozen, target in the source"]
    assert shown == f"{gained / (all_rows - scratch):.0%}"


def test_a_median_that_most_seeds_never_reach_is_never():
    assert tables.until([250, None, None, None, 500]) == "never (2 of 5)"
    assert tables.until([250, None, 750, 1500, 500]) == "750 (4 of 5)"
    assert tables.until([250, 500, 1500, 2000, 9000]) == "1,500"


def test_the_recipe_is_chosen_on_two_networks_and_never_one_that_starts_from_scratch(results, finding):
    chosen = finding.eligible(results)
    gains = [finding.paired(results, chosen.index[0], target, share) for target in finding.CHOSEN_ON
             for share in (0.01, 0.05)]  # fmt: skip
    assert chosen.iloc[0] == pytest.approx(np.mean(gains)) and not any(
        map(lambda name: "scratch" in name, chosen.index)
    )
    changed = json.loads(json.dumps(results))
    for entry in changed["recipes"]:
        if entry["target"] in finding.JUDGED_ON:
            entry["macro_f1"] = [0.0] * 5
    assert finding.eligible(changed).equals(chosen)  # what is judged on has no say


@pytest.mark.parametrize("content", [None, "", "[]", '{"cells": []}'])
def test_results_that_are_missing_or_something_else_are_one_sentence(content, tmp_path):
    file = tmp_path / "transfer.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(InputError, match="expected the transfer grid's results at .*transfer.json, found none"):
        tables.read(file)
