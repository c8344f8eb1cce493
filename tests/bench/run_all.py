"""`make bench`: run every benchmark, one after the other, and write docs/benchmarks.md, .json and docs/growth.png.

    python tests/bench/run_all.py                      everything
    python tests/bench/run_all.py training export      those two again, keeping the rest
    python tests/bench/run_all.py --gpu FILE           what on_a_gpu.py left on a machine with a GPU, put on the page
    python tests/bench/run_all.py --from-json          the page and the figure again, from benchmarks.json

What each script says on standard error is kept under build/bench/logs. A part that fails says so on the page.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import machine
from growth_plot import growth_figure
from lines import HOME, REPOSITORY
from page import PARTS, page

from tlids_helpers.common import files
from tlids_helpers.common.errors import InputError

BENCH = Path(__file__).resolve().parent
LIMIT_S = 3 * 3600  # a part that takes longer hangs


def main(arguments: list[str] | None = None) -> int:
    """The command line; see --help. Returns 1 when a part failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"among {', '.join(PARTS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="a smoke run, into build/bench/quick")
    parser.add_argument("--from-json", action="store_true", help="measure nothing, write the page again")
    parser.add_argument("--gpu", type=Path, metavar="FILE", help="measure nothing, take on_a_gpu.py's lines from FILE")
    parser.add_argument("--into", type=Path, help="folder of the page; default: docs")
    options = parser.parse_args(arguments)
    into = options.into or (HOME / "quick" if options.quick else REPOSITORY / "docs")
    measured = () if options.from_json or options.gpu else options.parts or PARTS
    try:
        refuse_unknown(options.parts)
        results = read(into, must_exist=options.from_json)
        if options.gpu:
            results["gpu"] = from_gpu(options.gpu)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    where = {"quick": options.quick, "machine": machine.describe(), "load": os.getloadavg()[0]}
    try:
        for part in measured:
            print(f"{part} ...", flush=True)
            results[part] = where | run_part(BENCH / f"bench_{part}.py", options.quick, HOME / "logs")
            print(f"{part}: {told(results[part])}", flush=True)
    finally:  # what was measured is kept, also when somebody lost patience
        write(results, into)
    print(files.shown(into / "benchmarks.md"))
    return int(any(results[part]["failure"] for part in measured))


def told(result: dict) -> str:
    """How a part went, for the terminal."""
    failed = f"failed, {result['failure']}; all it said is in {files.shown(HOME / 'logs')}"
    return f"{failed if result['failure'] else 'done'} ({result['seconds']:.0f} s)"


def refuse_unknown(parts: list[str]) -> None:
    """Raise InputError for a part that no script measures."""
    if unknown := [part for part in parts if part not in PARTS]:
        raise InputError(f"expected parts among {', '.join(PARTS)}, found {', '.join(unknown)}: correct them")


def run_part(script: Path, quick: bool, logs: Path) -> dict:
    """Run a part's script to its end: what it printed, how long it took, and why it failed ("" if it did not)."""
    logs.mkdir(parents=True, exist_ok=True)
    said, log = logs / f"{script.stem}.jsonl", logs / f"{script.stem}.log"
    began = time.monotonic()
    with said.open("w") as out, log.open("w") as err:
        failure = run_script([sys.executable, str(script), *(["--quick"] if quick else [])], out, err)
    if failure:
        failure += f": {last_words(log.read_text(errors='replace'))}"
    return {"seconds": time.monotonic() - began, "failure": failure, "lines": parse(said.read_text())}


def run_script(command: list[str], out, err, limit_s: float = LIMIT_S) -> str:
    """Run a command in a process group of its own, of which nothing is left behind; returns why it failed, or ""."""
    with subprocess.Popen(command, stdout=out, stderr=err, cwd=REPOSITORY, start_new_session=True,
                          env={**os.environ, "TQDM_DISABLE": "1"}) as process:  # fmt: skip
        try:
            status = process.wait(limit_s)
            return f"exit status {status}" if status else ""
        except subprocess.TimeoutExpired:
            return f"not done after {limit_s:,.0f} s"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def parse(said: str) -> list[dict]:
    """The lines of the protocol in what a script printed; what a library printed between them is left out."""
    found = []
    for line in said.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return [line for line in found if isinstance(line, dict) and ("part" in line or "growth" in line)]


def last_words(said: str) -> str:
    """The last line of a log, with folders cut off its paths: the page is for everybody."""
    spoken = [line.strip() for line in said.splitlines() if line.strip()]
    return re.sub(r"(?<![\w.])/(?:[^\s/'\"]+/)*", "", spoken[-1]).rstrip(".") if spoken else "without a word"


def read(into: Path, must_exist: bool = False) -> dict[str, dict]:
    """Earlier results. Raises InputError when they must be there and are not, or cannot be read."""
    file = into / "benchmarks.json"
    if not file.is_file() and not must_exist:
        return {}
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        found = f"expected results in {files.shown(file)}, found none ({error})"
        raise InputError(f"{found}: move the file away and measure again") from None


def from_gpu(file: Path) -> dict:
    """The lines that on_a_gpu.py left, as a part of its own. Raises InputError for anything else."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
        machine = {"processor": found["lines"][0]["on"], "versions": versions}
        return {"quick": found["quick"], "failure": "", "lines": found["lines"], "machine": machine}
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise InputError(
            f"expected what on_a_gpu.py left in {files.shown(file)}, found none ({error}): run it on a GPU"
        ) from None


def write(results: dict[str, dict], into: Path) -> None:
    """The raw lines, the figure and the page, each whole or not at all."""
    into.mkdir(parents=True, exist_ok=True)
    points = [line for result in results.values() for line in result["lines"] if "growth" in line]
    smoke = "smoke run" if any(result["quick"] for result in results.values()) else ""
    put(into / "benchmarks.json", lambda file: file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8"))
    put(into / "growth.png", lambda file: growth_figure(points, smoke).savefig(file, dpi=110, format="png"))
    put(into / "benchmarks.md", lambda file: file.write_text(page(results), encoding="utf-8"))


def put(path: Path, make) -> None:
    """Write beside, then rename."""
    partial = path.with_name(f".{path.name}.partial")
    make(partial)
    partial.replace(path)


if __name__ == "__main__":
    sys.exit(main())
