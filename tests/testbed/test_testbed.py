"""The recordings that are shipped: what the meter makes of them, what they hold, and the model trained on them."""

import json
import shutil
from functools import partial

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from tlids_edge.cli import meter
from tlids_edge.detect.detector import Detector
from tlids_edge.flows.ndpi import Ndpi, NdpiUnavailable

from tlids_helpers.common import files
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import cleaned, prepare
from tlids_helpers.data.catalog import DATASETS
from tlids_helpers.export import card
from tlids_helpers.network.recipe import Recipe
from tlids_helpers.results.runs import Setup
from tlids_helpers.testbed import __main__ as command
from tlids_helpers.testbed import recordings

MODEL = command.MODEL


@pytest.fixture(scope="module")
def flows() -> pd.DataFrame:
    return pd.read_parquet(recordings.FOLDER / recordings.FILES["netflow"])


@pytest.fixture(scope="module")
def cicflows() -> pd.DataFrame:
    return pd.read_parquet(recordings.FOLDER / recordings.FILES["cicflow"])


def need_ndpi() -> None:
    try:
        Ndpi()
    except NdpiUnavailable as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("session", ["session1", "session2"])
def test_metering_a_shipped_capture_gives_the_shipped_netflow_rows(session, flows):
    need_ndpi()
    again = recordings.meter_session(recordings.FOLDER, session, "netflow").to_pandas()
    pd.testing.assert_frame_equal(in_order(again), in_order(flows[flows["Session"] == session]))


def test_metering_a_shipped_capture_gives_the_shipped_cicflow_rows(cicflows):
    again = recordings.meter_session(recordings.FOLDER, "session2", "cicflow").to_pandas()
    pd.testing.assert_frame_equal(in_order(again), in_order(cicflows[cicflows["Session"] == "session2"]))


