"""Labels of a user's own file that differ in what nobody sees, or that no model can have; columns that hold columns."""

import case_rows as made
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tlids_helpers.common.errors import InputError
from tlids_helpers.data import cleaned, prepare, sessions


def classes(put, data_dir, *labels: str) -> dict[str, int]:
    """The classes of a file with these labels in turn."""
    return cleaned.clean(str(put(made.flows(300, labels), "own.csv")), data_dir, True)[0].classes


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Web Attack \u2013 XSS", "Web Attack - XSS"), ("D\u00f6S", "Do\u0308S"), ("DoS", "DoS\u200b"),
        ("a\u00a0b", "a b"), ("\ufeffDoS", "DoS"), ("\uff24oS", "DoS"), ("SQL\u2010I", "SQL\u2212I"),
    ],
)  # fmt: skip
def test_labels_that_look_the_same_are_one_class(one, other, put, data_dir):
    found = classes(put, data_dir, "Benign", one, other)
    assert sorted(found.values()) == [100, 200] and all(name.isprintable() for name in found)


@pytest.mark.parametrize("label", ["\x1b[31mDoS", "DoS\x07", "x" * 101])
def test_a_label_that_no_model_can_have_is_refused_before_anything_is_trained(label, put, data_dir):
    with pytest.raises(InputError, match="at most 100 printable characters in column 'Attack' of own.csv, found"):
        classes(put, data_dir, "Benign", label)


def test_a_column_of_ids_is_not_taken_for_classes(put, data_dir):
    with pytest.raises(InputError, match="expected at most 1,000 classes in column 'Attack' of own.csv, found more"):
        cleaned.clean(str(put(made.flows(2000, [f"id{row}" for row in range(2000)]), "own.csv")), data_dir, True)


NESTED = {
    "Attack": pa.array([["DoS"]] * 300), "IN_BYTES": pa.array([{"bytes": 1}] * 300), "Session": pa.array([[1]] * 300),
}  # fmt: skip


@pytest.mark.parametrize("name", NESTED)
def test_a_column_that_holds_lists_is_named(name, put, data_dir):
    table = pa.Table.from_pandas(made.flows(Session="a")).to_pydict() | {name: NESTED[name]}
    path = data_dir / "raw" / "own.parquet"
    pq.write_table(pa.table(table), path)
    with pytest.raises(InputError, match=f"expected numbers or text in column '{name}' of own.parquet, found"):
        prepare.prepare(str(path), data_dir)


@pytest.mark.parametrize("name", ["IN_BYTES", "Session"])
def test_bytes_that_are_no_text_are_named(name, data_dir):
    table = pa.Table.from_pandas(made.flows(Session="a")).to_pydict() | {name: pa.array([b"\xff"] * 300)}
    path = data_dir / "raw" / "own.parquet"
    pq.write_table(pa.table(table), path)
    with pytest.raises(InputError, match=f"expected UTF-8 text in column '{name}' of own.parquet, found other bytes"):
        prepare.prepare(str(path), data_dir)


def test_recordings_numbered_by_thousands_of_digits_have_an_order_too():
    names = ["s" + "9" * 5000, "s10", "s2", "s002b", "s"]
    assert sessions.in_order(names, {}) == ["s", "s2", "s002b", "s10", "s" + "9" * 5000]
