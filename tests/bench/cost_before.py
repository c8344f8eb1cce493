"""What the security work costs a packet: CPU time of the whole program beside that of the commit before it.

    python tests/bench/cost_before.py --model DIR [--runs N] [--store COMMAND]

The three (before, now, and now with Python's meter) take turns, so other work on the machine meets all of them; of each
the least time counts, less that of a capture without packets. Needs the commit in the repository's history.
"""

import argparse
import os
import struct
import subprocess
import sys
import tarfile
import tempfile
from collections import defaultdict
from pathlib import Path

import kept

BEFORE = "3278ee4"
REPOSITORY = Path(__file__).resolve().parents[2]
CAPTURES = {
    "benign": REPOSITORY / "data/second-home/session1.pcap.gz",
    "attacked": REPOSITORY / "data/testbed/session2.pcap.gz",
}
NO_PACKETS = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1)


def main() -> None:
    """Measure, print, and perhaps store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder with model.tflite and card.json")
    parser.add_argument("--runs", type=int, default=7, help="of each program on each capture")
    parser.add_argument("--store", metavar="COMMAND", help="put the ratios into docs/results/edge.json, as its outcome")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        unpack(BEFORE, Path(folder))
        empty = Path(folder, "empty.pcap")
        empty.write_bytes(NO_PACKETS)
        ways = {"before": (Path(folder, "edge"), {}), "now": (REPOSITORY / "edge", {}),
                "python": (REPOSITORY / "edge", {"TLIDS_CORE": "off"})}  # fmt: skip
        least: dict[tuple[str, str], float] = defaultdict(lambda: float("inf"))
        for _ in range(options.runs):
            for name, capture in {"start": empty, **CAPTURES}.items():
                for way, (code, switches) in ways.items():
                    least[name, way] = min(least[name, way], cpu_seconds(code, switches, options.model, capture))
    figures = {}
    for name in CAPTURES:
        net = {way: least[name, way] - least["start", way] for way in ways}
        for way in ("now", "python"):
            figures[f"cost-{name}-{way}"] = f"{net[way] / net['before']:.2f}"
            print(f"{name}, {way}: {net[way]:.2f} s CPU, {net[way] / net['before']:.2f} times {BEFORE}'s")
    if options.store:
        kept.keep_edge("cost", options.store, figures | {"cost-before": BEFORE})


def unpack(commit: str, folder: Path) -> None:
    """Put the edge program of a commit into a folder."""
    packed = subprocess.run(["git", "archive", commit, "edge"], cwd=REPOSITORY, check=True, capture_output=True)
    with tempfile.TemporaryFile() as file:
        file.write(packed.stdout)
        file.seek(0)
        with tarfile.open(fileobj=file) as archive:
            archive.extractall(folder, filter="data")


def cpu_seconds(code: Path, switches: dict[str, str], model: Path, capture: Path) -> float:
    """CPU seconds of one program on one capture."""
    argv = [sys.executable, "-m", "tlids_edge.cli.edge", "--model", str(model.resolve()), "--source", str(capture)]
    environment = {**os.environ, **switches, "PYTHONPATH": str(code), "PYTHONHASHSEED": "0"}
    program = subprocess.Popen(
        [*argv, "--eve", os.devnull, "--eve-max-mb", "0"], env=environment, cwd="/",
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    _, status, used = os.wait4(program.pid, 0)
    program.returncode = os.waitstatus_to_exitcode(status)
    if program.returncode:
        raise SystemExit(f"expected {code} to read {capture}, found exit status {program.returncode}")
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
