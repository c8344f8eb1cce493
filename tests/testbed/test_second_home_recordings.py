"""The second home's recordings that are shipped: what they hold, and how they are split."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tlids_edge.flows.ndpi import Ndpi, NdpiUnavailable

from tlids_helpers.data import prepare
from tlids_helpers.data.catalog import DATASETS
from tlids_helpers.testbed import __main__ as command
from tlids_helpers.testbed import recordings

FOLDER = recordings.FOLDER.with_name("second-home")
TESTBED = set(DATASETS["testbed"].classes)


@pytest.fixture(scope="module")
def flows() -> pd.DataFrame:
    return pd.read_parquet(FOLDER / "second-home.parquet")


def described(session: str) -> dict:
    return json.loads((FOLDER / f"{session}.json").read_text())


def test_no_packet_was_lost_and_the_captures_are_small():
    assert [described(session)["packets"]["dropped"] for session in ("session1", "session2")] == [0, 0]
    assert sum(path.stat().st_size for path in FOLDER.glob("*.pcap.gz")) < 10_000_000


def test_the_first_session_is_benign_life_of_at_least_ten_devices_in_like_shares(flows):
    mine = flows[flows["Session"] == "session1"]
    assert set(mine["Attack"]) == {"Benign"} and len(mine) >= 4000
    shares = mine["SRC_MAC"].value_counts(normalize=True)
    assert (shares > 0.02).sum() >= 10 and shares.iloc[0] < 0.25


def test_the_second_session_has_every_class_in_both_of_its_parts(flows):
    parts = {name: set(part["Attack"]) for name, part in flows.groupby("Session") if name != "session1"}
    assert set(parts) == {"session2", "session2-late"}
    assert parts["session2"] == parts["session2-late"] == set(DATASETS["second-home"].classes)
    assert len(flows) - (flows["Session"] == "session1").sum() >= 10_000


def test_classes_of_the_testbed_keep_their_names_and_at_least_five_are_new(flows):
    assert TESTBED < set(flows["Attack"]) and len(set(flows["Attack"]) - TESTBED) >= 5


def test_the_late_part_is_what_began_after_the_second_round_did(flows):
    late = described("session2")["late"] * 1000
    mine = flows[flows["Session"] != "session1"]
    assert (mine["Session"].eq("session2-late") == mine["FIRST_SWITCHED_MS"].ge(late)).all()
    later = [attack for attack in described("session2")["attacks"] if attack["start"] * 1000 >= late]
    assert {attack["name"] for attack in later} == set(DATASETS["second-home"].classes) - {"Benign"}


def test_no_flow_of_the_attackers_in_its_windows_is_benign(flows):
    told = described("session2")
    mine = flows[flows["SRC_MAC"].eq(told["hosts"]["attacker"]["mac"]) & flows["Session"].ne("session1")]
    for attack in told["attacks"]:
        if attack["attacker"] == "attacker":
            inside = mine["FIRST_SWITCHED_MS"].between(attack["start"] * 1000, attack["end"] * 1000)
            assert set(mine.loc[inside, "Attack"]) <= {attack["name"]}, attack["name"]
            # a relayed flow begins with its victim's own frame, so it bears the victim's MAC address
            assert inside.any() or attack["name"] == "ARP MITM", attack["name"]


def test_metering_the_benign_capture_again_gives_the_shipped_rows(flows):
    try:
        Ndpi()
    except NdpiUnavailable as reason:
        pytest.skip(str(reason))
    again = recordings.meter_session(FOLDER, "session1", "netflow").to_pandas()
    shipped = flows[flows["Session"] == "session1"]
    order = list(shipped.columns)
    pd.testing.assert_frame_equal(
        again.sort_values(order, ignore_index=True), shipped.sort_values(order, ignore_index=True)
    )


@pytest.mark.parametrize("slug", ["second-home", "second-home-cicflow"])
def test_the_test_split_is_the_late_part_and_is_real(slug, tmp_path):
    frame = pd.read_parquet(FOLDER / f"{slug}.parquet")
    assert frame["Attack"].value_counts().to_dict() == DATASETS[slug].classes
    prepared = prepare.prepare(slug, tmp_path)
    assert (prepared.split, prepared.mark) == ("session", "")
    assert prepared.size("test") == (frame["Session"] == "session2-late").sum()
    for split in ("train", "test"):
        _, codes = prepare.load(prepared, split)
        assert len(np.unique(codes)) == len(DATASETS[slug].classes)


def test_a_recording_of_one_round_stays_one_session(tmp_path):
    table = pa.table({"FIRST_SWITCHED_MS": [900, 1500], "Session": ["session4", "session4"]})
    assert recordings.with_late(table, tmp_path, "session4").equals(table)
    told = {"subnet": "10.0.0.0/24", "packets": {"captured": 2}, "hosts": {}, "attacks": []}
    (tmp_path / "session4.json").write_text(json.dumps(told))
    assert recordings.with_late(table, tmp_path, "session4").equals(table)
    (tmp_path / "session4.json").write_text(json.dumps({**told, "late": 1.5}))
    late = recordings.with_late(table, tmp_path, "session4")
    assert late["Session"].to_pylist() == ["session4", "session4-late"] and late.schema.equals(table.schema)


def test_the_command_names_the_home_that_it_meters(tmp_path, capsys):
    assert command.main(["flows", str(tmp_path), "--home", "second-home"]) == 2
    assert "expected session1.pcap.gz" in capsys.readouterr().err
