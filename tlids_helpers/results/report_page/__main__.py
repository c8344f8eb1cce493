"""Turn all runs into one HTML page that needs no network: `python -m tlids_helpers.results.report_page`.

The page shows what was run and what of it was simulated, the paper's tables beside ours, figures, what the executed
audit and testbed notebooks found, and versions. It is one file: send it, print it, read it on a phone.
"""

import argparse
import sys
from pathlib import Path

import matplotlib

from tlids_helpers.common import files
from tlids_helpers.common.errors import InputError
from tlids_helpers.results.report_page import page


def main(arguments: list[str] | None = None) -> int:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(prog="python -m tlids_helpers.results.report_page", description=__doc__)
    parser.add_argument("--runs-dir", default="runs", help="folder of the runs and executed notebooks (default: runs)")
    parser.add_argument("--into", help="the page's file (default: report.html in the runs folder)")
    options = parser.parse_args(arguments)
    into = Path(options.into).expanduser() if options.into else files.resolve(options.runs_dir) / "report.html"
    matplotlib.use("Agg")  # figures go into the page, to no screen
    try:
        made = page.build(options.runs_dir)
        page.write(made, into)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{files.shown(into)}: {len(made.encode()) / 1e6:.1f} MB, one file")
    return 0


if __name__ == "__main__":
    sys.exit(main())
