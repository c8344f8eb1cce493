"""Open one raw flow file (CSV, CSV.gz, zip member or Parquet) and stream it in batches of fixed size.

Nothing here judges values: columns are found under their known spellings, lines that are no rows are
counted and left out, and every batch holds text (CSV) or whatever the Parquet file holds.
"""

import difflib
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq

from tlids_helpers.common import files
from tlids_helpers.common.errors import InputError
from tlids_helpers.data.catalog import FEATURES, SPELLINGS, VERSION_MARKS, Dataset
from tlids_helpers.data.parquet import stream_parquet

BLOCK_BYTES = 8 << 20  # of CSV text per batch
HEAD_BYTES = 64 << 10  # searched for the header line
LABEL_NAMES = ("Attack", "Label", "Cat")  # tried in this order for a user's own file
PART_COLUMN = "Dataset"  # of NF-UQ-NIDS: which part a row comes from
SESSION_COLUMN = "Session"  # of the testbed: in which recording a row was made
KEPT_COLUMNS = (PART_COLUMN, SESSION_COLUMN)
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
    """What a file may lack without being refused."""

    subset: bool = False  # rows of the dataset: the file is meant to hold only a part of it
    loss: float = 0.01  # the share of its lines that may be lost in reading


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
    bom: bool = False
    malformed: int = 0  # lines with another number of fields than the header; known after reading

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
    """The dataset's file in `folder`: its published name, that name with .gz or .zip, or as Parquet."""
    stem = dataset.file.removesuffix(".csv")
    names = (dataset.file, f"{dataset.file}.gz", f"{dataset.file}.zip", f"{stem}.zip", f"{stem}.parquet")
    by_name = {path.name.casefold(): path for path in folder.glob("*")} if folder.is_dir() else {}
    return next((by_name[name.casefold()] for name in names if name.casefold() in by_name), None)


def inspect(path: Path, dataset: Dataset | None = None) -> FlowFile:
    """Look at a file's header; `dataset` is what it claims to be, None for a user's own file.

    Raises InputError for an empty file, an HTML page, another version or family, a missing column.
    """
    file = _inspect_parquet(path) if _ending(path) == ".parquet" else _inspect_csv(path, dataset)
    file.family = _family(file, dataset)
    if dataset is not None:
        _check_version(file, dataset)
    label = _column((dataset.label,) if dataset else LABEL_NAMES, file)
    file.found = {name: _column((name,), file) for name in file.features}
    kept = {name: find_column(name, file.columns) for name in KEPT_COLUMNS}
    file.found |= {"Attack": label} | {name: spelled for name, spelled in kept.items() if spelled}
    if file.family == "cicflow":
        taken = {normal(name) for name in (*NO_FEATURES, *file.found, *file.found.values())}
        file.extras = tuple(dict.fromkeys(c for c in file.columns if c.strip() and normal(c) not in taken))
    return file


def read_batches(file: FlowFile) -> Iterator[pa.RecordBatch]:
    """Stream the found columns under our names and the extras under the file's; memory stays at one batch."""
    wanted = list(dict.fromkeys((*file.found.values(), *file.extras)))
    batches = _parquet_batches if _ending(file.path) == ".parquet" else _csv_batches
    names = [*file.found, *file.extras]
    for batch in batches(file, wanted):
        arrays = [_plain(batch.column(spelling)) for spelling in (*file.found.values(), *file.extras)]
        yield pa.RecordBatch.from_arrays(arrays, names=names)


def _plain(column: pa.Array) -> pa.Array:
    """Arrow has several types of text; the one that the cleaning knows."""
    text = pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type)
    words = pa.types.is_dictionary(column.type) and not pa.types.is_primitive(column.type.value_type)
    return column.cast(pa.string()) if text or words else column


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
        other = f"{dataset.slug.removesuffix('-v2')}{'-v2' if found == 2 else ''}"
        hint = f"use the slug {other} for it" if found < 3 else "version 3 is not in the catalog: give its path instead"
        raise InputError(
            f"expected version {dataset.version} of {dataset.title.removesuffix('-v2')}, found that {file.path.name} "
            f"has the columns of version {found}: {hint}, or put {dataset.file} there"
        )


