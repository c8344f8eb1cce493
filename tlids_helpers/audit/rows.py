"""What the rows themselves show: published counts, too few rows, copies, and the best score that labels allow.

Equality of rows is exact, value for value. A hash only narrows down what has to be compared.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tlids_helpers.audit.check import Check, checked, found
from tlids_helpers.common import files
from tlids_helpers.common.style import marked
from tlids_helpers.data import parquet, prepare, raw, split
from tlids_helpers.data.catalog import DATASETS, Dataset
from tlids_helpers.data.prepare import ROLES, Prepared

ALL = "all"  # the last row of a table, over all classes
LEAST = 50  # test rows; below it one row changes the recall by more than two points


# census: rows, columns and classes of the file, beside what its publisher counted


@checked
def census(prepared: Prepared, dataset: str, data_dir: str | Path = "data") -> Check:
    """What was published, what is here, and the difference: quantity, published, here, difference, note.

    `dataset` and `data_dir` as for `prepare`. Quantities: rows of the file(s) with a label, rows kept in the split,
    columns of the file and classes; <NA> where nobody published it, or where no single file stands for the dataset
    (a union of files, a simulated stand-in). Not possible for a file that cannot be read.
    """
    entry = DATASETS.get(dataset)
    columns = file_columns(dataset, data_dir)
    absent, added = _column_differences(columns, entry)
    named = set(entry.classes) if entry else set(prepared.classes)
    missing, unknown = sorted(named - set(prepared.classes)), sorted(set(prepared.classes) - named)
    kept = sum(map(prepared.size, prepared.counts))
    told = None if "simulated" in prepared.mark else entry  # a simulated number never stands beside a published one
    rows = [
        ("rows in the file", told and told.total, _rows_in_files(prepared), ""),
        ("rows kept in the split", told and told.total, kept, ""),
        ("columns", told and len(told.columns), len(columns) or None, _note(absent, added)),
        ("classes", told and len(told.classes), len(prepared.classes), _note(missing, unknown)),
    ]
    table = pd.DataFrame(rows, columns=["quantity", "published", "here", "note"])
    table[["published", "here"]] = table[["published", "here"]].astype("Int64")
    table.insert(3, "difference", table["here"] - table["published"])
    return found(marked(table, prepared.mark), _census_sentence(table))


def file_columns(dataset: str, data_dir: str | Path = "data") -> list[str]:
    """The columns of the one file that stands for `dataset`, as it spells them; [] where there is no such file."""
    entry = DATASETS.get(dataset)
    if entry is None:
        return raw.inspect(files.resolve(dataset)).columns
    path = raw.locate_file(entry, raw.folder_of(entry, files.resolve(data_dir)))
    return raw.inspect(path, entry).columns if path else []


def _census_sentence(table: pd.DataFrame) -> str:
    counts = []
    for row in table.itertuples():
        of = "" if pd.isna(row.published) else f" ({row.published:,} published)"
        counts.append(f"{row.quantity}: {'unknown' if pd.isna(row.here) else f'{row.here:,}'}{of}")
    return f"{'; '.join(counts)}."


def _rows_in_files(prepared: Prepared) -> int:
    """Rows with a label in the files that were read; a union's own file counts once, however many parts it holds."""
    return sum({part["file"]: part["census"]["rows"] for part in prepared.parts.values()}.values())


def _column_differences(columns: list[str], entry: Dataset | None) -> tuple[list[str], list[str]]:
    """Published columns that the file lacks under any known spelling, and columns of the file nobody published."""
    if entry is None or not columns:
        return [], []
    spelled = {name: raw.find_column(name, columns) for name in entry.columns}
    return [name for name, here in spelled.items() if not here], [c for c in columns if c not in spelled.values()]


def _note(absent: list[str], added: list[str]) -> str:
    lists = (("not here", absent), ("not published", added))
    return "; ".join(f"{what}: {', '.join(repr(name) for name in names)}" for what, names in lists if names)


# support: how many rows each class is learned from and judged on


