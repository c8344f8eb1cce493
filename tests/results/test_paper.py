"""The published tables against the paper's own text, parsed here a second time."""

import os
import re
from pathlib import Path

import numpy as np
import pytest

from tlids_helpers.common.errors import InputError
from tlids_helpers.data.catalog import DATASETS
from tlids_helpers.results import paper

ROOT = Path(__file__).resolve().parents[2]
TEXT = ROOT / os.environ.get("TLIDS_SHARED", "../shared") / "paper" / "paper.txt"
METRICS = {"Accuracy": "accuracy", "Precision": "precision", "Recall": "recall", "F1-score": "f1"}


def letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


SLUGS = {letters(dataset.title): slug for slug, dataset in DATASETS.items()} | {
    "unswnb15": "nf-unsw-nb15",
    "csecicids2018": "nf-cse-cic-ids2018",
}


@pytest.fixture(scope="module")
def printed() -> dict[int, list[list[str]]]:
    """Table number -> its lines as lists of tab-separated cells."""
    if not TEXT.exists():
        pytest.skip(f"the paper's text is not at {TEXT}: set TLIDS_SHARED to the folder that holds paper/paper.txt")
    found, number = {}, 0
    for line in TEXT.read_text().splitlines():
        if start := re.match(r"Table (\d) ", line):
            number = int(start[1])
        elif "\t" in line:
            found.setdefault(number, []).append([cell.strip() for cell in line.split("\t")])
    return found


def reference(cell: str) -> str:
    """What tells a model apart: its bracketed reference, or the word Proposed."""
    return re.search(r"\[\d+\]|Proposed", cell)[0]


def cells_of(frame) -> set[tuple]:
    return {(reference(row.model), row.dataset, row.metric, row.printed) for row in frame.itertuples()}


@pytest.mark.parametrize("number", [4, 5, 6])
def test_every_cell_of_tables_4_to_6_is_the_papers(printed, number):
    _, names, *rows = printed[number]
    slugs = [SLUGS[letters(name)] for name in names if name]
    model, expected = "", set()
    for row in rows:
        model = row[0] or model
        cells = zip(slugs, row[2:], strict=True)
        expected |= {(reference(model), slug, METRICS[row[1]], cell) for slug, cell in cells}
    assert cells_of(paper.table(number)) == expected
    assert len(paper.table(number)) == len(expected) == 8 * len(slugs)


@pytest.mark.parametrize("number", [7, 8])
def test_every_cell_of_tables_7_and_8_is_the_papers(printed, number):
    expected = set()
    for row in printed[number][1:]:
        slug = SLUGS[letters(row[1])]
        expected.add((row[0], slug, "accuracy", row[2]))
        if row[3:] and row[3]:
            expected.add(("Proposed", slug, "accuracy", row[3]))
    assert cells_of(paper.table(number)) == expected
    assert len(paper.table(number)) == len(expected)


def test_every_cell_of_table_9_is_the_papers(printed):
    header, *rows = printed[9]
    expected = {
        (row[0], METRICS[name], cell.replace("–", "-"))
        for row in rows
        for name, cell in zip(header[2:], row[2:], strict=True)
    }
    ours = paper.table(9)
    assert {(model, metric, cell) for model, _, metric, cell in cells_of(ours)} == expected
    assert len(ours) == len(expected) == 32
    kinds = {row[0]: row[1] for row in rows}
    assert all(model.endswith(kinds[reference(model)]) for model in ours["model"] if model != "Proposed")


@pytest.mark.parametrize("number, family", [(1, "netflow"), (3, "cicflow")])
def test_the_catalogs_sizes_are_those_of_tables_1_and_3_and_add_up(printed, number, family):
    expected = {SLUGS[letters(row[0])]: [int(cell) for cell in row[1:5]] for row in printed[number][1:]}
    found = [DATASETS[slug] for slug in SLUGS.values() if DATASETS[slug].family == family and DATASETS[slug].paper_test]
    assert {one.slug: [one.total, one.paper_train, one.paper_test, len(one.classes)] for one in found} == expected
    assert all(one.paper_train + one.paper_test == one.total for one in found)


