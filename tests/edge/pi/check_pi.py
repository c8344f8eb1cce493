"""`make test-pi`: the package on Debian arm64 with systemd, from its installation to its removal, on an emulated Pi.

Exit status: 0 all checks passed; 1 one failed or was not run; 2 the emulation could not be set up. The result goes to
docs/results/test-pi.json after every check, so that a run which is broken off says what was not run.
"""

import argparse
import datetime
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cargo
import checks_faults as faults
import checks_home as home
import checks_install as install
import checks_rights as rights
import raspi
import system
from emulator import LIKE_RASPBERRY_PI_OS, CheckError, GoneError, Pi
from tlids_edge.errors import InputError

RESULT = cargo.REPOSITORY / "docs/results/test-pi.json"
PASSED, FAILED, NOT_RUN = "passed", "failed", "not run"
WHOLE = (
    ("boot to systemd", install.booted),
    ("kernel's memory control", install.memory_control),
    ("apt install, offline", install.installed),
    ("interface of the default route", install.default_route),
    ("rights of both processes", rights.confined),
    ("limits on memory", install.limits),
    ("owner and modes of files", rights.owned),
    ("changed model file", rights.pinned),
    ("probe in the unit's place", rights.probed),
    ("nmap from another host", install.scanned),
    ("Home Assistant's discovery at mosquitto", install.discovered),
    ("broker's password", rights.secret),
    ("kill -9 of the capture", faults.capture_killed),
    ("kill -9 of the program", faults.program_killed),
    ("interface gone and back", faults.interface_gone),
    ("log disk full", faults.disk_full),
    ("logrotate", faults.rotated),
    ("session 2 from a file", home.same_from_a_file),
    ("session 2 over the cable", home.same_on_the_cable),
    ("reboot while it learns", home.learned_over_a_reboot),
    ("learned and adapted", home.adapted),
    ("installed once more", install.upgraded),
    ("power cut and fsck", faults.power_cut),
    ("purge", install.purged),
)
SHORT = (*WHOLE[:10], ("purge", install.purged))
BOARD = (("boot of the board's model to a login", raspi.login),)
BOOTS = ((LIKE_RASPBERRY_PI_OS, WHOLE), ("", SHORT))
Check = tuple[str, Callable[[Pi], str]]


def main() -> int:
    """Set up, run every check of both boots, write down what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="WORD",
        help="checks with a word in their name, and always the first three; of the others the stored result stays",
    )
    parser.add_argument("--result", type=Path, default=RESULT, metavar="FILE")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that QEMU is ended too
    try:
        made = system.base(cargo.REPOSITORY / "build/pi")
        with tempfile.TemporaryDirectory(dir=made.folder, prefix="run-") as scratch:
            result = check(made, Path(scratch), options)
    except InputError as error:
        print(f"test-pi: {error}", file=sys.stderr)
        return 2
    return int(any(row["result"] != PASSED for boot in result["boots"] for row in boot["checks"]))


def check(made: system.System, scratch: Path, options: argparse.Namespace) -> dict:
    """Both boots, each on a fresh disk, and the board's model."""
    loaded = cargo.load(scratch)
    result = facts() | {"boots": [{"options": words or "none", "checks": planned(checks)} for words, checks in BOOTS]}
    result["boots"].append({"options": "raspi3b", "checks": planned(BOARD)})
    if options.only and options.result.is_file():
        take_over(result, json.loads(options.result.read_text()), options.only)
    for (words, checks), boot in zip(BOOTS, result["boots"], strict=False):
        pi = Pi(made, cargo.keep(made.disk, scratch / "disk.img"), loaded, scratch)
        try:
            boot["seconds"] = round(pi.start(words))
            print(f"booted with {words or 'no option'} in {boot['seconds']} s", flush=True)
            for number, (name, run) in enumerate(checks):
                if wanted(name, options.only) or number < 3:
                    go_on = one(pi, run, boot["checks"][number], must=number in (0, 2))
                    write(result, options.result)
                    if not go_on:
                        break
        except GoneError as gone:
            print(f"gone: {gone}", flush=True)
        finally:
            pi.end()
            write(result, options.result)
    if wanted(BOARD[0][0], options.only):
        disk = cargo.keep(made.disk, scratch / "disk.img")
        one(None, lambda _: raspi.login(made, disk, scratch), result["boots"][-1]["checks"][0], must=False)
        write(result, options.result)
    return result


def wanted(name: str, only: list[str] | None) -> bool:
    """Whether --only leaves this check in."""
    return not only or any(word in name for word in only)


def take_over(result: dict, before: dict, only: list[str]) -> None:
    """Into a result of which nothing was run yet: what an earlier run saw in the checks that --only leaves out."""
    boots = {boot["options"]: boot for boot in before["boots"]}
    for boot in result["boots"]:
        old = boots.get(boot["options"], {"checks": []})
        boot |= {name: old[name] for name in ("seconds",) if name in old}
        seen = {row["check"]: row for row in old["checks"]}
        for row in boot["checks"]:
            if not wanted(row["check"], only):
                row |= {name: value for name, value in seen.get(row["check"], {}).items() if name != "done"}


def one(pi: Pi | None, run: Callable[[Pi], str], row: dict, must: bool) -> bool:
    """Run one check into its row; whether later ones make sense."""
    began = time.monotonic()
    try:
        row |= {"seen": run(pi), "result": PASSED}
    except CheckError as failed:
        row |= {"seen": str(failed), "result": FAILED}
        if pi is not None and not isinstance(failed, GoneError):
            print(pi.run("journalctl -q --no-pager -n 40 -o short")[1], flush=True)
    row["seconds"] = round(time.monotonic() - began)
    print(f"{row['result']}: {row['check']}: {row['seen']} ({row['seconds']} s)", flush=True)
    return row["result"] == PASSED or not must and pi is not None and pi.running


def planned(checks: tuple[Check, ...]) -> list[dict]:
    """A row for each check, none of them run."""
    return [{"check": name, "done": run.__doc__.splitlines()[0], "seen": "", "result": NOT_RUN} for name, run in checks]


def facts() -> dict:
    """What the result was seen on."""
    version = system.run("qemu-system-aarch64", "--version").splitlines()[0].split("version ")[1].split()[0]
    return {"date": datetime.date.today().isoformat(), "emulator": f"QEMU {version}, cortex-a53, 4 cores, 1 GB, TCG"}


def write(result: dict, path: Path) -> None:
    """Beside it, then renamed."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(json.dumps(result, indent=1) + "\n")
    os.replace(beside, path)


if __name__ == "__main__":
    sys.exit(main())