@checked
def support(prepared: Prepared, least: int = LEAST) -> Check:
    """Rows per class and role: class, train, validation, test, one_row, few.

    `one_row` is what one test row more found adds to the class's recall (a fraction; NaN without test rows), `few`
    states that there are fewer than `least` test rows.
    """
    table = pd.DataFrame({role: prepared.counts[role] for role in ROLES}).rename_axis("class").reset_index()
    table["one_row"] = 1 / table["test"].where(table["test"] > 0)
    table["few"] = table["test"] < least
    few = table[table["few"]]
    sentence = f"All {len(table)} classes have {least} test rows or more."
    if len(few):
        named = ", ".join(f"{row['class']} ({row['test']:,})" for _, row in few.iterrows())
        sentence = f"{len(few)} of {len(table)} classes have fewer than {least} test rows: {named}."
    return found(marked(table, prepared.mark), sentence)


# duplicates: rows that equal another row, within the dataset and across its split


@checked
def duplicates(prepared: Prepared) -> Check:
    """Exact duplicates per class, and in all: class, rows, repeats, repeats_labelled, share.

    `repeats`: rows whose nine features equal an earlier row's, whatever its class (in the order training, validation,
    test); `repeats_labelled`: rows that have an earlier row's features and class. `share` is repeats / rows.
    """
    features, codes = _loaded(prepared, "multiclass", ROLES)
    flows = pd.DataFrame(features)
    repeated = {"repeats": flows.duplicated(), "repeats_labelled": flows.assign(code=codes).duplicated()}
    masks = {name: mask.to_numpy() for name, mask in repeated.items()}
    table = _per_class(masks, codes, prepared.classes)
    last = table.iloc[-1]
    sentence = (
        f"{last['repeats']:,.0f} of {last['rows']:,.0f} rows repeat an earlier row on the features, "
        f"{last['repeats_labelled']:,.0f} of them on the class too."
    )
    return found(marked(table, prepared.mark), sentence)


@checked
def twins(prepared: Prepared) -> Check:
    """Test rows that equal a training row, per class and in all: class, rows, twins, twins_labelled, share.

    `rows` are test rows; `twins` equal a training row on the features, `twins_labelled` on the class too: the others
    have their twins under other classes alone. `share` is twins / rows.
    """
    features, codes = prepare.load(prepared, "test")
    equal = with_twins(features, np.array(prepared.classes, dtype=object)[codes], prepared)
    masks = {"twins": equal["features"].to_numpy(), "twins_labelled": equal["labelled"].to_numpy()}
    table = _per_class(masks, codes, prepared.classes)
    last = table.iloc[-1]
    sentence = (
        f"{last['twins']:,.0f} of {last['rows']:,.0f} test rows equal a training row on the features, "
        f"{last['twins_labelled']:,.0f} of them on the class too."
    )
    return found(marked(table, prepared.mark), sentence)


def group_ids(rows: np.ndarray) -> np.ndarray:
    """One number for all equal rows of `rows` (n, F) float: (n,) in 0..groups-1. There must be no NaN among them."""
    _, first, ids = np.unique(split.hash_rows(rows, 0), return_index=True, return_inverse=True)
    if np.array_equal(rows, rows[first[ids]]):
        return ids
    # two different rows share a hash: chance one in 2^64 a pair, but a count that is wrong is wrong
    return np.unique(rows + np.float32(0.0), axis=0, return_inverse=True)[1].ravel()


def with_twins(features: np.ndarray, labels: np.ndarray, known: Prepared) -> pd.DataFrame:
    """Which of `features` (m, 9) with the class names `labels` (m,) equal a training row of `known`.

    Two columns of bool, (m,): "features" for the nine features alone, "labelled" for the features and the class.
    `known` is streamed; held in memory are its rows that may match.
    """
    candidates, names = _may_match(features, known)
    codes = pd.factorize(np.concatenate([labels, names]))[0].astype(np.float32)
    rows = np.concatenate([features, candidates])
    return pd.DataFrame(
        {
            "features": _among(rows, len(features)),
            "labelled": _among(np.column_stack([rows, codes]), len(features)),
        }
    )