def _column(names: tuple[str, ...], file: FlowFile) -> str:
    """The file's spelling of the first of `names` that it has. Raises InputError where it has none."""
    if spelled := next(filter(None, (find_column(name, file.columns) for name in names)), None):
        return spelled
    name = names[0]
    near = difflib.get_close_matches(normal(name), [normal(c) for c in file.columns], 1, cutoff=0.5)
    spelled = next((c.strip() for c in file.columns if near and normal(c) == near[0]), None)
    hint = f"the nearest is {spelled!r}" if spelled else f"its {len(file.columns)} columns hold nothing like it"
    raise InputError(
        f"expected a column {name!r} in {file.path.name}, found none ({hint}): "
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
    lines = text.splitlines()
    if not text.strip("\ufeff \r\n"):
        raise InputError(f"expected flows in {path.name}, found an empty file: download it again")
    for number, line in enumerate(lines):
        columns = _header(line, ",")
        if columns:
            html = sum(before.lstrip("\ufeff ").startswith("<") for before in lines[:number])
            bom = any("\ufeff" in before for before in lines[: number + 1])
            return FlowFile(path, "", columns, member=member, lines_before=number, html_lines=html, bom=bom)
    raise _no_flows(path, text, lines)


def _header(line: str, separator: str) -> list[str]:
    """The column names in a line, or none when it is no header: two of our columns must be in it."""
    known = {normal(n) for nine in FEATURES.values() for name in nine for n in (name, *SPELLINGS.get(name, ()))}
    columns = [column.strip('"\ufeff') for column in line.split(separator)]
    return columns if len({normal(column) for column in columns} & known) >= 2 else []


def _no_flows(path: Path, text: str, lines: list[str]) -> InputError:
    """What a file without a header line is instead."""
    if re.match(r"\s*<(!doctype|html|head|\?xml)", text.lstrip("\ufeff"), re.IGNORECASE):
        return InputError(f"expected flows in {path.name}, found a web page saved under that name: download it again")
    for start, (what, remedy) in NO_TEXT.items():
        if text.startswith(start):
            return InputError(f"expected CSV text in {path.name}, found {what}: {remedy}")
    for separator, word in SEPARATORS.items():
        if any(_header(line, separator) for line in lines):
            return InputError(f"expected commas between the columns of {path.name}, found {word}: save it with commas")
    return InputError(
        f"expected a header line with flow columns in {path.name}, found {lines[0][:60]!r} first: "
        "give a CSV file with column names"
    )


def _zip_member(path: Path, dataset: Dataset | None) -> str:
    """The one CSV inside; with several, the one with the dataset's published name."""
    try:
        names = [name for name in zipfile.ZipFile(path).namelist() if name.casefold().endswith(".csv")]
    except (zipfile.BadZipFile, OSError):
        raise InputError(
            f"expected a zip archive, found that {path.name} is none or is cut off: download it again"
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


def _csv_batches(file: FlowFile, columns: list[str]) -> Iterator[pa.RecordBatch]:
    def skip(row: csv.InvalidRow) -> str:
        if row.text.lstrip().startswith("<"):
            file.html_lines += 1
        else:
            file.malformed += 1
        return "skip"

    try:
        with _open(file.path, file.member) as stream:
            yield from csv.open_csv(stream, **_csv_options(file, columns, skip))
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error) or "either file is too short" in str(error):  # a header and no row
            return
        raise InputError(
            f"expected CSV rows in {file.path.name}, found one that cannot be read ({_first_line(error)}): correct it"
        ) from None
    except READ_ERRORS as error:
        raise _truncated(file.path, error) from None


def _csv_options(file: FlowFile, columns: list[str], skip: Callable) -> dict:
    # every wanted column is read as text: a repeated header or a stray word must not stop the stream,
    # nor a label in another encoding than UTF-8 (CIC-IDS2017's dash)
    types = {name: pa.binary() if name == file.found["Attack"] else pa.string() for name in columns}
    return {
        "read_options": csv.ReadOptions(
            block_size=BLOCK_BYTES, skip_rows=file.lines_before + 1, column_names=file.columns, use_threads=True
        ),
        "parse_options": csv.ParseOptions(invalid_row_handler=skip),
        "convert_options": csv.ConvertOptions(include_columns=columns, column_types=types, strings_can_be_null=False),
    }


def _parquet_batches(file: FlowFile, columns: list[str]) -> Iterator[pa.RecordBatch]:
    try:
        yield from stream_parquet(file.path, columns=columns)
    except (pa.ArrowInvalid, OSError) as error:
        raise _truncated(file.path, error) from None


def _truncated(path: Path, error: Exception) -> InputError:
    remedy = "unpack it and give the file itself" if isinstance(error, RuntimeError) else "download it again"
    return InputError(
        f"expected {path.name} whole, found that it cannot be read to its end ({_first_line(error)}): {remedy}"
    )


def _first_line(error: Exception) -> str:
    line = str(error).splitlines()[0].split(". ")[0].rstrip(".") if str(error) else type(error).__name__
    return line[:120]
