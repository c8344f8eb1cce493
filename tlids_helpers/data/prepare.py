"""Raw flows -> cleaned, split, cached as Parquet: `prepare` makes (or finds) it, `load` reads it.

Two cached stages, each keyed by everything that shaped it and each written whole or not at all:
    clean    one file, its rows cleaned, with the census of what was found          (cleaned.py)
    split    train.parquet, validation.parquet, test.parquet and meta.json          (here)
A union (NF-UQ-NIDS) is split part by part, so that its test rows are exactly its parts' test rows.
"""

import contextlib
import hashlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tlids_helpers.common import files
from tlids_helpers.common.errors import InputError, listed, quoted
from tlids_helpers.data import cleaned, parquet, sessions
from tlids_helpers.data import split as splitting
from tlids_helpers.data.catalog import DATASETS, FEATURES, PARENTS, Dataset
from tlids_helpers.data.cleaned import PREPARATION, Clean
from tlids_helpers.data.raw import AS_PUBLISHED, PART_COLUMN, SESSION_COLUMN, START_COLUMN, Allowed
from tlids_helpers.data.split import ROLES, SPLITS

__all__ = ["PREPARATION", "ROLES", "SPLITS", "Prepared", "class_list", "load", "prepare"]

BINARY_CLASSES = ("Benign", "Attack")

Chosen = Callable[[pa.RecordBatch], np.ndarray]  # a batch of n rows -> which of them, (n,) booleans


@dataclass(frozen=True)
class Prepared:
    """A dataset that is ready for training; the rows themselves are in `folder`."""

    name: str  # catalog slug, or the stem of the user's own file
    title: str
    family: str
    features: tuple[str, ...]  # the nine columns, in the order the model takes them
    version: int  # of the NetFlow datasets; 0 for the user's own
    paper_slug: str  # the paper's dataset in whose column results are shown; "" for the user's own
    classes: tuple[str, ...]  # benign first; only those with rows
    benign: str
    mark: str  # printed beside every number: "", "simulated", "subset", "v2", "v2 subset", "own"
    split: str
    seed: int
    rows: int | None  # the subsample that was asked for, None for all
    content: str  # a hash of all rows, their classes and roles, in whatever order: 16 hexadecimal digits
    folder: Path
    counts: dict[str, dict[str, int]] = field(repr=False)  # role -> class -> rows
    parts: dict[str, dict] = field(repr=False)  # slug -> its mark and census

    def size(self, role: str) -> int:
        """Rows of "train", "validation" or "test"."""
        return sum(self.counts[role].values())


def prepare(
    dataset: str,
    data_dir: str | Path = "data",
    split: str = "paper",
    seed: int = 42,
    rows: int | None = None,
    allowed: Allowed = AS_PUBLISHED,
) -> Prepared:
    """Prepare `dataset`: a slug of the catalog, or the path of a user's own CSV or Parquet file.

    A union without one part is spelled "nf-uq-nids-without-nf-ton-iot". `rows` keeps a stratified subsample.
    `allowed` says whether rows may be missing, and what share of the lines may be dropped.
    Sections 5.1.1 and 5.1.2. Raises InputError for anything that cannot be used.
    """
    if split not in SPLITS:
        raise InputError(
            f"expected split to be one of {', '.join(SPLITS)}, found {quoted(split)}: correct the parameter"
        )
    if seed < 0:
        raise InputError(f"expected a seed of 0 or more, found {seed}: correct the parameter")
    split, data_dir = cleaned.split_of(dataset, split), files.resolve(data_dir)
    with files.permitted():
        parts = cleaned.clean(dataset, data_dir, allowed.subset)
        for part in parts:
            cleaned.check_loss(part, allowed)
        key = files.key_of(parts=[part.key for part in parts], split=split, seed=seed)
        folder = data_dir / "prepared" / f"{cleaned.slug_of(dataset)}-{split}-s{seed}-{key}"
        if not parquet.is_cached(folder):
            with files.written_whole(folder, keyed=True) as scratch:
                meta = _describe(dataset, parts, split, seed)
                _write(_dealt(parts, split, seed), meta, scratch)
        found = _read_meta(folder if rows is None else _subsampled(folder, rows, seed))
    return replace(found, rows=rows)  # as asked for, also where there are fewer: a run is named by its parameters