def _may_match(features: np.ndarray, known: Prepared) -> tuple[np.ndarray, np.ndarray]:
    """The training rows of `known` whose hash is that of a row of `features`, and their class names."""
    asked = np.unique(split.hash_rows(features, 0))
    kept = [pd.DataFrame(columns=[*known.features, "Attack"])]
    for batch in parquet.stream_parquet(known.folder / "train.parquet", columns=[*known.features, "Attack"]):
        frame = batch.to_pandas().fillna(dict.fromkeys(known.features, 0))
        hashes = split.hash_rows(frame[list(known.features)].to_numpy(np.float32), 0)
        nearest = np.minimum(np.searchsorted(asked, hashes), len(asked) - 1)
        kept.append(frame[asked[nearest] == hashes].drop_duplicates())
    rows = pd.concat(kept[1:] or kept, ignore_index=True)
    return rows[list(known.features)].to_numpy(np.float32), rows["Attack"].to_numpy(dtype=object)


def _among(rows: np.ndarray, asked: int) -> np.ndarray:
    """Which of the first `asked` rows equal one of the others."""
    ids = group_ids(rows)
    return np.isin(ids[:asked], ids[asked:])


def _loaded(prepared: Prepared, task: str, roles: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The rows of several roles together: features (n, F) and codes (n,)."""
    loaded = [prepare.load(prepared, role, task) for role in roles]
    return np.concatenate([features for features, _ in loaded]), np.concatenate([codes for _, codes in loaded])


def _per_class(masks: dict[str, np.ndarray], codes: np.ndarray, classes: tuple[str, ...]) -> pd.DataFrame:
    """Rows, rows where each mask holds, and the first mask's share, of every class that has rows, and of all."""
    frame = pd.DataFrame({"rows": np.bincount(codes, minlength=len(classes))}, index=list(classes))
    for name, mask in masks.items():
        frame[name] = np.bincount(codes[mask], minlength=len(classes))
    frame.loc[ALL] = frame.sum()
    frame = frame[frame["rows"] > 0].rename_axis("class").reset_index()
    return frame.assign(share=frame[next(iter(masks))] / frame["rows"])


# ceiling: what no model can get past. A model is a function of the features, so it gives equal rows one class. The
# bounds are those of an oracle that knows the very rows it is scored on. Rows that conflict only with rows of another
# role do not count against it, so on the test split alone the ceiling is high rather than low.


@checked
def ceiling(prepared: Prepared, task: str = "multiclass", roles: Sequence[str] = ("test",)) -> Check:
    """The best scores that labels allow on the rows of `roles` together: score, best, what."""
    features, codes = _loaded(prepared, task, roles)
    counts = group_counts(features, codes, len(prepare.class_list(prepared, task)))
    table = score_bounds(counts)
    conflicting = int(counts[(counts > 0).sum(axis=1) > 1].sum())
    wrong = int(counts.sum() - counts.max(axis=1).sum())
    of = "rows" if set(roles) == set(ROLES) else f"{' and '.join(roles)} rows"
    sentence = (
        f"{conflicting:,} of {len(codes):,} {of} equal a row of another class, so every model gets at least "
        f"{wrong:,} wrong: at best an accuracy of {1 - wrong / len(codes):.4f} and a macro-F1 of at most "
        f"{table.set_index('score').loc['macro_f1', 'best']:.4f}."
    )
    return found(marked(table, prepared.mark), sentence)


@checked
def ceiling_by_class(prepared: Prepared, task: str = "multiclass", roles: Sequence[str] = ("test",)) -> Check:
    """`class_bounds` of the rows of `roles` together: which classes share their rows with others."""
    features, codes = _loaded(prepared, task, roles)
    classes = prepare.class_list(prepared, task)
    table = class_bounds(group_counts(features, codes, len(classes)), classes)
    sharing = table[(table["conflicting"] > 0) & (table["class"] != ALL)]
    named = ", ".join(f"{row['class']} ({row['conflicting']:,} rows)" for _, row in sharing.iterrows())
    return found(marked(table, prepared.mark), f"Classes that share rows with others: {named or 'none'}.")


def group_counts(features: np.ndarray, codes: np.ndarray, n_classes: int) -> np.ndarray:
    """Rows of each class (columns) in each group of equal features (rows), (G, C).

    All groups of one class alone are one group here, as no bound can tell them apart: memory goes with the conflicts.
    """
    keys, rows = np.unique(group_ids(features) * np.int64(n_classes) + codes, return_counts=True)
    group, code = np.divmod(keys, n_classes)
    mixed = np.bincount(group)[group] > 1
    pure = np.bincount(code[~mixed], weights=rows[~mixed], minlength=n_classes).astype(np.int64)
    _, row_of = np.unique(group[mixed], return_inverse=True)
    conflicts = np.zeros((row_of.max() + 1 if len(row_of) else 0, n_classes), dtype=np.int64)
    conflicts[row_of, code[mixed]] = rows[mixed]
    return np.concatenate([np.diag(pure)[pure > 0], conflicts])


def score_bounds(counts: np.ndarray) -> pd.DataFrame:
    """Best scores for `counts` (G, C): score, best, what. Averages are over the classes that have rows.

    accuracy and balanced_accuracy are exact: each group takes the class that adds most. macro_f1 is a bound from
    above, the mean of the best F1 of each class alone, which one model need not reach in all classes at once;
    macro_f1_majority is reached, by the most accurate model (the lower code in a tie). The best is between the two.
    """
    counts = counts[:, counts.sum(axis=0) > 0]
    total = counts.sum(axis=0)
    verdict = counts.argmax(axis=1)
    right = np.bincount(verdict, weights=counts.max(axis=1), minlength=len(total))
    named = np.bincount(verdict, weights=counts.sum(axis=1), minlength=len(total))
    rows = [
        ("accuracy", counts.max(axis=1).sum() / counts.sum(), "exact"),
        ("balanced_accuracy", (counts / total).max(axis=1).sum() / len(total), "exact"),
        ("macro_f1", np.mean([best_f1(counts, code) for code in range(len(total))]), "at most"),
        ("macro_f1_majority", np.mean(2 * right / (total + named)), "reached at the best accuracy"),
    ]
    return pd.DataFrame(rows, columns=["score", "best", "what"])


def class_bounds(counts: np.ndarray, classes: tuple[str, ...]) -> pd.DataFrame:
    """Per class and in all: class, rows, conflicting, recall, recall_without_false, best_f1, for `counts` (G, C).

    A model that names one class for everything has recall 1 in it, so a best recall needs a condition. `recall`: at
    the best accuracy, ties in the class's favour; `recall_without_false`: with no row of another class named so.
    `best_f1` is the best F1 of the class alone, exact. In the last row recall is the accuracy; F1 is left out.
    """
    most = counts.max(axis=1, keepdims=True)
    mixed = (counts > 0).sum(axis=1) > 1
    frame = pd.DataFrame({"class": classes, "rows": counts.sum(axis=0), "conflicting": counts[mixed].sum(axis=0)})
    held = np.where(counts == most, counts, 0).sum(axis=0)
    frame = frame[frame["rows"] > 0]
    codes = frame.index.to_numpy()
    frame["recall"] = held[codes] / frame["rows"]
    frame["recall_without_false"] = 1 - frame["conflicting"] / frame["rows"]
    frame["best_f1"] = [best_f1(counts, code) for code in codes]
    rows, conflicting = int(frame["rows"].sum()), int(frame["conflicting"].sum())
    last = (ALL, rows, conflicting, most.sum() / rows, 1 - conflicting / rows, np.nan)
    return pd.DataFrame([*frame.itertuples(index=False, name=None), last], columns=list(frame))


def best_f1(counts: np.ndarray, code: int) -> float:
    """The best F1 that any labelling of the groups of `counts` (G, C) gives the class `code`.

    F1 is twice the rows found over the class's rows plus the rows named; such a ratio of sums is largest for the
    groups with the largest share of the class, however many (Dinkelbach 1967), so they are taken in that order.
    """
    own, size = counts[:, code], counts.sum(axis=1)
    order = np.argsort(-(own / size), kind="stable")
    right, named = np.cumsum(own[order]), np.cumsum(size[order])
    return float((2 * right / (own.sum() + named)).max())
