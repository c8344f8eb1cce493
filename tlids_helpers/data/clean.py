"""Raw batches -> nine float32 features and a class name, with every repair and every loss counted.

Dropped: damaged lines (lines.py), repeated header lines, rows with a feature that is missing or infinite, rows without
a label.
Kept and counted: negative values, which CICFlowMeter writes for "not applicable" (Init_Fwd_Win_Byts = -1);
the model's first layer takes them as 0, on the Pi exactly as here. Ports above 65,535 and protocol numbers above 255
are kept and counted too; a negative one is among the negative values.
"""

import functools
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
from tlids_edge.detect.card import MAX_CLASSES, MAX_NAME

from tlids_helpers.common.errors import InputError, listed, quoted
from tlids_helpers.data import benign, lines, sessions
from tlids_helpers.data.catalog import Dataset
from tlids_helpers.data.parquet import read_ahead
from tlids_helpers.data.raw import KEPT_COLUMNS, FlowFile, read_batches

DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"), "-")
LARGEST = {"PROTOCOL": 255} | dict.fromkeys(("L4_SRC_PORT", "L4_DST_PORT", "Src_Port", "Dst_Port"), 65_535)
MISSING_WORDS = pa.array(["", "nan", "na", "n/a", "null", "none", "-", "?"])


@dataclass
class Census:
    """What reading one file found, in rows. `rows` = `kept` + missing + infinite (a row is counted once).

    Of a CSV file, `lines` = header_lines + blank_lines + continued_lines + repeated_headers + other_headers + rows +
    what `lost` counts but missing and infinite.
    """

    lines: int = 0  # of a CSV file, as `wc -l` counts them
    header_lines: int = 0  # to the first header, but html_lines
    blank_lines: int = 0
    continued_lines: int = 0  # the second and later lines of a quoted value
    other_headers: int = 0  # header lines among the rows with other columns, under which what follows was read
    rows: int = 0  # data rows with a label
    kept: int = 0
    missing: int = 0  # a feature is empty or NaN
    infinite: int = 0  # a feature is inf or -inf
    unlabelled: int = 0
    negative: int = 0  # kept
    impossible: int = 0  # kept; a port above 65,535 or a protocol number above 255
    relabelled: int = 0  # kept; the label differed from the class name in case or blanks
    repeated_headers: int = 0
    html_lines: int = 0
    malformed: int = 0  # lines with another number of fields than the header
    unclosed_quotes: int = 0  # lines with a quote that is opened and not closed
    nul_lines: int = 0  # lines with a zero byte
    byte_order_mark: bool = False
    renamed: dict[str, str] = field(default_factory=dict)  # our column -> the file's spelling
    classes: dict[str, int] = field(default_factory=dict)  # class -> rows, dropped ones included
    benign_words: dict[str, int] = field(default_factory=dict)  # the file's words for one benign class -> rows
    sessions: dict[str, float | str | None] = field(default_factory=dict)  # recording -> sessions.note
    empty: "Census | None" = None  # while reading a user's own file: rows whose label is empty

    @property
    def lost(self) -> dict[str, int]:
        """Why lines or rows were dropped -> how many, without those that are none."""
        counts = {
            "a feature is empty or NaN": self.missing, "a feature is infinite": self.infinite,
            "no label": self.unlabelled, "another number of fields than the header": self.malformed,
            "a quote is not closed": self.unclosed_quotes, "zero bytes": self.nul_lines, "HTML": self.html_lines,
        }  # fmt: skip
        return {reason: count for reason, count in counts.items() if count}

    @property
    def share_lost(self) -> float:
        """The share of all lines that should have been rows."""
        lost = sum(self.lost.values())
        return lost / max(1, lost + self.kept)