def load(prepared: Prepared, role: str, task: str = "multiclass") -> tuple[np.ndarray, np.ndarray]:
    """The rows of "train", "validation" or "test": raw features (n, 9) float32 and class codes (n,) int32.

    Columns are `prepared.features`; an extra CICFlowMeter column that is no number in a row counts as 0.
    Codes index `class_list(prepared, task)`. For "binary" every class but the benign one is 1 (Section 5.2).
    """
    table = pq.read_table(prepared.folder / f"{role}.parquet", columns=[*prepared.features, "Attack"])
    features = np.stack([table[name].fill_null(0).to_numpy() for name in prepared.features], axis=1)
    codes = _codes(table["Attack"].combine_chunks(), prepared.classes)
    return features, (codes > 0).astype(np.int32) if task == "binary" else codes


def class_list(prepared: Prepared, task: str) -> tuple[str, ...]:
    """The names behind the class codes, for "multiclass" or "binary".

    Raises InputError for another task, and for "binary" where no class is benign.
    """
    if task not in ("multiclass", "binary"):
        raise InputError(f"expected task to be multiclass or binary, found {quoted(task)}: correct the parameter")
    if task == "binary" and prepared.benign not in prepared.classes:
        raise InputError(
            f"expected a benign class in {prepared.title}, found {listed(prepared.classes)}: name it 'Benign'"
        )
    return BINARY_CLASSES if task == "binary" else prepared.classes


def _dealt(parts: list[Clean], split: str, seed: int) -> Iterator[tuple[str, pa.RecordBatch]]:
    """(role, rows) of every part, batch by batch, each part through its own draw."""
    for part in parts:
        for batch, roles in _with_roles(part, split, seed):
            for code, role in enumerate(ROLES):
                yield role, batch.filter(pa.array(roles == code))


def _with_roles(part: Clean, split: str, seed: int) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
    """A part's batches with the role of each row; the same for the part alone and inside its union."""
    names = list(part.classes)
    rng = np.random.default_rng([seed, *part.slug.encode()])
    test_rows = {"session": _in_last_session, "time": _in_last_fifth}.get(split, lambda _: None)(part)
    remaining = _quotas(part, names, test_rows)
    for batch in _batches(part):
        codes = _codes(batch["Attack"], names)
        if split == "grouped":
            features = np.stack([batch[name].to_numpy() for name in FEATURES[part.family]], axis=1)
            roles = splitting.grouped_roles(features, seed)
        elif test_rows:
            roles = np.full(len(batch), ROLES.index("test"), dtype=np.int8)
            others = ~test_rows(batch)
            roles[others] = splitting.draw(remaining, codes[others], rng)
        else:
            roles = splitting.draw(remaining, codes, rng)
        yield _merged(_without(_without(batch, SESSION_COLUMN), START_COLUMN), part), roles


def _quotas(part: Clean, names: list[str], test_rows: Chosen | None) -> np.ndarray:
    """Rows per class and role that a random draw has to meet, of the rows that are not for the test already."""
    if test_rows is None:
        return splitting.role_quotas(np.array([part.classes[name] for name in names]))
    counts = np.zeros(len(names), dtype=np.int64)
    for batch in _batches(part):
        others = batch.filter(pa.array(~test_rows(batch)))
        counts += np.bincount(_codes(others["Attack"], names), minlength=len(names))
    return splitting.session_quotas(counts)


def _in_last_session(part: Clean) -> Chosen:
    """Which rows are of the recording that is kept for the test."""
    session = _last_session(part)

    def chosen(batch: pa.RecordBatch) -> np.ndarray:
        return pc.fill_null(pc.equal(batch[SESSION_COLUMN], session), False).to_numpy(zero_copy_only=False)

    return chosen


def _in_last_fifth(part: Clean) -> Chosen:
    """Which rows are of the last fifth by their start, flows of one instant together; one column is read whole."""
    if START_COLUMN not in pq.read_schema(part.file).names:
        raise InputError(
            f"expected a column {START_COLUMN!r} in {part.path_name} for split='time', found none: give a version-3 "
            "file, or use another split"
        )
    starts = np.sort(_starts(pq.read_table(part.file, columns=[START_COLUMN])[START_COLUMN], part))
    first = starts[len(starts) - math.ceil(splitting.TEST_FRACTION * len(starts))]
    if first == starts[0]:
        raise InputError(
            f"expected different times in {START_COLUMN!r} of {part.path_name}, found that most flows have one: "
            "use another split"
        )
    return lambda batch: _starts(batch[START_COLUMN], part) >= first


