"""The command `python -m tlids_helpers.data`: list the datasets, get one, check what is on disk."""

import argparse
import difflib
import sys
from pathlib import Path

from tlids_helpers.common import files
from tlids_helpers.common.errors import InputError, quoted
from tlids_helpers.data import check, download, raw
from tlids_helpers.data.catalog import DATASETS, Dataset

BY_HAND = 3
DESCRIPTION = """\
The datasets of the paper, their version-2 relatives, and the testbed that the repository ships. `list` names them,
`get` downloads one or says how to, `check` says which files are on disk and whether they are the right ones."""
EPILOG = """\
examples:
  python -m tlids_helpers.data list
  python -m tlids_helpers.data get nf-bot-iot
  python -m tlids_helpers.data get nf-bot-iot --url https://example.org/NF-BoT-IoT.csv.zip
  python -m tlids_helpers.data check
  python -m tlids_helpers.data check nf-bot-iot --full

exit status:
  0    the files are there, or nothing on disk is wrong
  1    a file is not what it claims to be, or could not be fetched; standard error says why
  2    the command line is wrong
  3    get: there is no direct link, so the publisher's page, the file name and the folder were printed
  130  interrupted; the same command resumes a download"""
GET = """\
Download a dataset into data/raw, or say how to: most publishers have a form and no lasting direct link. An interrupted
download is resumed. The file gets its name after it has been checked. An existing file is kept, unless you add
--replace."""
CHECK = """\
Check the files of all datasets, or of those named: are they on disk, do they have the columns of their version, and the
known SHA-256? Where no SHA-256 is known, only --full finds a truncated file."""
SUBSET = "download it again, or add --allow-subset to accept a part of it"
"""What to do, where an InputError's own remedy names a parameter of the notebooks."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = _parse(arguments)
    try:
        options.data_dir = _data_dir(options)
        chosen = [find(slug) for slug in options.slugs] or list(DATASETS.values())
        return options.run(options, chosen)
    except InputError as error:
        print(_sentence(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def find(slug: str) -> Dataset:
    """The dataset of a slug, upper case or lower. Raises InputError for one that is not in the catalog."""
    if slug.casefold() in DATASETS:
        return DATASETS[slug.casefold()]
    near = difflib.get_close_matches(slug.casefold(), DATASETS, 1)
    hint = f"did you mean {near[0]}?" if near else "see `python -m tlids_helpers.data list`"
    raise InputError(f"expected a dataset of the catalog, found {slug!r}: {hint}")


def instructions(entry: Dataset, data_dir: Path) -> str:
    """How to get a dataset by hand: page, terms, file name, folder, as lines of text."""
    lines = [
        f"{entry.title}, {entry.total:,} rows: no direct link is known, so fetch it with a browser.",
        f"  page     {entry.page}",
        f"  terms    {entry.terms}",
        f"  file     {entry.file}{_version(entry)}; .csv.gz, .zip and .parquet of it are read too",
        f"  put into {data_dir / 'raw'}",
        f"  then     python -m tlids_helpers.data check {entry.slug}",
        f"If the page gives you a direct link: python -m tlids_helpers.data get {entry.slug} --url LINK",
    ]
    if entry.reported:
        lines.append("Reported by third parties; we have not downloaded any of them:")
        lines += [f"  {report}" for report in entry.reported]
    if entry.parts:
        lines.append(f"Or get its parts, and it is put together from them: {', '.join(entry.parts)}")
    return "\n".join(lines)


def table(rows: list[tuple], header: tuple) -> str:
    """Aligned columns of text; numbers to the right."""
    texts = [tuple(f"{c:,}" if isinstance(c, int) else str("-" if c is None else c) for c in row) for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *texts, strict=True)]
    right = [all(isinstance(c, int | None) for c in column) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(text.rjust(width) if is_number else text.ljust(width) for text, width, is_number in cells).rstrip()
        for cells in (zip(line, widths, right, strict=True) for line in (header, *texts))
    ]
    return "\n".join(lines)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    plain = {"formatter_class": argparse.RawDescriptionHelpFormatter}
    parser = argparse.ArgumentParser("python -m tlids_helpers.data", description=DESCRIPTION, epilog=EPILOG, **plain)
    commands = parser.add_subparsers(required=True, metavar="list | get | check")
    of_list = commands.add_parser("list", help="list the datasets, and which are on disk", **plain)
    of_get = commands.add_parser("get", help="download a dataset, or say how to", description=GET, **plain)
    of_check = commands.add_parser("check", help="check the files on disk", description=CHECK, **plain)
    of_list.set_defaults(run=_list, slugs=[])
    of_get.set_defaults(run=_get, full=None)  # as much reading as an answer takes
    of_check.set_defaults(run=_check)
    of_get.add_argument("slugs", nargs="+", metavar="SLUG", help="such as nf-bot-iot; `list` names them")
    of_get.add_argument("--url", default="", metavar="LINK", help="a direct link to the file, http or https")
    of_get.add_argument("--replace", action="store_true", help="replace an existing file by one that passes the check")
    of_check.add_argument("slugs", nargs="*", metavar="SLUG", help="which (default: all)")
    of_check.add_argument("--full", action="store_true", help="read each file to its end, count its classes (minutes)")
    for command in (of_get, of_check):
        command.add_argument("--allow-subset", action="store_true", help="accept a file with a part of the rows")
    for command in (of_list, of_get, of_check):
        command.add_argument("--data-dir", default="data", metavar="DIR", help="the folder with raw/ in it (data)")
    return parser.parse_args(arguments)


def _data_dir(options: argparse.Namespace) -> Path:
    """The data folder; one that somebody named must be there, or is made by `get`."""
    try:
        data_dir = files.resolve(options.data_dir)
    except OSError as error:
        fault = f"expected a folder at {quoted(options.data_dir)}, found: {error.strerror or error}"
        raise InputError(f"{fault}: correct --data-dir") from None
    if options.data_dir != "data" and options.run is not _get and not data_dir.is_dir():
        raise InputError(f"expected a folder at {data_dir}, found none: correct --data-dir")
    return data_dir


def _list(options: argparse.Namespace, chosen: list[Dataset]) -> int:
    rows = []
    for entry in chosen:
        path = _located(entry, options)
        rows.append((entry.slug, entry.total, len(entry.classes), path.name if path else "-", entry.page))
    print(table(rows, ("dataset", "rows", "classes", "here", "from")))
    return 0


def _get(options: argparse.Namespace, chosen: list[Dataset]) -> int:
    """One dataset that cannot be had does not keep the next from being fetched."""
    if options.url and len(chosen) > 1:
        raise InputError(f"expected one dataset with --url, found {len(chosen)}: name the one that the link leads to")
    statuses = []
    for entry in chosen:
        try:
            statuses.append(_get_one(entry, options))
        except InputError as error:
            print(_sentence(error), file=sys.stderr)
            statuses.append(1)
    return 1 if 1 in statuses else max(statuses)


def _get_one(entry: Dataset, options: argparse.Namespace) -> int:
    if entry.folder or (_located(entry, options) and not options.replace):
        return _kept(entry, options)
    url = options.url or entry.url
    if not url:
        print(instructions(entry, options.data_dir))
        return BY_HAND
    print(f"{entry.title}: {entry.terms}", flush=True)
    finding = download.obtain(entry, options.data_dir / "raw", url, options.allow_subset, options.replace)
    print(f"{files.shown(finding.path)}: {finding.size:,} bytes, {_verdict(finding)}")
    return 0


def _kept(entry: Dataset, options: argparse.Namespace) -> int:
    """Say of a file that is there what it is. Raises InputError where it is not what it claims to be."""
    finding = _looked_at(entry, options)
    if finding.verdict == check.WRONG:
        left = " (it was not changed; `get --replace` replaces it)" if finding.path else ""
        raise InputError(finding.fault + left)
    print(f"{entry.title} is already there: {files.shown(finding.path)}: {_verdict(finding)}")
    return 0


def _check(options: argparse.Namespace, chosen: list[Dataset]) -> int:
    found = [_looked_at(entry, options) for entry in chosen]
    print(table([_row(finding) for finding in found], ("dataset", "file", "bytes", "columns", "SHA-256", "rows", "is")))
    folder = options.data_dir / "raw"
    for name, near in ({} if options.slugs else check.unclaimed(folder)).items():
        print(f"{name} in {folder} has no published name{f': did you mean {near}?' if near else ''}")
    wrong = [finding for finding in found if finding.verdict == check.WRONG]
    for finding in wrong:
        print(f"{finding.slug}: {finding.fault}", file=sys.stderr)
    return 1 if wrong else 0


def _looked_at(entry: Dataset, options: argparse.Namespace) -> check.Finding:
    """What is where a dataset's file belongs; a fault is in the result, not raised. Shipped rows are always counted."""
    path = _located(entry, options)
    if path is None and check.from_parts(entry, options.data_dir / "raw"):
        return check.Finding(entry.slug, check.PARTS)
    if path is None and entry.folder:
        fault = f"expected the shipped {entry.slug}.parquet, found none: restore it with git"
        return check.Finding(entry.slug, check.WRONG, fault=fault)
    try:
        if options.full is None:
            return download.settled(path, entry, options.allow_subset)
        return check.check(path, entry, options.full or bool(entry.folder), options.allow_subset)
    except InputError as error:
        size = path.stat().st_size if path.is_file() else None
        return check.Finding(entry.slug, check.WRONG, path, size, fault=_sentence(error))


def _located(entry: Dataset, options: argparse.Namespace) -> Path | None:
    return raw.locate_file(entry, raw.folder_of(entry, options.data_dir))


def _sentence(error: InputError) -> str:
    """What is wrong; a remedy that is a parameter in a notebook is an option here."""
    return f"{error.fault}: {SUBSET}" if error.remedy else str(error)


def _row(finding: check.Finding) -> tuple:
    version = _version(DATASETS[finding.slug])
    columns = f"{finding.columns}{version}" if finding.columns else None
    name = finding.path.name if finding.path else None
    return (finding.slug, name, finding.size, columns, finding.sha256 or None, finding.rows, finding.verdict)


def _verdict(finding: check.Finding) -> str:
    return "the known SHA-256" if finding.rows is None else f"{finding.rows:,} rows, {finding.verdict}"


def _version(entry: Dataset) -> str:
    return f", version {entry.version}" if entry.family == "netflow" else ""


if __name__ == "__main__":
    sys.exit(main())
