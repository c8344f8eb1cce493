"""Open one raw flow file (CSV, CSV.gz, zip member or Parquet) and stream it in batches of fixed size.

Nothing here judges values: columns are found under their known spellings, lines that are no rows are
counted and left out, and every batch holds text (CSV) or whatever the Parquet file holds.
"""

import csv as words
import difflib
import functools
import os
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq

from tlids_helpers.common import files
from tlids_helpers.common.errors import QUOTED, InputError, quoted
from tlids_helpers.data import lines
from tlids_helpers.data.catalog import DATASETS, FEATURES, SPELLINGS, VERSION_MARKS, Dataset, unversioned
from tlids_helpers.data.parquet import plain, stream_parquet

BLOCK_BYTES = 8 << 20  # of CSV text per batch
HEAD_BYTES = 64 << 10  # searched for the header line
LABEL_NAMES = ("Attack", "Label", "Cat")  # tried in this order for a user's own file
PART_COLUMN = "Dataset"  # of NF-UQ-NIDS: which part a row comes from
SESSION_COLUMN = "Session"  # of the testbed: in which recording a row was made
START_COLUMN = "FLOW_START_MILLISECONDS"  # of version 3: when a flow began
KEPT_COLUMNS = (PART_COLUMN, SESSION_COLUMN, START_COLUMN)
TIME_COLUMN = "Time"  # of a user's own file with sessions: one of TIME_NAMES, which tells their order
TIME_NAMES = (
    "FIRST_SWITCHED_MS", "FLOW_START_MILLISECONDS", "FIRST_SWITCHED", "FLOW_START", "Timestamp", "ts", "Stime",
    "StartTime", "Time",
)  # fmt: skip
NO_FEATURES = (
    "Flow_ID", "Src_IP", "Dst_IP", "Timestamp", "Label", "Attack", "Cat", "Sub_Cat", *KEPT_COLUMNS,
    "IPV4_SRC_ADDR", "IPV4_DST_ADDR", "FIRST_SWITCHED_MS", "LAST_SWITCHED_MS", "SRC_MAC", "DST_MAC", "END_REASON",
    "Unnamed: 0",  # pandas' row number: it would tell the class of a sorted file
)  # fmt: skip
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
NO_TEXT = {
    "PK\x03\x04": ("an Excel workbook or a zip archive", "save it as CSV, or give it the ending .zip"),
    "PAR1": ("a Parquet file", "give it the ending .parquet"),
    "\x1f\ufffd": ("a gzip file", "give it the ending .csv.gz"),
    "\ufffd": ("no UTF-8 text", "save it as CSV in UTF-8"),
}
"""First characters of a file that is no CSV -> what it is, and what to do."""
READ_ERRORS = (OSError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError)  # the last: an encrypted zip member


@dataclass(frozen=True)
class Allowed:
    """What a user allows that preparation otherwise refuses."""

    subset: bool = False  # fewer rows than were published
    loss: float = 0.01  # the share of a file's lines that may be dropped

    def __post_init__(self) -> None:
        """Raise InputError for a loss that is no share."""
        if isinstance(self.loss, str) or not 0 <= self.loss <= 1:
            raise InputError(f"expected allow_loss to be a share from 0 to 1, found {quoted(self.loss)}: correct it")


AS_PUBLISHED = Allowed()
SUBSET = Allowed(subset=True)


@dataclass
class FlowFile:
    """A raw file that has been looked at: where its columns are, and what stood before them."""

    path: Path
    family: str
    columns: list[str]  # as the file spells them
    # our name -> the file's: the nine features, "Attack", and those of KEPT_COLUMNS that are there
    found: dict[str, str] = field(default_factory=dict)
    member: str = ""  # inside a zip
    extras: tuple[str, ...] = ()  # CICFlowMeter: the other columns, from which nine could be chosen instead
    lines_before: int = 0  # before the header
    html_lines: int = 0
    html_before: int = 0  # of them, before the header
    bom: bool = False
    time: str = ""  # the column that tells the order of sessions, in a user's own file
    malformed: int = 0  # lines with another number of fields than the header; known after reading
    lines: Counter = field(default_factory=Counter)  # of a CSV, by their fate (lines.py); known after reading

    @property
    def features(self) -> tuple[str, ...]:
        """The family's nine features, in the paper's order."""
        return FEATURES[self.family]

    @property
    def renamed(self) -> dict[str, str]:
        """Columns the file spells otherwise than we do, its label column aside."""
        return {name: spelling for name, spelling in self.found.items() if name not in (spelling, "Attack")}