def clean_batches(file: FlowFile, dataset: Dataset | None, census: Census) -> Iterator[pa.RecordBatch]:
    """A raw file's batches cleaned: nine float32 columns, the extras, Attack[, Dataset][, Session].

    What is found is counted into `census`, which is complete when the last batch is. Raises InputError for a label
    that is no class of `dataset`, where its classes are known; in a user's own file (None) a label is a class of its
    own under its first spelling.
    """
    names = {}
    for name in dataset.classes if dataset else ():
        names |= dict.fromkeys((_fold(name), _fold(name.replace(" ", "_"))), name)  # version 3 has underscores
    fixed = dataset is not None and None not in dataset.classes.values()
    census.empty = None if dataset else Census()
    for batch in read_ahead(read_batches(file)):
        yield clean_batch(batch, file, names, census, fixed)
    census.html_lines, census.malformed = file.html_lines, file.malformed
    census.malformed += file.lines[lines.OVERLONG] + file.lines[lines.WIDTH]
    census.byte_order_mark, census.renamed = file.bom, file.renamed
    if file.lines:
        _count_lines(census, file)


def _count_lines(census: Census, file: FlowFile) -> None:
    """Take over what was counted in lines, and hold all of them against the rows: none is lost in silence."""
    found = file.lines
    census.lines, census.blank_lines = found[lines.LINES], found[lines.BLANK]
    census.header_lines = file.lines_before + 1 - file.html_before
    census.continued_lines, census.other_headers = found[lines.CONTINUED], found[lines.OTHER]
    census.unclosed_quotes, census.nul_lines = found[lines.UNCLOSED], found[lines.NUL]
    census.repeated_headers += found[lines.REPEATED]
    no_rows = census.header_lines + census.blank_lines + census.continued_lines
    rows = census.kept + (census.empty.kept if census.empty else 0)
    dropped = sum(census.lost.values()) + (sum(census.empty.lost.values()) if census.empty else 0)
    census.malformed += census.lines - no_rows - census.repeated_headers - census.other_headers - rows - dropped


def clean_batch(
    batch: pa.RecordBatch, file: FlowFile, names: dict[str, str], census: Census, fixed: bool
) -> pa.RecordBatch:
    """One raw batch, cleaned; counts into `census`.

    `names` maps a folded label to its class. With `fixed` an unknown label raises InputError; without, it is added.
    Where `census.empty` is there, a row with an empty label is kept as of class "" and counted into that.
    """
    batch = _drop_headers(batch, file, census)
    labels = _labels(batch, names, census, fixed, file)
    features = [_number(batch.column(name), name, census, file) for name in file.features]
    missing = _any(pc.or_kleene(pc.is_null(column), pc.is_nan(column)) for column in features)
    infinite = pc.and_(_any(pc.is_inf(column) for column in features), pc.invert(missing))
    labelled = labels.is_valid()
    keep = pc.and_(labelled, pc.invert(pc.or_(missing, infinite)))
    clean = _assemble(batch, file, features, labels).filter(keep)
    census.unlabelled += len(batch) - _count(labelled)
    counted = {row["values"]: row["counts"] for row in pc.value_counts(pc.drop_null(labels)).to_pylist()}
    empty = census.empty is not None and counted.pop("", 0)
    if empty:
        named = pc.not_equal(labels, "")
        _tally(census.empty, pc.invert(named), missing, infinite)
        _count_odd(clean.filter(pc.equal(clean["Attack"], "")), file, census.empty)
        labelled = pc.and_(labelled, named)
    _tally(census, labelled, missing, infinite)
    _count_odd(clean.filter(pc.not_equal(clean["Attack"], "")) if empty else clean, file, census)
    for name, count in counted.items():
        census.classes[name] = census.classes.get(name, 0) + count
    sessions.note(batch, file, census.sessions)
    return clean


def _tally(census: Census, labelled: pa.Array, missing: pa.Array, infinite: pa.Array) -> None:
    """Count those of a batch's rows that `labelled` marks: all, kept, and dropped for a feature."""
    rows, lacking, endless = (
        _count(mask) for mask in (labelled, pc.and_(labelled, missing), pc.and_(labelled, infinite))
    )
    census.rows += rows
    census.missing += lacking
    census.infinite += endless
    census.kept += rows - lacking - endless


def _count_odd(kept: pa.RecordBatch, file: FlowFile, census: Census) -> None:
    """Count the kept rows with a value that no flow has."""
    census.negative += _count(_any(pc.less(kept.column(name), 0) for name in file.features))
    bounded = [name for name in file.features if name in LARGEST]
    census.impossible += _count(_any(pc.greater(kept.column(name), LARGEST[name]) for name in bounded))


