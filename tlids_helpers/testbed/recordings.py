"""The testbed's captures -> its flows as Parquet, by the meter that the Pi runs.

    python -m tlids_helpers.testbed [FOLDER]

FOLDER (data/testbed) holds `session1.pcap.gz`, `session1.labels.csv` and so on, as `make testbed` leaves them;
`testbed.parquet` and `testbed-cicflow.parquet` are written beside: a row a flow, the family's nine features under the
datasets' names, Label and Attack, Session, and the meter's times, addresses and end reason.
"""

import argparse
import contextlib
import io
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
from tlids_edge.cli import meter

from tlids_helpers.common import files
from tlids_helpers.common.errors import InputError
from tlids_helpers.data.raw import SESSION_COLUMN

FOLDER = files.REPOSITORY / "data" / "testbed"
FILES = {"netflow": "testbed.parquet", "cicflow": "testbed-cicflow.parquet"}


@dataclass(frozen=True)
class Recording:
    """One session of the testbed, as its JSON file tells it."""

    name: str
    subnet: str
    packets: int
    hosts: list[dict]  # name, address, mac
    attacks: list[dict]  # name of the class, start and end in seconds since 1970, argv, attacker, victims and more


def recording(folder: Path, name: str) -> Recording:
    """What was planned and run in a session.

    Raises InputError when its JSON file is missing or no such file.
    """
    path = folder / f"{name}.json"
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        hosts = [{"name": host, **known} for host, known in told["hosts"].items()]
        return Recording(name, told["subnet"], told["packets"]["captured"], hosts, told["attacks"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"expected the story of a recording in {path}, found {error!r}: record it anew") from None


def sessions(folder: Path = FOLDER) -> list[str]:
    """The names of the recordings in `folder`, in order.

    Raises InputError when there are none.
    """
    names = sorted(path.name.removesuffix(".pcap.gz") for path in folder.glob("session*.pcap.gz"))
    if not names:
        raise InputError(f"expected session1.pcap.gz in {folder}, found none: record them with `make testbed`")
    return names


def meter_session(folder: Path, session: str, family: str, progress: Callable[[int], object] | None = None) -> pa.Table:
    """The labelled flows of one recording, (flows, columns), in the order in which they ended.

    `progress` is called with the number of packets metered. Raises InputError when the meter cannot read the capture
    or its labels.
    """
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "flows.csv"
        labels = folder / f"{session}.labels.csv"
        command = [folder / f"{session}.pcap.gz", "-o", target, "--family", family, "--labels", labels]
        with contextlib.redirect_stderr(io.StringIO()) as said:
            status = meter.main([str(word) for word in command], progress)
        if status:
            said = said.getvalue().strip()
            raise InputError(f"expected a capture and its labels in {folder}, but: {said} Record them anew")
        table = csv.read_csv(target)
    return table.append_column(SESSION_COLUMN, pa.array([session] * len(table)))


def write_flows(folder: Path = FOLDER) -> dict[str, int]:
    """Meter every recording in both families; returns file name -> flows. Each file appears whole or not at all.

    Raises InputError as `sessions` and `meter_session` do.
    """
    written = {}
    for family, name in FILES.items():
        table = pa.concat_tables(meter_session(folder, session, family) for session in sessions(folder))
        partial = folder / f".{name}.partial"
        pq.write_table(table, partial, compression="zstd")
        partial.replace(folder / name)
        written[name] = len(table)
    return written


def main() -> int:
    """Run the command; 0, or 2 with a sentence on standard error when a recording cannot be metered."""
    parser = argparse.ArgumentParser("python -m tlids_helpers.testbed", description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    try:
        for name, flows in write_flows(parser.parse_args().folder).items():
            print(f"{name}: {flows:,} flows")
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0