def _starts(column: pa.Array | pa.ChunkedArray, part: Clean) -> np.ndarray:
    """Milliseconds (n,) float64. Raises InputError for what is no number."""
    try:
        starts = pc.cast(column, pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        starts = np.array([np.nan])
    if not np.isfinite(starts).all():
        raise InputError(
            f"expected numbers in the column {START_COLUMN!r} of {part.path_name}, found something else: correct it, "
            "or use another split"
        )
    return starts


def _last_session(part: Clean) -> str:
    """The recording that is kept for the test: the catalog's, or the last one in a user's own file."""
    entry = DATASETS.get(part.slug)
    if SESSION_COLUMN not in pq.read_schema(part.file).names:
        raise InputError(
            f"expected a column {SESSION_COLUMN!r} in {part.path_name} for split='session', found none: "
            "add one that says in which recording each flow was made, or use another split"
        )
    found = set(filter(None, pq.read_table(part.file, columns=[SESSION_COLUMN])[SESSION_COLUMN].unique().to_pylist()))
    if len(found) < 2:
        raise InputError(
            f"expected at least two recordings in the column {SESSION_COLUMN!r} of {part.path_name}, "
            f"found {len(found)}: record another, or use another split"
        )
    if entry and entry.test_session:
        return entry.test_session
    return sessions.in_order(list(found), part.census["sessions"])[-1]


def _batches(part: Clean) -> Iterator[pa.RecordBatch]:
    for batch in parquet.stream_parquet(part.file, parquet.BATCH_ROWS):
        if part.only:  # rows of one part inside the union's own file
            batch = batch.filter(pc.equal(batch[PART_COLUMN], part.only))
        yield _without(batch, PART_COLUMN)


def _without(batch: pa.RecordBatch, column: str) -> pa.RecordBatch:
    return batch.drop_columns([column]) if column in batch.schema.names else batch


def _merged(batch: pa.RecordBatch, part: Clean) -> pa.RecordBatch:
    """Classes of a union's part under their name in the union."""
    if not part.merged:
        return batch
    encoded = batch["Attack"].dictionary_encode()
    names = pa.array([PARENTS.get(name, name) for name in encoded.dictionary.to_pylist()], pa.string())
    return batch.set_column(batch.schema.get_field_index("Attack"), "Attack", names.take(encoded.indices))


def _describe(dataset: str, parts: list[Clean], split: str, seed: int) -> dict:
    """All of Prepared that the rows' roles do not shape."""
    union, without = cleaned.left_out(dataset)
    entry, name = DATASETS.get(union), cleaned.slug_of(dataset)
    benign = entry.benign if entry else parts[0].benign
    title = entry.title if entry else name
    if without:  # another dataset: it must never be taken for the whole union
        title = f"{title} without {DATASETS[without].title}"
    return {
        "name": name, "title": title, "family": parts[0].family, "features": FEATURES[parts[0].family],
        "version": entry.version if entry else 0, "paper_slug": entry.paper_slug if entry and not without else "",
        "classes": _classes(parts, entry, benign), "benign": benign, "mark": cleaned.mark_of(parts, entry),
        "split": split, "seed": seed, "rows": None,
        "parts": {part.slug: {"mark": part.mark, "file": part.path_name, "census": part.census, "rows_of": part.only}
                  for part in parts},
    }  # fmt: skip


def _classes(parts: list[Clean], entry: Dataset | None, benign: str) -> list[str]:
    """The classes that have rows: the benign one, then those of the catalog in its order, then others by name."""
    present = dict.fromkeys(PARENTS.get(c, c) if part.merged else c for part in parts for c in part.classes)
    published = entry.classes if entry else ()  # a dataset whose counts nobody published may hold other classes
    order = [*(c for c in published if c in present), *sorted(c for c in present if c not in published)]
    if len(order) < 2:
        raise InputError(
            f"expected at least two classes in {parts[0].path_name}, found only {quoted(order[0])}: "
            "give a file with benign and attack flows"
        )
    return sorted(order, key=lambda c: c != benign)


def _write(rows: Iterator[tuple[str, pa.RecordBatch]], meta: dict, folder: Path) -> None:
    """Stream (role, rows) into train.parquet, validation.parquet and test.parquet, and `meta` into meta.json."""
    classes, content = meta["classes"], 0
    counts = {role: np.zeros(len(classes), dtype=np.int64) for role in ROLES}
    seeds = {role: np.array([_seed(role, name) for name in classes], dtype=np.uint64) for role in ROLES}
    with contextlib.ExitStack() as stack:
        writers = {}
        for role, batch in rows:
            if role not in writers:
                file = parquet.parquet_writer(folder / f"{role}.parquet", batch.schema)
                writers[role] = stack.enter_context(file)
            writers[role](batch)
            codes = _codes(batch["Attack"], classes)
            counts[role] += np.bincount(codes, minlength=len(classes))
            content += _content(batch, seeds[role][codes])
    if not all(of_role.sum() for of_role in counts.values()):
        found = ", ".join(f"{of_role.sum()} for {role}" for role, of_role in counts.items())
        raise InputError(f"expected enough flows of {meta['title']} to split, found {found}: give a file with more")
    named = {role: dict(zip(classes, of_role.tolist(), strict=True)) for role, of_role in counts.items()}
    meta = {**meta, "counts": named, "content": f"{content % 2**64:016x}"}
    (folder / "meta.json").write_text(json.dumps(meta, indent=1))


def _seed(role: str, name: str) -> int:
    """64 bits for a role and a class, the same in every process."""
    return int.from_bytes(hashlib.sha256(f"{role} {name}".encode()).digest()[:8], "little")


def _content(batch: pa.RecordBatch, seeds: np.ndarray) -> int:
    """What a batch adds to Prepared.content: the sum of its rows' hashes, each seeded with its role and class (n,).

    A sum does not depend on the rows' order, and unlike an exclusive-or it counts equal rows. Columns go by name.
    """
    names = sorted(name for name in batch.schema.names if name != "Attack")
    columns = [batch[name].to_numpy(zero_copy_only=False) for name in names]  # null is NaN
    return int(splitting.hash_rows(np.stack(columns).T, seeds).sum())


def _read_meta(folder: Path) -> Prepared:
    meta = json.loads((folder / "meta.json").read_text())
    lists = {name: tuple(meta[name]) for name in ("classes", "features")}
    return Prepared(**{**meta, **lists}, folder=folder)


def _subsampled(full: Path, rows: int, seed: int) -> Path:
    """A stratified subsample of a split, drawn after the roles were: no test row becomes a training row."""
    folder = full.with_name(f"{full.name}-{rows}rows")
    if parquet.is_cached(folder):
        return folder
    meta = json.loads((full / "meta.json").read_text())
    counts = np.array([list(meta["counts"][role].values()) for role in ROLES]).T
    if rows >= counts.sum():
        return full
    if rows < (least := np.count_nonzero(counts)):
        raise InputError(
            f"expected rows to be {least} or more, one for each of the {len(meta['classes'])} classes of "
            f"{meta['title']} in {', '.join(ROLES)}, found {rows}: raise it or leave it out"
        )
    sizes = splitting.subsample_sizes(counts, rows)
    keep = {role: splitting.subsample_quotas(*of_role) for role, *of_role in zip(ROLES, counts.T, sizes, strict=True)}
    meta |= {"rows": rows, "mark": cleaned.subset_mark(meta["mark"])}
    with files.written_whole(folder, keyed=True) as scratch:
        _write(_kept(full, meta, keep, seed), meta, scratch)
    return folder


def _kept(full: Path, meta: dict, keep: dict[str, np.ndarray], seed: int) -> Iterator[tuple[str, pa.RecordBatch]]:
    """(role, rows) of a split's files, batch by batch: of each class as many as `keep` says."""
    for role, of_role in keep.items():
        counts = np.array(list(meta["counts"][role].values()))
        remaining = np.stack([counts - of_role, of_role], axis=1)
        rng = np.random.default_rng([seed, *role.encode()])
        for batch in parquet.stream_parquet(full / f"{role}.parquet", parquet.BATCH_ROWS):
            kept = splitting.draw(remaining, _codes(batch["Attack"], meta["classes"]), rng) == 1
            yield role, batch.filter(pa.array(kept))


def _codes(labels: pa.Array, classes) -> np.ndarray:
    """Class names -> their codes in `classes`, int32; looks up the few distinct names, not every row."""
    encoded = labels.dictionary_encode()
    code_of = {name: code for code, name in enumerate(classes)}
    table = np.array([code_of[name] for name in encoded.dictionary.to_pylist()], dtype=np.int32)
    return table[encoded.indices.to_numpy()] if len(table) else np.zeros(len(labels), dtype=np.int32)
