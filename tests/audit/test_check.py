"""What a check shows, and what it shows when the rows do not allow it."""

import pandas as pd
import pytest

from tlids_helpers.audit import show
from tlids_helpers.audit.check import Check, checked, found
from tlids_helpers.common.errors import InputError


def counted(frame: pd.DataFrame) -> Check:
    return found(frame, f"{frame['rows'].sum()} rows.")


def test_a_check_is_its_table_and_its_sentence():
    frame = pd.DataFrame({"class": ["a"], "rows": [3]})
    check = counted(frame)
    assert check.table is frame and check.sentence == "3 rows." and check.possible
    assert str(frame) in repr(check) and repr(check).endswith("3 rows.")
    assert check._repr_html_().endswith("<p>3 rows.</p>") and "<table" in check._repr_html_()


@pytest.mark.parametrize(
    ("corner", "marks", "sentence"),
    [
        ("simulated", None, "3 rows. [simulated]"),
        ("v2 subset", None, "3 rows."),
        (None, ["source simulated", "source simulated"], "3 rows. [source simulated]"),
        (None, ["", "source simulated"], "3 rows. [partly simulated]"),
        (None, ["simulated", "source simulated"], "3 rows. [simulated]"),
        (None, ["", "v2"], "3 rows."),
    ],
)
def test_a_sentence_on_simulated_rows_ends_with_the_mark(corner, marks, sentence):
    frame = pd.DataFrame({"rows": [1, 2]} | ({"mark": marks} if marks else {})).rename_axis(columns=corner)
    assert counted(frame).sentence == sentence


def test_a_class_named_like_a_tag_is_shown_and_does_nothing():
    assert Check(None, "<script>x</script> has 3 rows.")._repr_html_() == (
        "<p>&lt;script&gt;x&lt;/script&gt; has 3 rows.</p>"
    )


def test_a_check_that_the_rows_do_not_allow_gives_the_reason_and_reads_as_no_result():
    @checked
    def refused() -> Check:
        raise InputError("expected a benign class, found none", "name it 'Benign'")

    check = refused()
    assert check.table is None and not check.possible
    assert repr(check) == "Not checked: expected a benign class, found none: name it 'Benign'."
    assert "<table" not in check._repr_html_() and show.markdown(check) == check.sentence


def test_a_mistake_in_the_code_is_not_taken_for_a_check_that_cannot_be_made():
    with pytest.raises(ZeroDivisionError):
        checked(lambda: 1 / 0)()