def test_models_have_the_authors_of_the_papers_reference_list(printed):
    text = TEXT.read_text().split("\nReferences\n")[1]
    for model in paper.tables()["model"].unique():
        if model != "Proposed":
            number = reference(model)[1:-1]
            first_author = re.search(rf"^\s*{number}\. (.*?)(?:,| and )", text, re.MULTILINE)[1].replace("’", "'")
            assert first_author.split()[-1].lower() == re.split(r" et al| & ", model)[0].lower()


def test_the_quoted_slips_stand_in_the_paper(printed):
    text = TEXT.read_text()
    quotes = (
        "20 different attacks", "21 different kinds of intrusion", "93.75%", "93.74%", "Windows 11",
        "12GB of RAM on Google Colab", "80 distinct features", "83 features", "square root operation",
    )  # fmt: skip
    for quote in quotes:
        assert quote in " ".join(text.split()), quote
    assert re.search(r"detected 19\s+times as an anomaly and 81 times benign", text)


def test_published_is_the_printed_per_cent_as_a_fraction_and_a_dash_is_nan():
    frame = paper.tables()
    dashes = frame["printed"] == "-"
    assert frame.loc[dashes, "published"].isna().all() and dashes.sum() == 5 + 10 + 4 + 9  # Tables 4, 5, 6 and 9
    shown = frame[~dashes]
    assert np.allclose(shown["published"], shown["printed"].str.removesuffix("%").astype(float) / 100, atol=1e-12)
    assert shown["published"].between(0, 1).all()
    assert paper.fraction("70.54%") == 0.7054 and paper.fraction("100%") == 1.0


def test_tables_7_8_and_9_repeat_the_proposed_numbers_of_tables_4_and_5():
    key = ["dataset", "metric"]
    proposed = {n: paper.table(n).query("model == 'Proposed'").set_index(key)["printed"] for n in (4, 5, 7, 8, 9)}
    for later, earlier in ((7, 5), (8, 4), (9, 5)):
        assert (proposed[later] == proposed[earlier].reindex(proposed[later].index)).all()


def test_the_weighted_recall_of_the_proposed_model_is_its_accuracy():
    for number in (4, 5, 6):
        wide = paper.table(number).query("model == 'Proposed'").pivot(index="dataset", columns="metric")["published"]
        assert (wide["recall"] == wide["accuracy"]).all()


def test_sarhans_precision_on_nf_bot_iot_cannot_be_a_precision():
    classes = DATASETS["nf-bot-iot"].classes
    attacks = 1 - classes["Benign"] / sum(classes.values())
    cells = paper.table(4).query("dataset == 'nf-bot-iot' and model.str.startswith('Sarhan')").set_index("metric")
    precision, f1 = cells.loc["precision", "published"], cells.loc["f1", "published"] - 0.005
    recall = f1 * precision / (2 * precision - f1)
    assert attacks * recall * (1 / precision - 1) > 1 - attacks  # more false alarms than benign flows


def test_the_paper_layout_keeps_order_and_cells():
    wide = paper.as_printed(paper.table(5))
    assert list(wide.columns) == ["NF-ToN-IoT", "NF-BoT-IoT", "NF-UNSW-NB15", "NF-CSE-CIC-IDS2018", "NF-UQ-NIDS"]
    assert wide.loc[("Proposed", "precision"), "NF-BoT-IoT"] == "87.13%"
    assert wide.shape == (8, 5)


def test_a_table_without_results_is_refused():
    with pytest.raises(InputError, match="4 to 9.*found 2"):
        paper.table(2)


def test_the_proposed_cells_are_those_of_the_papers_network():
    frame = paper.proposed(4, 6)
    assert len(frame) == 4 * (5 + 4) and set(frame["model"]) == {"Proposed"} and set(frame["table"]) == {4, 6}


def test_the_testbed_counts_add_up_to_its_100_packets():
    assert dict(paper.testbed()[["verdict", "packets"]].itertuples(index=False)) == {"anomaly": 19, "benign": 81}
    assert paper.testbed()["packets"].sum() == 100
