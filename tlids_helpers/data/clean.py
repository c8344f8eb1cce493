"""Raw batches -> nine float32 features and a class name, with every repair and every loss counted.

Dropped: repeated header lines, rows with a feature that is missing or infinite, rows without a label.
Kept and counted: negative values, which CICFlowMeter writes for "not applicable" (Init_Fwd_Win_Byts = -1);
the model's first layer takes them as 0, on the Pi exactly as here.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from tlids_helpers.common.errors import InputError
from tlids_helpers.data.catalog import Dataset
from tlids_helpers.data.parquet import read_ahead
from tlids_helpers.data.raw import KEPT_COLUMNS, FlowFile, read_batches

MISSING_WORDS = pa.array(["", "nan", "na", "n/a", "null", "none", "-", "?"])


@dataclass
class Census:
    """What reading one file found, in rows. `rows` = `kept` + missing + infinite (a row is counted once)."""

    rows: int = 0  # data rows with a label
    kept: int = 0
    missing: int = 0  # a feature is empty or NaN
    infinite: int = 0  # a feature is inf or -inf
    unlabelled: int = 0
    negative: int = 0  # kept
    relabelled: int = 0  # kept; the label differed from the class name in case or blanks
    repeated_headers: int = 0
    html_lines: int = 0
    malformed: int = 0  # lines with another number of fields than the header
    byte_order_mark: bool = False
    renamed: dict[str, str] = field(default_factory=dict)  # our column -> the file's spelling
    classes: dict[str, int] = field(default_factory=dict)  # class -> rows, dropped ones included


def clean_batches(file: FlowFile, dataset: Dataset | None, census: Census) -> Iterator[pa.RecordBatch]:
    """A raw file's batches cleaned: nine float32 columns, the extras, Attack[, Dataset][, Session].

    What is found is counted into `census`, which is complete when the last batch is. Raises InputError for a label
    that is no class of `dataset`, where its classes are known; in a user's own file (None) a label is a class of its
    own under its first spelling.
    """
    names = {_fold(name): name for name in dataset.classes} if dataset else {}
    fixed = dataset is not None and None not in dataset.classes.values()
    for batch in read_ahead(read_batches(file)):
        yield clean_batch(batch, file, names, census, fixed)
    census.html_lines, census.malformed = file.html_lines, file.malformed
    census.byte_order_mark, census.renamed = file.bom, file.renamed


def clean_batch(
    batch: pa.RecordBatch, file: FlowFile, names: dict[str, str], census: Census, fixed: bool
) -> pa.RecordBatch:
    """One raw batch, cleaned; counts into `census`.

    `names` maps a folded label to its class. With `fixed` an unknown label raises InputError; without, it is added.
    """
    batch = _drop_headers(batch, file, census)
    labels = _labels(batch, names, census, fixed, file)
    features = [_number(batch.column(name), name, census, file) for name in file.features]
    labelled = labels.is_valid()
    missing = _any(pc.or_kleene(pc.is_null(column), pc.is_nan(column)) for column in features)
    infinite = pc.and_(_any(pc.is_inf(column) for column in features), pc.invert(missing))
    keep = pc.and_(labelled, pc.invert(pc.or_(missing, infinite)))
    census.rows += _count(labelled)
    census.unlabelled += len(batch) - _count(labelled)
    census.missing += _count(pc.and_(labelled, missing))
    census.infinite += _count(pc.and_(labelled, infinite))
    for counted in pc.value_counts(pc.drop_null(labels)).to_pylist():
        census.classes[counted["values"]] = census.classes.get(counted["values"], 0) + counted["counts"]
    clean = _assemble(batch, file, features, labels).filter(keep)
    census.negative += _count(_any(pc.less(clean.column(name), 0) for name in file.features))
    census.kept += len(clean)
    return clean


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
    fault = f"expected the {dataset.total:,} rows of {dataset.title}, found {what} in {path_name}"
    if more or census.rows > dataset.total:
        raise InputError(f"{fault}: download it again, or give its path as your own dataset")
    raise InputError(fault, "download it again, or set allow_subset=True if a part of it is meant")


def _fold(label: str) -> str:
    return " ".join(label.split()).casefold()


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
        if folded in ("", "nan", "none"):
            classes.append(None)
            continue
        if folded not in names:
            if fixed:
                known = ", ".join(sorted(set(names.values())))
                raise InputError(
                    f"expected one of the classes {known} in {file.path.name}, found {label!r}: check that the file is "
                    "whole and the dataset it is named after, or give its path as your own dataset"
                )
            names[folded] = label.strip()
        classes.append(names[folded])
    changed = pa.array([b is not None and a != b for a, b in zip(spelled, classes, strict=True)])
    if len(classes):
        census.relabelled += _count(pc.take(changed, encoded.indices))
    return pc.take(pa.array(classes, pa.string()), encoded.indices)


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
        raise InputError(
            f"expected a number in column {file.found[name]!r} of {file.path.name}, found {word!r} in data row "
            f"{census.rows + census.unlabelled + row + 1:,}: correct that row or leave it out"
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
