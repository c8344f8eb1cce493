"""What must not be committed: large files, and notebooks that were not run from top to bottom.

`python tests/guards/before_commit.py [FILE ...]`, all tracked files by default; one line for each fault, and exit
status 1 if there is one. Needs nothing but Python. pre-commit runs it (.pre-commit-config.yaml).
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

MB = 1_000_000
LIMITS = {"data/testbed/*.pcap.gz": 5 * MB, "data/second-home/*.pcap.gz": 7 * MB, "*.ipynb": 3 * MB, "*": 1 * MB}
"""Path -> bytes at most; the first pattern that fits. A notebook's figures are in it."""


def faults(path: str, root: Path) -> Iterator[str]:
    """What is wrong with one file, in sentences; `path` is as git has it, from `root`."""
    file = root / path
    if not file.is_file():  # deleted, or a submodule
        return
    limit = next(size for pattern, size in LIMITS.items() if fnmatch(path, pattern))
    if file.stat().st_size > limit:
        yield (
            f"{path}: expected at most {limit:,} bytes, found {file.stat().st_size:,}: keep data in data/raw and "
            "results in runs/, which git ignores"
        )
    if file.suffix == ".ipynb":
        yield from (f"{path}: {fault}" for fault in notebook_faults(file.read_text(encoding="utf-8")))


def notebook_faults(text: str) -> Iterator[str]:
    """What is wrong with a notebook: unreadable, a cell not run in its turn, an error among the outputs."""
    try:
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
        counts = [cell["execution_count"] for cell in cells]
        errors = [o["ename"] for cell in cells for o in cell["outputs"] if o["output_type"] == "error"]
    except (ValueError, KeyError, TypeError) as error:
        yield f"expected a notebook, found something else ({type(error).__name__}: {error}): restore it with git"
        return
    wrong = [(turn, count) for turn, count in enumerate(counts, 1) if count != turn]
    if wrong:
        turn, count = wrong[0]
        found = f"number {count}" if count else "one that was never run"
        yield f"expected code cell {turn} to be run as number {turn}, found {found}: run `make notebooks`"
    if errors:
        yield f"expected no error among the outputs, found {errors[0]}: correct the cell and run `make notebooks`"


def main(paths: list[str]) -> int:
    """Print the faults of `paths`, or of every tracked file."""
    git = subprocess.run(["git", "rev-parse", "--show-toplevel"], capture_output=True, text=True, check=True)
    root = Path(git.stdout.strip())
    tracked = ["git", "ls-files", "-z"]
    named = paths or subprocess.run(tracked, cwd=root, capture_output=True, text=True, check=True).stdout.split("\0")
    found = [fault for path in named if path for fault in faults(path, root)]
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
