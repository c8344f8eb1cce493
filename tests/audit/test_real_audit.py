"""The audit's counts on the real NF-BoT-IoT-v2 sample, with pandas as the oracle. Needs TLIDS_SHARED; skips without."""

import pandas as pd
import pytest

from tlids_helpers.audit import ceiling, duplicates
from tlids_helpers.data import prepare
from tlids_helpers.data.split import ROLES

NINE = list(range(9))


@pytest.fixture(scope="module")
def bot(shared, tmp_path_factory):
    raw = tmp_path_factory.mktemp("real") / "raw"
    raw.mkdir()
    (raw / "NF-BoT-IoT-v2.csv.gz").symlink_to(shared / "data" / "netflow" / "NF-BoT-IoT-v2.sample.csv.gz")
    return prepare.prepare("nf-bot-iot-v2", raw.parent, allow_subset=True)


@pytest.fixture(scope="module")
def rows(bot) -> pd.DataFrame:
    loaded = {role: prepare.load(bot, role) for role in ROLES}
    return pd.concat([pd.DataFrame(x).assign(code=y, role=role) for role, (x, y) in loaded.items()], ignore_index=True)


def test_92158_rows_repeat_an_earlier_one(bot, rows):
    found = duplicates.table(bot).set_index("class").loc["all"]
    assert found["repeats"] == rows.duplicated(NINE).sum() == 92_158  # design.md
    assert found["repeats_labelled"] == rows.duplicated([*NINE, "code"]).sum()


def test_test_rows_with_a_training_twin_are_those_that_pandas_joins(bot, rows):
    found = duplicates.across(bot).set_index("class")
    train, test = (rows[rows["role"] == role] for role in ("train", "test"))
    for name, on in (("twins", NINE), ("twins_labelled", [*NINE, "code"])):
        joined = test.merge(train[on].drop_duplicates(), on=on)
        assert found.loc["all", name] == len(joined)
        assert found.loc[list(bot.classes), name].tolist() == joined["code"].value_counts().sort_index().tolist()


def test_the_best_accuracy_is_the_majority_label_of_each_distinct_row(bot, rows):
    found = ceiling.ceiling(bot, roles=ROLES)
    per_row = rows.groupby(NINE)["code"]
    best = rows.groupby([*NINE, "code"]).size().groupby(NINE).max().sum() / len(rows)
    assert found.scores.set_index("score").loc["accuracy", "best"] == pytest.approx(best)
    assert round(best, 3) == 0.995  # design.md
    assert found.conflicting == (per_row.transform("nunique") > 1).sum()