def normal(name: str) -> str:
    """A column name without what never matters: case, blanks, underscores, a byte-order mark, quotes."""
    return re.sub(r"[\s_]+", "", name.replace("\ufeff", "").strip(' "')).casefold()


def find_column(name: str, columns: list[str]) -> str | None:
    """The file's spelling of our column `name`, or None."""
    wanted = [normal(spelling) for spelling in (name, *SPELLINGS.get(name, ()))]
    return next((column for column in columns if normal(column) in wanted), None)


def folder_of(dataset: Dataset, data_dir: Path) -> Path:
    """The folder a dataset's file belongs in: data/raw, or the repository's own for what is shipped."""
    return files.REPOSITORY / "data" / dataset.folder if dataset.folder else data_dir / "raw"


def locate_file(dataset: Dataset, folder: Path) -> Path | None:
    """The dataset's file in `folder`: its published names, with .gz or .zip, or as Parquet."""
    stems = (dataset.file.removesuffix(".csv"), *dataset.also)
    names = [f"{stem}{ending}" for stem in stems for ending in (".csv", ".csv.gz", ".csv.zip", ".zip", ".parquet")]
    by_name = {path.name.casefold(): path for path in _listed(folder)}
    return next((by_name[name.casefold()] for name in names if name.casefold() in by_name), None)


