"""The testbed's captures -> its flows as Parquet, by the meter that the Pi runs.

`make testbed` leaves `session1.pcap.gz`, `session1.labels.csv`, `session1.json` and so on in data/testbed, and
`make second-home` those of another home in data/second-home. `write_flows` puts `testbed.parquet` and
`testbed-cicflow.parquet` beside them (`second-home.parquet`, ...): a row a flow, the family's nine features under the
datasets' names, Label and Attack, Session, and the meter's times, addresses and end reason.

A session with two rounds of attacks is two for the datasets: flows that began after the second round did bear the
session's name and "-late". They are the test split of `second-home`.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tlids_edge import outputs
from tlids_edge.flows import table
from tlids_edge.flows.table import Options, Outcome

from tlids_helpers.common import files, progress
from tlids_helpers.common.errors import InputError

HOMES = ("testbed", "second-home")
FOLDER = files.REPOSITORY / "data" / HOMES[0]
SUFFIXES = {"netflow": ".parquet", "cicflow": "-cicflow.parquet"}
FILES = {family: f"{HOMES[0]}{suffix}" for family, suffix in SUFFIXES.items()}
LATE = "-late"


@dataclass(frozen=True)
class Recording:
    """One session of the testbed, as its JSON file describes it."""

    name: str
    subnet: str
    packets: int
    hosts: list[dict]  # name, address, mac
    attacks: list[dict]  # name of the class, start and end in seconds since 1970, argv, attacker, victims and more
    late: float | None = None  # when the second round of attacks began, where there are two; seconds since 1970


def recording(folder: Path, name: str) -> Recording:
    """What was planned and run in a session.

    Raises InputError when its JSON file is missing or describes no session.
    """
    path = folder / f"{name}.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        hosts = [{"name": host, **known} for host, known in content["hosts"].items()]
        late = content.get("late")
        return Recording(name, content["subnet"], content["packets"]["captured"], hosts, content["attacks"], late)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"expected the description of a session in {path}, found {error!r}", "record it again with `make testbed`"
        ) from None


def sessions(folder: Path = FOLDER) -> list[str]:
    """The names of the recordings in `folder`, in order.

    Raises InputError when there are none.
    """
    names = sorted(path.name.removesuffix(".pcap.gz") for path in folder.glob("session*.pcap.gz"))
    if not names:
        raise InputError(f"expected session1.pcap.gz in {folder}, found none", "record them with `make testbed`")
    return names


def meter_session(folder: Path, session: str, family: str) -> pa.Table:
    """The labelled flows of one recording, (flows, columns), in the order in which they ended.

    Raises InputError when the meter cannot read the capture or its labels.
    """
    options = Options(family=family, labels=folder / f"{session}.labels.csv", session=session, quiet=True)
    outcome, rows = Outcome(), []
    with progress.counter("metering", "flows") as count:
        for row in table.flow_rows([folder / f"{session}.pcap.gz"], options, outcome):
            rows.append(row)
            count.update()
    if outcome.interrupted:  # the meter would hand over what it has, which is no whole session
        raise KeyboardInterrupt
    names = table.columns(options)
    return pa.table([pa.array([row[index] for row in rows]) for index in range(len(names))], names=names)


def with_late(flows: pa.Table, folder: Path, session: str) -> pa.Table:
    """The flows of a recording, those that began in its second round of attacks as a session of their own.

    Raises InputError as `recording`; a recording without a JSON file has no second round.
    """
    late = recording(folder, session).late if (folder / f"{session}.json").exists() else None
    if late is None:
        return flows
    after = pc.greater_equal(pc.cast(flows["FIRST_SWITCHED_MS"], pa.float64()), late * 1000)
    names = pc.if_else(after, f"{session}{LATE}", session)
    return flows.set_column(flows.column_names.index("Session"), "Session", names)


def write_flows(folder: Path = FOLDER, home: str = HOMES[0]) -> dict[str, int]:
    """Meter every recording of a home in both families; returns file name -> flows. Each file appears whole or not.

    Raises InputError as `sessions`, `recording` and `meter_session` do.
    """
    written = {}
    for family, suffix in SUFFIXES.items():
        flows = pa.concat_tables(
            with_late(meter_session(folder, name, family), folder, name) for name in sessions(folder)
        )
        with outputs.written(folder / f"{home}{suffix}", "give another folder") as file:
            pq.write_table(flows, file, compression="zstd")
        written[f"{home}{suffix}"] = len(flows)
    return written
