"""The data path on real flows, with pandas as the oracle. Needs TLIDS_SHARED; skips without it."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tlids_helpers.common.errors import InputError
from tlids_helpers.data import cleaned, prepare, select, show
from tlids_helpers.data import raw as flows
from tlids_helpers.data.catalog import CICFLOW_FEATURES, DATASETS, NETFLOW_FEATURES
from tlids_helpers.data.raw import SUBSET
from tlids_helpers.data.split import ROLES

SAMPLES = {
    "nf-bot-iot-v2": "NF-BoT-IoT-v2.sample.csv.gz",
    "nf-cse-cic-ids2018-v2": "NF-CSE-CIC-IDS2018-v2.sample.csv",
    "nf-unsw-nb15-v2": "NF-UNSW-NB15-v2.sample.csv",
}


@pytest.fixture(scope="module")
def home(shared, tmp_path_factory):
    """A data folder in which the samples have the published names, and whose cache the tests share."""
    raw = tmp_path_factory.mktemp("real") / "raw"
    raw.mkdir()
    for slug, sample in SAMPLES.items():
        ending = "".join((shared / "data" / "netflow" / sample).suffixes[-2:]).removeprefix(".sample")
        name = DATASETS[slug].file.removesuffix(".csv") + ending
        (raw / name).symlink_to(shared / "data" / "netflow" / sample)
    return raw.parent


@pytest.fixture(scope="module")
def bot(home):
    return prepare.prepare("nf-bot-iot-v2", home, allowed=SUBSET)


def raw_frame(home, slug) -> pd.DataFrame:
    path = flows.locate_file(DATASETS[slug], home / "raw")
    return pd.read_csv(path, usecols=[*NETFLOW_FEATURES, "Attack"])


def readme_counts(shared) -> dict[str, int]:
    line = next(x for x in (shared / "data" / "README.md").read_text().splitlines() if SAMPLES["nf-bot-iot-v2"] in x)
    counts = (word.rsplit(" ", 1) for word in line.split("|")[4].strip().split("; "))
    return {name: int(rows.replace(",", "")) for name, rows in counts}


def test_the_bot_iot_samples_class_counts_are_those_of_its_readme(shared, bot):
    expected = readme_counts(shared)
    assert sum(expected.values()) == 278_781
    found = {name: sum(bot.counts[role][name] for role in ROLES) for name in bot.classes}
    assert found == expected
    assert (bot.mark, bot.version, bot.classes[0]) == ("v2 subset", 2, "Benign")


def test_nothing_in_the_bot_iot_sample_had_to_be_dropped(bot):
    census = bot.parts["nf-bot-iot-v2"]["census"]
    assert (census["rows"], census["kept"]) == (278_781, 278_781)
    assert not any(census[name] for name in show.CENSUS_ROWS if name not in ("lines", "header_lines", "rows", "kept"))


def test_the_bot_iot_samples_test_rows_are_a_fifth_of_each_class(bot):
    assert bot.size("test") == -(-278_781 // 5)
    for name, rows in bot.counts["test"].items():
        assert abs(rows - 0.2 * sum(bot.counts[role][name] for role in ROLES)) < 1


@pytest.mark.parametrize("slug", SAMPLES)
def test_every_value_of_every_row_is_what_pandas_reads(slug, home):
    raw = raw_frame(home, slug)
    clean = pq.read_table(cleaned.clean(slug, home, True)[0].file).to_pandas()
    assert list(clean["Attack"]) == list(raw["Attack"])
    assert np.array_equal(clean[list(NETFLOW_FEATURES)].to_numpy(), raw[list(NETFLOW_FEATURES)].to_numpy(np.float32))


@pytest.mark.parametrize("slug", ["nf-cse-cic-ids2018-v2", "nf-unsw-nb15-v2"])
def test_the_small_samples_are_split_with_their_classes_in_the_catalogs_spelling(slug, home):
    raw = raw_frame(home, slug)["Attack"].value_counts()
    prepared = prepare.prepare(slug, home, allowed=SUBSET)
    assert {name: sum(prepared.counts[role][name] for role in ROLES) for name in prepared.classes} == raw.to_dict()
    assert set(raw.index) <= set(DATASETS[slug].classes) and prepared.size("test") == 2000


def test_equal_real_flows_never_cross_the_grouped_split(home):
    prepared = prepare.prepare("nf-bot-iot-v2", home, "grouped", allowed=SUBSET)
    frame = pd.concat([pd.DataFrame(prepare.load(prepared, role)[0]).assign(role=role) for role in ROLES])
    assert len(frame) == 278_781 and len(frame) - len(frame.drop_duplicates(list(range(9)))) == 92_158  # design.md
    assert (frame.groupby(list(range(9)))["role"].nunique() == 1).all()
    assert show.twins(prepared) == 0
    assert prepared.size("test") / len(frame) == pytest.approx(0.2, abs=0.01)


def test_the_sample_is_refused_when_no_subset_is_meant(home):
    with pytest.raises(InputError, match="expected the 37,763,497 rows of NF-BoT-IoT-v2, found 278,781 rows"):
        prepare.prepare("nf-bot-iot-v2", home)


def test_the_sample_is_refused_under_the_version_1_name(shared, data_dir):
    (data_dir / "raw" / "NF-BoT-IoT.csv.gz").symlink_to(shared / "data" / "netflow" / SAMPLES["nf-bot-iot-v2"])
    with pytest.raises(InputError, match="has the columns of version 2: use the slug nf-bot-iot-v2"):
        prepare.prepare("nf-bot-iot", data_dir, allowed=SUBSET)


def test_the_sample_cut_short_is_refused(shared, put, data_dir):
    whole = (shared / "data" / "netflow" / SAMPLES["nf-bot-iot-v2"]).read_bytes()
    put(whole[:-100_000], "NF-BoT-IoT-v2.csv.gz")
    with pytest.raises(
        InputError, match="expected NF-BoT-IoT-v2.csv.gz whole, found that it cannot be read to its end"
    ):
        prepare.prepare("nf-bot-iot-v2", data_dir, allowed=SUBSET)


@pytest.mark.parametrize("slug", ["nf-bot-iot", "nf-ton-iot", "nf-cse-cic-ids2018"])
def test_version_1_rows_that_others_printed_are_read_by_their_columns(slug, shared, put, data_dir):
    printed = shared / "data" / "netflow" / f"{DATASETS[slug].title}_v1_printed_rows.csv"
    raw = pd.read_csv(printed)
    put(printed.read_bytes(), DATASETS[slug].file)
    clean = cleaned.clean(slug, data_dir, True)[0]
    rows = pq.read_table(clean.file).to_pandas()
    assert clean.census["kept"] == len(raw) > 2 and clean.mark == "subset"
    assert np.array_equal(rows[list(NETFLOW_FEATURES)], raw[list(NETFLOW_FEATURES)].to_numpy(np.float32))
    assert list(rows["Attack"]) == list(raw["Attack"])


# ---- CICFlowMeter


@pytest.mark.parametrize(("name", "rows"), [("slowdos", 6859), ("normal", 1061)])
def test_java_cicflowmeters_files_are_read_as_pandas_reads_them(name, rows, shared, data_dir):
    path = shared / "data" / "cic" / f"cicflowmeter.{name}_Flow.csv"
    with pytest.raises(UnicodeDecodeError):
        path.read_text(encoding="utf-8")  # the timestamps: that is why this test is here
    raw = pd.read_csv(path, encoding="latin-1").rename(columns=lambda column: column.replace(" ", "_"))
    clean = cleaned.clean(str(path), data_dir, True)[0]
    found = pq.read_table(clean.file).to_pandas()
    usable = np.isfinite(raw[list(CICFLOW_FEATURES)]).all(axis=1)
    assert len(raw) == clean.census["rows"] == rows and clean.census["kept"] == usable.sum()
    values = raw.loc[usable, list(CICFLOW_FEATURES)].to_numpy(np.float32)
    assert np.array_equal(found[list(CICFLOW_FEATURES)].to_numpy(), values)
    assert clean.census["negative"] == (values < 0).any(axis=1).sum() == rows  # Init_Fwd_Win_Byts is -1 throughout
    assert clean.census["renamed"]["Bwd_Pkt_Len_Std"] == "Bwd Pkt Len Std"


def test_a_file_of_one_label_is_refused_for_training(shared, data_dir):
    path = shared / "data" / "cic" / "cicflowmeter.normal_Flow.csv"
    with pytest.raises(InputError, match="expected at least two classes in .*, found only 'No Label'"):
        prepare.prepare(str(path), data_dir)


def test_two_cicflowmeter_files_joined_with_cat_are_prepared_and_nine_columns_selected(shared, put, data_dir):
    cic = shared / "data" / "cic"
    normal, slow = ((cic / f"cicflowmeter.{name}_Flow.csv").read_bytes() for name in ("normal", "slowdos"))
    joined = normal.replace(b"No Label", b"Normal") + b"\n" + slow.replace(b"No Label", b"Slow DoS")
    prepared = prepare.prepare(str(put(joined, "joined.csv")), data_dir)
    census = prepared.parts["joined"]["census"]
    assert census["repeated_headers"] == 1 and census["classes"] == {"Normal": 1061, "Slow DoS": 6859}
    assert prepared.classes == ("Normal", "Slow DoS")
    found = select.gini_importance(prepared, rows=2000)
    assert found["in_paper"].sum() == 9 and found["importance"].sum() == pytest.approx(1)
    constant = found.set_index("feature")["importance"]["Init_Fwd_Win_Byts"]
    assert constant == 0


def test_the_iotid20_sample_is_refused_for_the_columns_it_lacks(shared, put, data_dir):
    path = shared / "data" / "cic" / "IoTID20.sample.csv"
    lacking = [name for name in CICFLOW_FEATURES if not flows.find_column(name, list(pd.read_csv(path, nrows=0)))]
    assert len(lacking) == 4
    with pytest.raises(InputError, match=rf"expected a column '{lacking[0]}' .*the nearest is 'Pkt_Len_Std'"):
        prepare.prepare(str(path), data_dir)
    put(path.read_bytes(), "IoT Network Intrusion Dataset.csv")
    with pytest.raises(InputError, match="expected a column 'Cat' in IoT Network Intrusion Dataset.csv"):
        prepare.prepare("iot-network-intrusion", data_dir, allowed=SUBSET)


def test_the_cse_cic_ids2018_sample_is_refused_for_its_missing_source_port(shared, data_dir):
    path = shared / "data" / "cic" / "CSE-CIC-IDS2018.cicflowmeter.sample.csv"
    with pytest.raises(InputError, match="expected a column 'Src_Port'"):
        prepare.prepare(str(path), data_dir)


# ---- the union's file alone


def test_the_four_parts_and_the_union_are_read_from_the_unions_sample_as_pandas_counts_them(shared, data_dir):
    sample = shared / "data" / "netflow" / "NF-UQ-NIDS-v2.sample.csv.gz"
    (data_dir / "raw" / "NF-UQ-NIDS-v2.csv.gz").symlink_to(sample)
    counts = pd.read_csv(sample, usecols=["Dataset", "Attack"])[["Dataset", "Attack"]].value_counts().to_dict()
    union = prepare.prepare("nf-uq-nids-v2", data_dir, allowed=SUBSET)
    assert sum(map(union.size, ROLES)) == 741_089 and len(union.classes) == 21
    for slug in DATASETS["nf-uq-nids-v2"].parts:
        part = prepare.prepare(slug, data_dir, allowed=SUBSET)
        found = {name: sum(part.counts[role][name] for role in ROLES) for name in part.classes}
        assert found == {name: rows for (title, name), rows in counts.items() if title == part.title}
        assert (part.mark, part.version) == ("v2 subset", 2)