def settle_benign(census: Census) -> dict[str, str | None]:
    """Decide on the words for benign of a user's own file that was read: class -> its name, or None to drop its rows.

    All words for benign are one class. An empty label is one of them where other labels are in the file, none but a
    vague one says that a flow is benign, and it is no rare one; otherwise its rows have no label, and are counted so.
    """
    empty, census.empty = census.empty, None
    words = [name for name in census.classes if benign.is_benign(name)]
    name = benign.name_of(words)
    renamed: dict[str, str | None] = {word: name for word in words if word != name}
    found = {word: census.classes[word] for word in words}
    often = empty.rows >= benign.EMPTY_SHARE * (empty.rows + sum(census.classes.values()))
    if empty.rows and often and census.classes and all(map(benign.is_vague, words)):
        found["(empty)"] = empty.rows
        renamed[""] = name
        for count in ("rows", "kept", "missing", "infinite", "negative", "impossible"):
            setattr(census, count, getattr(census, count) + getattr(empty, count))
    elif empty.rows:
        census.unlabelled += empty.rows
        renamed[""] = None
    if renamed:
        others = {other: rows for other, rows in census.classes.items() if other not in words}
        census.classes = ({name: sum(found.values())} if found else {}) | others
    if len(found) > 1 or not all(map(benign.is_clear, found)):
        census.benign_words = found
    return renamed


def check_census(census: Census, dataset: Dataset, path_name: str, allow_subset: bool) -> bool:
    """Hold the counts against the published ones; True when the file is a subset that was allowed.

    Raises InputError when rows are missing and no subset was allowed, or when there are too many.
    """
    wrong = {c: n for c, n in census.classes.items() if dataset.classes.get(c) not in (None, n)}
    if census.rows == dataset.total and not wrong:
        return False
    more = [c for c in wrong if census.classes[c] > dataset.classes[c]]
    if allow_subset and census.rows <= dataset.total and not more:
        return True
    what = f"{census.rows:,} rows" if census.rows != dataset.total else f"{len(wrong)} classes of other sizes"
    if more:
        what = f"{what}, {len(more)} classes with more rows than published ({more[0]})"
    counted = f", as {dataset.counted_by} counted them" if dataset.counted_by != "the publisher" else ""
    fault = f"expected the {dataset.total:,} rows of {dataset.title}{counted}, found {what} in {path_name}"
    if more or census.rows > dataset.total:
        raise InputError(f"{fault}: download it again, or give its path as your own dataset")
    raise InputError(fault, "download it again, or set allow_subset=True to accept a part of it")


def _fold(label: str) -> str:
    """A label without what never matters: case, blanks, how a letter is put together, and which of its dashes."""
    return _plain(unicodedata.normalize("NFKC", label).translate(DASHES)).casefold()


def _plain(label: str) -> str:
    """A label with one kind of blank, and without characters that nobody sees."""
    return " ".join("".join(one for one in label if unicodedata.category(one) != "Cf").split())


def _named(label: str, names: dict[str, str], file: FlowFile) -> str:
    """A user's own label as the name of a class. Raises InputError for one that no model can have."""
    name = label.strip() if label.strip().isprintable() else _plain(label)
    if not name.isprintable() or len(name) > MAX_NAME:
        raise InputError(
            f"expected class names of at most {MAX_NAME} printable characters in column {file.found['Attack']!r} of "
            f"{file.path.name}, found {quoted(label)}: correct it"
        )
    if len(names) >= MAX_CLASSES:
        raise InputError(
            f"expected at most {MAX_CLASSES:,} classes in column {file.found['Attack']!r} of {file.path.name}, found "
            "more: give a file whose label column names the attack"
        )
    return name


def _drop_headers(batch: pa.RecordBatch, file: FlowFile, census: Census) -> pa.RecordBatch:
    first = batch.column(file.features[0])
    if not pa.types.is_string(first.type):
        return batch
    spelled = file.found[file.features[0]]
    header = pc.equal(pc.utf8_trim(first, ' "\ufeff'), spelled.strip())
    census.repeated_headers += (count := _count(header))
    return batch.filter(pc.invert(header)) if count else batch


