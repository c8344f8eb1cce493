"""`make test-arm`: meter and detector under aarch64 emulation give what they give on x86-64, flow by flow.

Exit status: 0 all equal; 1 something differs; 2 the comparison could not be made (one sentence says why). The first run
downloads Debian trixie's packages and QEMU into build/arm; later runs use what is there.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from compare import TOLERANCE, Comparison, compare, read_events, read_rows, read_verdicts
from machine import Machine, edge_for_arm, emulated, emulator_version, native, set_up
from tlids_edge.errors import InputError

REPOSITORY = Path(__file__).resolve().parents[3]
EDGE = REPOSITORY / "edge"
SHOWN = 10  # differences of each kind


def main() -> int:
    """Set up, run both, compare, report."""
    options = parse()
    try:
        check_input(options)
        folder = set_up(REPOSITORY / "build" / "arm", REPOSITORY / "requirements.lock")
        with tempfile.TemporaryDirectory(prefix="tlids-arm-") as outputs:
            ours, theirs = Path(outputs, "x86-64"), Path(outputs, "aarch64")
            here = run(native(EDGE), options, ours)
            edge = edge_for_arm(EDGE, Path(outputs, "edge"))
            arm = run(emulated(folder, edge, options.cpu), options, theirs)
            check_machines(here, arm)
            comparisons = compare_all(ours, theirs)
            print(f"capture {options.capture.name}, model {options.model.name}")
            print(f"x86-64: {versions(here)}")
            print(f"aarch64: {versions(arm)}; {options.cpu} by qemu-aarch64 {emulator_version(folder)}")
    except InputError as error:
        print(f"test-arm: {error}", file=sys.stderr)
        return 2
    report(comparisons)
    print(f"seconds: x86-64 {here['seconds']:.1f}, aarch64 emulated {arm['seconds']:.1f}")
    return int(any(comparison.differences for comparison in comparisons))


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capture", type=Path, default=REPOSITORY / "data" / "testbed" / "session2.pcap.gz")
    parser.add_argument("--model", type=Path, default=EDGE / "models" / "testbed")
    parser.add_argument(
        "--cpu", default="cortex-a53", help="the Pi 3's; cortex-a72 is the Pi 4's, cortex-a76 the Pi 5's"
    )
    return parser.parse_args()


def check_input(options: argparse.Namespace) -> None:
    """See before any download that there is something to run.

    Raises:
        InputError: this is no x86-64 Linux, or capture or model are not there.
    """
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        found = f"{sys.platform} on {platform.machine()}"
        raise InputError(f"expected Linux on x86-64 to compare with, found {found}: run this on such a machine")
    if not options.capture.is_file():
        raise InputError(f"expected a capture {options.capture}, found none: give one with CAPTURE=FILE")
    if not (options.model / "card.json").is_file():
        raise InputError(f"expected a model in {options.model}, found no card.json: give one with MODEL=DIR")


def run(machine: Machine, options: argparse.Namespace, folder: Path) -> dict:
    """Run meter and detector on one machine into `folder`; what it is, and its wall-clock seconds."""
    folder.mkdir()
    capture, model = str(options.capture.resolve()), str(options.model.resolve())
    limit, started = 3600, time.monotonic()
    meter = ["-m", "tlids_edge.cli.meter", capture, "-o", str(folder / "flows.csv"), "--family", "both"]
    edge = [
        "-m",
        "tlids_edge.cli.edge",
        "--model",
        model,
        "--source",
        capture,
        "--all-flows",
        "--flow-alerts",
        "all",
        "--eve-max-mb",
        "0",
    ]
    judge = [str(Path(__file__).with_name("judge_flows.py")), capture, model, str(folder / "verdicts.json")]
    machine.run(meter, limit)
    machine.run([*edge, "--eve", str(folder / "eve.json")], limit)
    said = json.loads(machine.run(judge, limit))
    return said | {"seconds": time.monotonic() - started}


def check_machines(here: dict, arm: dict) -> None:
    """See that there are two machines, with the same nDPI.

    Raises:
        InputError: the comparison would say nothing.
    """
    if arm["machine"] != "aarch64":
        raise InputError(f"expected an aarch64 Python under emulation, found {arm['machine']}: remove build/arm")
    if here["nDPI"] is None or here["nDPI"] != arm["nDPI"]:
        raise InputError(f"expected nDPI {arm['nDPI']} here as there, found {here['nDPI']}: run `make system` as root")
    for machine in (here, arm):
        if machine["meter"] != "compiled":
            raise InputError(
                f"expected the compiled meter on {machine['machine']}, found {machine['meter']}: `make core`"
            )


def compare_all(ours: Path, theirs: Path) -> list[Comparison]:
    """Compare the three files that each machine wrote."""
    kinds = [
        ("flow rows", read_rows, "flows.csv"),
        ("verdicts", read_verdicts, "verdicts.json"),
        ("EVE events", read_events, "eve.json"),
    ]
    found = [compare(what, read(ours / name), read(theirs / name)) for what, read, name in kinds]
    found[0].what += f" ({known_applications(ours / 'flows.csv')} with an L7_PROTO)"
    found[1].what += f" ({likeliest(ours / 'verdicts.json')})"
    return found


def known_applications(path: Path) -> int:
    """How many flows nDPI has named, so that equal ids are not all zeros."""
    return sum(float(entry.exact["L7_PROTO"]) != 0 for entry in read_rows(path).values())


def likeliest(path: Path) -> str:
    """How many flows each class is the likeliest for, so that equal verdicts are not all one."""
    counts = Counter(entry.exact["likeliest"] for entry in read_verdicts(path).values())
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())


def versions(machine: dict) -> str:
    """Libraries of a machine, as one phrase."""
    return ", ".join(f"{name} {machine[name]}" for name in ("meter", "Python", "numpy", "ai-edge-litert", "nDPI"))


def report(comparisons: list[Comparison]) -> None:
    """Print counts, then the first differences."""
    for found in comparisons:
        apart = "" if found.largest is None else f"; probabilities {found.largest:.1e} apart at most"
        print(f"{found.what}: {found.compared} compared, {len(found.differences)} differ{apart}")
        for difference in found.differences[:SHOWN]:
            print(f"  {difference}")
    print(f"tolerance of a probability {TOLERANCE:g} (EVE lines round to 1e-06)")


if __name__ == "__main__":
    sys.exit(main())