def in_order(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows sorted by all their values: two flows of session 2 that ended at one moment changed places since."""
    return rows.sort_values(list(rows.columns), ignore_index=True)


def test_both_families_tell_of_the_same_flows(flows, cicflows):
    for one, other in (("IPV4_SRC_ADDR", "Src_IP"), ("L4_DST_PORT", "Dst_Port"), ("FIRST_SWITCHED_MS",) * 2,
                       ("Attack", "Attack"), ("Session", "Session")):  # fmt: skip
        assert flows[one].equals(cicflows[other].rename(one))


def test_there_are_enough_classes_and_flows_in_both_sessions(flows):
    assert len(flows) >= 20_000 and flows["Attack"].nunique() >= 10
    for _, recorded in flows.groupby("Session"):
        assert (recorded["Attack"] == "Benign").sum() >= 2_000
        assert set(recorded["Attack"]) == set(flows["Attack"])


@pytest.mark.parametrize("slug", ["testbed", "testbed-cicflow"])
def test_the_catalog_has_the_rows_and_columns_that_are_shipped(slug):
    entry = DATASETS[slug]
    frame = pd.read_parquet(recordings.FOLDER / f"{slug}.parquet")
    assert entry.classes == {name: int((frame["Attack"] == name).sum()) for name in entry.classes}
    assert entry.total == len(frame)
    assert tuple(frame.columns) == entry.columns


def test_the_sessions_share_no_address_and_no_device():
    one, two = (recordings.recording(recordings.FOLDER, name) for name in recordings.sessions())
    assert one.subnet != two.subnet
    for what in ("address", "mac"):
        assert not {host[what] for host in one.hosts} & {host[what] for host in two.hosts}
    assert [a["name"] for a in one.attacks] != [a["name"] for a in two.attacks]


def test_nothing_that_the_attacker_sends_or_is_sent_is_called_benign(flows):
    for name in recordings.sessions():
        recording = recordings.recording(recordings.FOLDER, name)
        attacker = next(host for host in recording.hosts if host["name"] == "attacker")
        recorded = flows[flows["Session"] == name]
        with_attacker = (recorded["SRC_MAC"] == attacker["mac"]) | (recorded["DST_MAC"] == attacker["mac"])
        for column in ("IPV4_SRC_ADDR", "IPV4_DST_ADDR"):
            with_attacker |= recorded[column] == attacker["address"]
        assert with_attacker.sum() > 1000 and (recorded.loc[with_attacker, "Attack"] != "Benign").all()


def test_before_the_first_attack_every_flow_is_benign(flows):
    for name in recordings.sessions():
        first = min(attack["start"] for attack in recordings.recording(recordings.FOLDER, name).attacks)
        before = flows[(flows["Session"] == name) & (flows["LAST_SWITCHED_MS"] < 1000 * (first - 1))]
        assert len(before) > 10 and (before["Attack"] == "Benign").all()


@pytest.mark.parametrize("slug", ["testbed", "testbed-cicflow"])
def test_the_second_session_is_the_test_split_whatever_is_asked(slug, data_dir):
    prepared = prepare.prepare(slug, data_dir)
    frame = pd.read_parquet(recordings.FOLDER / f"{slug}.parquet")
    assert (prepared.split, prepared.mark) == ("session", "")
    assert prepared.size("test") == (frame["Session"] == "session2").sum()
    features, codes = prepare.load(prepared, "test")
    recorded = frame.loc[frame["Session"] == "session2", list(prepared.features)].to_numpy(np.float32)
    order, other = (np.lexsort(rows.T) for rows in (features, recorded))
    assert np.array_equal(features[order], recorded[other])


def test_a_random_split_of_the_testbed_can_be_had_by_its_path(data_dir):
    prepared = prepare.prepare(str(recordings.FOLDER / "testbed.parquet"), data_dir)
    assert prepared.split == "paper" and prepared.size("test") < DATASETS["testbed"].total / 4


def test_missing_labels_are_named_and_nothing_is_written(tmp_path, capsys):
    shutil.copy(recordings.FOLDER / "session1.pcap.gz", tmp_path)
    assert command.main(["flows", str(tmp_path)]) == 2
    assert "session1.labels.csv" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["session1.pcap.gz"]


def test_the_command_writes_the_tables_beside_the_recordings(tmp_path, capsys):
    need_ndpi()
    for name in ("session1.pcap.gz", "session1.labels.csv"):
        shutil.copy(recordings.FOLDER / name, tmp_path)
    assert command.main(["flows", str(tmp_path)]) == 0
    for name, line in zip(recordings.FILES.values(), capsys.readouterr().out.splitlines(), strict=True):
        table = pq.read_table(tmp_path / name)
        shipped = pq.read_table(recordings.FOLDER / name, filters=[("Session", "==", "session1")])
        assert table.schema.equals(shipped.schema) and table.equals(shipped)
        assert line == f"{name}: {len(shipped):,} flows"


def test_an_interrupted_metering_leaves_no_part_of_a_session(monkeypatch):
    def interrupted(captures, options, outcome):
        yield ()
        outcome.interrupted = True

    monkeypatch.setattr(recordings.table, "flow_rows", interrupted)
    with pytest.raises(KeyboardInterrupt):
        recordings.meter_session(recordings.FOLDER, "session1", "netflow")


def test_a_recording_is_what_its_file_describes_and_a_broken_one_is_refused(tmp_path):
    content = {
        "subnet": "10.0.0.0/24",
        "packets": {"captured": 7},
        "hosts": {"tv": {"mac": ""}},
        "attacks": [],
        "more": 1,
    }
    (tmp_path / "session1.json").write_text(json.dumps({**content, "more": 1}))
    found = recordings.recording(tmp_path, "session1")
    assert (found.subnet, found.packets, found.hosts) == ("10.0.0.0/24", 7, [{"name": "tv", "mac": ""}])
    (tmp_path / "session1.json").write_text("{}")
    for name in ("session1", "session2"):
        with pytest.raises(InputError, match=f"session in .*{name}.json, found"):
            recordings.recording(tmp_path, name)


def test_a_folder_without_recordings_is_refused(tmp_path):
    with pytest.raises(InputError, match="session1.pcap.gz .* found none"):
        recordings.sessions(tmp_path)


def test_a_shipped_file_that_is_gone_is_named_and_never_simulated(tmp_path, data_dir, monkeypatch):
    monkeypatch.setattr(files, "REPOSITORY", tmp_path)
    with pytest.raises(InputError, match="testbed.parquet"):
        prepare.prepare("testbed", data_dir)


# ---- the model


def test_the_shipped_model_is_one_the_pi_takes_small_and_not_simulated():
    fields = card.read(MODEL)
    assert Detector(MODEL).card.classes == tuple(fields["classes"])
    assert sorted(path.name for path in MODEL.iterdir()) == ["card.json", "model.tflite", "rows.npz"]
    assert list(fields["files"]) == ["model.tflite", "rows.npz"]
    assert (MODEL / "model.tflite").stat().st_size < 1_000_000
    assert (fields["dataset"], fields["split"], fields["simulated"], fields["mark"]) == (
        "testbed",
        "session",
        False,
        "",
    )
    assert fields["l7"] == "ndpi 4.2" and fields["recipe"] == "paper"


def test_the_command_leaves_what_the_pi_needs_and_no_more(tmp_path, data_dir, monkeypatch):
    monkeypatch.setattr(command, "Setup", partial(Setup, recipe=Recipe(epochs=1)))
    folder = tmp_path / "model"
    sentence = command.make_model(folder, data_dir, tmp_path / "runs")
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "model.tflite", "rows.npz"]
    assert Detector(folder).card.threshold == card.read(folder)["threshold"]
    assert card.read(folder)["threshold_basis"] == sentence
    assert list((tmp_path / "runs").glob("*/model.keras"))


def test_rows_are_made_again_without_training_and_leave_the_model_as_it_is(tmp_path, data_dir):
    shutil.copytree(MODEL, tmp_path / "model")
    (tmp_path / "model" / "rows.npz").unlink()
    fields = card.read(MODEL)
    del fields["files"]["rows.npz"]
    (tmp_path / "model" / "card.json").write_text(json.dumps(fields))
    assert command.make_rows(tmp_path / "model", data_dir) == (MODEL / "rows.npz").stat().st_size
    for name in ("model.tflite", "rows.npz"):
        assert (tmp_path / "model" / name).read_bytes() == (MODEL / name).read_bytes()
    assert card.read(tmp_path / "model") == card.read(MODEL)


def test_rows_of_other_recordings_than_the_models_are_refused(tmp_path, data_dir):
    shutil.copytree(MODEL, tmp_path / "model")
    fields = card.read(MODEL)
    fields["rows"]["train"] += 1
    (tmp_path / "model" / "card.json").write_text(json.dumps(fields))
    with pytest.raises(InputError, match="make testbed-model"):
        command.make_rows(tmp_path / "model", data_dir)


def test_the_cards_scores_are_those_of_the_shipped_rows(data_dir):
    fields, prepared = card.read(MODEL), prepare.prepare("testbed", data_dir)
    features, truth = prepare.load(prepared, "test")
    assert tuple(fields["classes"]) == prepared.classes
    predicted = card.predict_as_the_pi(MODEL, features).argmax(axis=1)
    assert np.mean(predicted == truth) == pytest.approx(fields["metrics"]["litert"]["accuracy"], abs=1e-3)


# ---- the user's own captures


@pytest.mark.parametrize("family", ["netflow", "cicflow"])
def test_a_metered_and_labelled_capture_is_a_dataset_of_ones_own(family, tmp_path, data_dir):
    capture, labels = (str(recordings.FOLDER / f"session1{end}") for end in (".pcap.gz", ".labels.csv"))
    target = tmp_path / "home.csv"
    assert meter.main([capture, "--labels", labels, "--family", family, "--no-l7", "-o", str(target)]) == 0
    prepared = prepare.prepare(str(target), data_dir)
    assert (prepared.family, prepared.mark, prepared.benign) == (family, "own", "Benign")
    assert set(prepared.classes) == set(DATASETS["testbed"].classes)
    assert cleaned.slug_of(str(target)) == "home"


def test_shipped_things_are_found_from_any_home(tmp_path, monkeypatch):
    monkeypatch.setenv("TLIDS_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert files.shipped("data/testbed") == recordings.FOLDER
    (tmp_path / "data" / "testbed").mkdir(parents=True)
    assert files.shipped("data/testbed") == tmp_path / "data" / "testbed"
    assert json.loads((files.shipped("edge/models/testbed") / "card.json").read_text())["dataset"] == "testbed"