def _listed(folder: Path) -> list[Path]:
    """What is in a folder; nothing where there is none. A folder that may not be read is not taken for an empty one."""
    try:
        return [folder / name for name in os.listdir(folder)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except PermissionError:
        raise InputError(
            f"expected to look into {folder}, found no permission: allow reading it, or give another data_dir"
        ) from None


def check_permission(path: Path) -> None:
    """Raises InputError for a file that is there and may not be read: that is not absence, nor damage."""
    try:
        path.open("rb").close()
    except PermissionError:
        raise InputError(
            f"expected to read {path}, found no permission: allow reading it (chmod u+r), or give another file"
        ) from None
    except OSError:  # whatever else is wrong with it is said where it is read
        return


def inspect(path: Path, dataset: Dataset | None = None) -> FlowFile:
    """Look at a file's header; `dataset` is what it claims to be, None for a user's own file.

    Raises InputError for an empty file, an HTML page, another version or family, a missing column.
    """
    check_permission(path)
    file = _inspect_parquet(path) if _ending(path) == ".parquet" else _inspect_csv(path, dataset)
    file.family = _family(file, dataset)
    if dataset is not None:
        _check_version(file, dataset)
    label = _column((dataset.label,) if dataset else LABEL_NAMES, file.columns, path.name)
    file.found = {name: _column((name,), file.columns, path.name) for name in file.features}
    kept = {name: find_column(name, file.columns) for name in KEPT_COLUMNS}
    file.found |= {"Attack": label} | {name: spelled for name, spelled in kept.items() if spelled}
    if dataset is None and SESSION_COLUMN in file.found:
        file.time = next(filter(None, (find_column(name, file.columns) for name in TIME_NAMES)), "")
    if file.family == "cicflow":
        taken = {normal(name) for name in (*NO_FEATURES, *file.found, *file.found.values())}
        file.extras = tuple(dict.fromkeys(c for c in file.columns if c.strip() and normal(c) not in taken))
    return file


def read_batches(file: FlowFile) -> Iterator[pa.RecordBatch]:
    """Stream the found columns under our names and the extras under the file's; memory stays at one batch."""
    names = [*file.found, *([TIME_COLUMN] if file.time else []), *file.extras]
    batches = _parquet_batches if _ending(file.path) == ".parquet" else _csv_batches
    for batch, spelled in batches(file, [*file.found.values(), *filter(None, [file.time]), *file.extras]):
        columns = [
            plain(batch.column(column), column, file.path.name, name == "Attack")
            if column
            else pa.nulls(len(batch), pa.string())
            for name, column in zip(names, spelled, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(columns, names=names)


def _ending(path: Path) -> str:
    return path.suffix.casefold()


def _family(file: FlowFile, dataset: Dataset | None) -> str:
    """The feature family the columns belong to, by how many of each family's nine are there."""
    counts = {family: sum(find_column(n, file.columns) is not None for n in nine) for family, nine in FEATURES.items()}
    family = max(counts, key=counts.get)
    if dataset is not None and family != dataset.family and counts[family] > counts[dataset.family]:
        raise InputError(
            f"expected {dataset.title}, a {dataset.family} dataset, found the columns of the {family} family in "
            f"{file.path.name}: give its own slug, or put {dataset.file} there"
        )
    return dataset.family if dataset else family


def _check_version(file: FlowFile, dataset: Dataset) -> None:
    found = next((v for mark, v in VERSION_MARKS.items() if find_column(mark, file.columns)), 1)
    if dataset.family == "netflow" and found != dataset.version:
        other = unversioned(dataset.slug) + (f"-v{found}" if found > 1 else "")
        hint = f"use the slug {other} for it" if other in DATASETS else "give its path instead"
        raise InputError(
            f"expected version {dataset.version} of {unversioned(dataset.title)}, found that {file.path.name} "
            f"has the columns of version {found}: {hint}, or put {dataset.file} there"
        )


def _column(names: tuple[str, ...], columns: list[str], where: str) -> str:
    """The spelling of the first of `names` that is among `columns`. Raises InputError where none is."""
    if spelled := next(filter(None, (find_column(name, columns) for name in names)), None):
        return spelled
    name = names[0]
    near = difflib.get_close_matches(normal(name), [normal(c) for c in columns], 1, cutoff=0.5)
    spelled = next((c.strip() for c in columns if near and normal(c) == near[0]), None)
    hint = f"the nearest is {quoted(spelled)}" if spelled else f"its {len(columns)} columns hold nothing like it"
    raise InputError(
        f"expected a column {name!r} in {where}, found none ({hint}): "
        "rename the column, or give a file with all nine features and an 'Attack' column"
    )


def _inspect_parquet(path: Path) -> FlowFile:
    try:
        return FlowFile(path, "", pq.read_schema(path).names)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(
            f"expected a Parquet file, found that {path.name} cannot be read as one ({_first_line(error)}): download "
            "it again, or give it the ending of what it is"
        ) from None


def _inspect_csv(path: Path, dataset: Dataset | None) -> FlowFile:
    """Find the header: the first line with the label and a feature in it, whatever stands before."""
    member = _zip_member(path, dataset) if _ending(path) == ".zip" else ""
    text = _head(path, member)
    rows = re.split(r"\r\n|\r|\n", text)
    if not text.strip("\ufeff \r\n"):
        raise InputError(f"expected flows in {path.name}, found an empty file: download it again")
    for number, line in enumerate(rows):
        columns = _header(line, ",")
        if columns:
            html = sum(before.lstrip("\ufeff ").startswith("<") for before in rows[:number])
            bom = any("\ufeff" in before for before in rows[: number + 1])
            return FlowFile(
                path, "", columns, member=member, lines_before=number, html_lines=html, html_before=html, bom=bom
            )
    raise _no_flows(path, text, rows)


def _header(line: str, separator: str) -> list[str]:
    """The column names in a line, or none when it is no header: two of our columns must be in it."""
    quoted_rightly = '"' in line and line.count('"') % 2 == 0  # then a comma may be part of a name
    columns = next(words.reader([line], delimiter=separator)) if quoted_rightly else line.split(separator)
    columns = [column.strip('"\ufeff') for column in columns]
    return columns if len({normal(column) for column in columns} & _known()) >= 2 else []


@functools.cache
def _known() -> set[str]:
    """Our features in all their spellings."""
    return {normal(n) for nine in FEATURES.values() for name in nine for n in (name, *SPELLINGS.get(name, ()))}


def _no_flows(path: Path, text: str, rows: list[str]) -> InputError:
    """What a file without a header line is instead."""
    if re.match(r"\s*<(!doctype|html|head|\?xml)", text.lstrip("\ufeff"), re.IGNORECASE):
        return InputError(f"expected flows in {path.name}, found a web page saved under that name: download it again")
    for start, (what, remedy) in NO_TEXT.items():
        if text.startswith(start):
            return InputError(f"expected CSV text in {path.name}, found {what}: {remedy}")
    for separator, word in SEPARATORS.items():
        if any(_header(line, separator) for line in rows):
            return InputError(f"expected commas between the columns of {path.name}, found {word}: save it with commas")
    return InputError(
        f"expected a header line with flow columns in {path.name}, found {quoted(rows[0])} first: "
        "give a CSV file with column names"
    )


def _zip_member(path: Path, dataset: Dataset | None) -> str:
    """The one CSV inside; with several, the one with the dataset's published name."""
    try:
        names = [name for name in zipfile.ZipFile(path).namelist() if name.casefold().endswith(".csv")]
    except (zipfile.BadZipFile, OSError):
        raise InputError(
            f"expected a zip archive, found {path.name}, another file or one cut off: download it again"
        ) from None
    names = [name for name in names if "__MACOSX" not in name]
    exact = [name for name in names if dataset and Path(name).name.casefold() == dataset.file.casefold()]
    if len(exact or names) != 1:
        raise InputError(f"expected one CSV in {path.name}, found {len(names)}: unpack it and give the file itself")
    return (exact or names)[0]


def _open(path: Path, member: str) -> pa.NativeFile:
    if member:
        return pa.PythonFile(zipfile.ZipFile(path).open(member), mode="r")
    return pa.input_stream(path, compression="gzip" if _ending(path) == ".gz" else None)


def _head(path: Path, member: str) -> str:
    try:
        with _open(path, member) as stream:
            return stream.read(HEAD_BYTES).decode("utf-8", errors="replace")
    except FileNotFoundError:
        raise InputError(f"expected a flow file at {path}, found none: check the path") from None
    except READ_ERRORS as error:
        raise _truncated(path, error) from None


def _csv_batches(file: FlowFile, wanted: list[str]) -> Iterator[tuple[pa.RecordBatch, list[str]]]:
    """Batches, each with the spelling there of the `wanted` columns of the first header, or "" for one it lacks.

    A header among the rows is obeyed: what follows is read under its columns.
    """
    try:
        with _open(file.path, file.member) as stream:
            rows = lines.CsvLines(stream, file.columns, lambda line: _header(line, ","), BLOCK_BYTES)
            file.lines = rows.counts
            rows.skip(file.lines_before + 1)
            columns, spelled = file.columns, wanted
            while True:
                for batch in _section(file, rows, columns, spelled):
                    yield batch, spelled
                if not rows.next_section():
                    break
                columns = rows.columns
                if rows.glued:
                    raise InputError(
                        f"expected every header of {file.path.name} on a line of its own, found one behind something "
                        f"else in line {rows.counts[lines.LINES]:,}: begin a new line before it"
                    )
                spelled = _respelled(file, columns, wanted)
    except pa.ArrowInvalid as error:
        raise InputError(
            f"expected CSV rows in {file.path.name}, found one that cannot be read ({_first_line(error)}): correct it"
        ) from None
    except READ_ERRORS as error:
        raise _truncated(file.path, error) from None


def _section(file: FlowFile, rows: lines.CsvLines, columns: list[str], wanted: list[str]) -> Iterator[pa.RecordBatch]:
    """The batches up to the next header; lines with another number of fields are counted and left out."""

    def skip(row: csv.InvalidRow) -> str:
        if row.text.lstrip().startswith("<"):
            file.html_lines += 1
        else:
            file.malformed += 1
        return "skip"

    label = wanted[list(file.found).index("Attack")]
    options = _csv_options(columns, [name for name in wanted if name], label, skip)
    try:
        yield from csv.open_csv(pa.PythonFile(rows, mode="r"), **options)
    except pa.ArrowInvalid as error:
        if "Empty CSV" not in str(error) and "either file is too short" not in str(error):  # a header and no row
            raise


def _respelled(file: FlowFile, columns: list[str], wanted: list[str]) -> list[str]:
    """How a header among the rows spells the columns of the first one. Raises InputError where one is missing."""
    where = f"line {file.lines[lines.LINES]:,} of {file.path.name}, a header with other columns"
    names = [(name, spelled) if name != "Attack" else (spelled, name) for name, spelled in file.found.items()]
    spelled = [_column(either, columns, where) for either in names]
    return spelled + [find_column(name, columns) or "" for name in wanted[len(spelled) :]]


def _csv_options(columns: list[str], wanted: list[str], label: str, skip: Callable) -> dict:
    # every wanted column is read as text: a repeated header or a stray word must not stop the stream,
    # nor a label in another encoding than UTF-8 (CIC-IDS2017's dash)
    wanted = list(dict.fromkeys(wanted))
    types = {name: pa.binary() if name == label else pa.string() for name in wanted}
    return {
        "read_options": csv.ReadOptions(block_size=BLOCK_BYTES, column_names=columns, use_threads=True),
        "parse_options": csv.ParseOptions(invalid_row_handler=skip),
        "convert_options": csv.ConvertOptions(include_columns=wanted, column_types=types, strings_can_be_null=False),
    }


def _parquet_batches(file: FlowFile, wanted: list[str]) -> Iterator[tuple[pa.RecordBatch, list[str]]]:
    try:
        for batch in stream_parquet(file.path, columns=list(dict.fromkeys(wanted))):
            yield batch, wanted
    except (pa.ArrowInvalid, OSError) as error:
        raise _truncated(file.path, error) from None


def _truncated(path: Path, error: Exception) -> InputError:
    remedy = "unpack it and give the file itself" if isinstance(error, RuntimeError) else "download it again"
    return InputError(
        f"expected {path.name} whole, found that it cannot be read to its end ({_first_line(error)}): {remedy}"
    )


def _first_line(error: Exception) -> str:
    line = str(error).splitlines()[0].split(". ")[0].rstrip(".") if str(error) else type(error).__name__
    return line[:QUOTED]
