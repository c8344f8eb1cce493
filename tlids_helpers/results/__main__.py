"""Turn all runs into one HTML page that loads nothing from the network: `python -m tlids_helpers.results`.

The page shows every run with its scores and whether its rows were simulated, and every executed notebook found there.
It is one file: send it, print it, read it on a phone.
"""

import argparse
import sys
from pathlib import Path

from tlids_edge import outputs

from tlids_helpers.common import files
from tlids_helpers.common.errors import InputError
from tlids_helpers.results import page


def main(arguments: list[str] | None = None) -> int:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(prog="python -m tlids_helpers.results", description=__doc__)
    parser.add_argument("--runs-dir", default="runs", help="folder of the runs and executed notebooks (default: runs)")
    parser.add_argument("--into", help="the page's file (default: report.html in the runs folder)")
    options = parser.parse_args(arguments)
    into = Path(options.into).expanduser() if options.into else files.resolve(options.runs_dir) / "report.html"
    try:
        made = page.build(options.runs_dir)
        page.write(made, into)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of a pipe has seen enough
        return 0
    where = sys.stderr if outputs.find(into).is_stream else sys.stdout  # not into the page
    print(f"{files.shown(into)}: {len(made.encode()) / 1e6:.1f} MB, one file", file=where)
    return 0


if __name__ == "__main__":
    sys.exit(main())