def _labels(batch, names: dict[str, str], census: Census, fixed: bool, file: FlowFile) -> pa.Array:
    """Class names as strings, null where the label is empty. Works on the few distinct labels, not on rows."""
    column = batch.column("Attack")
    encoded = pc.dictionary_encode(column if pa.types.is_binary(column.type) else pc.cast(column, pa.string()))
    spelled = [_decoded(label) for label in encoded.dictionary.to_pylist()]
    classes = []
    for label in spelled:
        folded = _fold(label)
        if folded in (benign.NOTHING if census.empty is not None else ("", "nan", "none")):
            classes.append(None if census.empty is None else "")
            continue
        if folded not in names:
            if fixed:
                known = listed(sorted(set(names.values())))
                raise InputError(
                    f"expected one of the classes {known} in {file.path.name}, found {quoted(label)}: check that the "
                    "file is whole and the dataset it is named after, or give its path as your own dataset"
                )
            names[folded] = _named(label, names, file)
        classes.append(names[folded])
    changed = pa.array([b not in (None, "") and a != b for a, b in zip(spelled, classes, strict=True)])
    if len(classes):
        census.relabelled += _count(pc.take(changed, encoded.indices))
    indices = encoded.indices
    if census.empty is not None:  # a null label of a Parquet file is an empty one
        indices, classes = pc.fill_null(indices, len(classes)), [*classes, ""]
    return pc.take(pa.array(classes, pa.string()), indices)


def _decoded(label: str | bytes) -> str:
    """A label as text: UTF-8, or else the Windows encoding that some published files have."""
    if isinstance(label, str):
        return label
    try:
        return label.decode()
    except UnicodeDecodeError:
        return label.decode("cp1252", errors="replace")


def _number(column: pa.Array, name: str, census: Census, file: FlowFile) -> pa.Array:
    """A column as float32, null where empty. InputError for a word where a number belongs."""
    try:
        return pc.cast(pc.cast(column, pa.float64(), safe=False), pa.float32(), safe=False)
    except pa.ArrowNotImplementedError:
        raise InputError(
            f"expected numbers in column {file.found[name]!r} of {file.path.name}, found {column.type}: convert them"
        ) from None
    except pa.ArrowInvalid:
        text = _without_missing(column)
    try:
        return pc.cast(pc.cast(text, pa.float64()), pa.float32(), safe=False)
    except pa.ArrowInvalid:
        row, word = next((i, v.as_py()) for i, v in enumerate(text) if not _is_number(v))
        before = census.rows + census.unlabelled + (census.empty.rows if census.empty else 0)
        raise InputError(
            f"expected a number in column {file.found[name]!r} of {file.path.name}, found {quoted(word)} in data row "
            f"{before + row + 1:,}: correct that row or leave it out"
        ) from None


def _without_missing(column: pa.Array) -> pa.Array:
    """Text without blanks around it, null where it is a word for nothing."""
    text = pc.utf8_trim_whitespace(column)
    return pc.if_else(pc.is_in(pc.utf8_lower(text), MISSING_WORDS), pa.scalar(None, pa.string()), text)


def _is_number(word: pa.Scalar) -> bool:
    try:  # Arrow's notion of a number, which is narrower than Python's (1_000)
        return word.cast(pa.float64()) is not None
    except pa.ArrowInvalid:
        return False


def _extra(column: pa.Array) -> pa.Array:
    """One of the other columns as float32, null where it is no finite number."""
    if pa.types.is_string(column.type):
        try:
            column = pc.cast(_without_missing(column), pa.float64())
        except pa.ArrowInvalid:  # words, such as a date: no feature
            return pa.nulls(len(column), pa.float32())
    column = pc.cast(column, pa.float32(), safe=False)
    return pc.if_else(pc.is_finite(column), column, pa.scalar(None, pa.float32()))


def _assemble(batch, file: FlowFile, features: list[pa.Array], labels: pa.Array) -> pa.RecordBatch:
    columns = dict(zip(file.features, features, strict=True))
    columns |= {name: _extra(batch.column(name)) for name in file.extras} | {"Attack": labels}
    columns |= {name: pc.cast(batch.column(name), pa.string()) for name in KEPT_COLUMNS if name in file.found}
    return pa.RecordBatch.from_pydict(columns)


def _any(masks) -> pa.Array:
    return pc.fill_null(functools.reduce(pc.or_, masks), True)


def _count(mask: pa.Array) -> int:
    return pc.sum(mask).as_py() or 0
