"""Progress bars: what they say, where, and when they say nothing."""

import io
import sys

import nbformat
import pytest

from tlids_helpers import notebooks
from tlids_helpers.common import progress


@pytest.fixture
def loud(monkeypatch):
    """A person's session: no CI, bars on; a counter does not wait."""
    for name in ("CI", "TQDM_DISABLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(progress, "DELAY", 0.0)


def shown(monkeypatch) -> str:
    """What a bar of two steps and a counter of 3,000 rows leave on standard error."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.steps("training", "epoch", 2) as bar:
        bar.update()
        bar.update()
    with progress.counter("reading", "rows") as count:
        count.update(3000)
    return stream.getvalue()


def test_a_bar_says_steps_of_all_and_a_counter_says_how_many_and_how_fast(loud, monkeypatch):
    text = shown(monkeypatch)
    assert "training: 100%" in text and "2/2" in text
    assert "reading: 3.00k rows [" in text and "rows/s" in text


@pytest.mark.parametrize("name", ["CI", "TQDM_DISABLE"])
def test_nothing_is_shown_under_ci_or_when_bars_are_turned_off(name, loud, monkeypatch):
    monkeypatch.setenv(name, "1")
    assert shown(monkeypatch) == ""


def test_a_counter_shows_nothing_of_what_is_done_at_once(loud, monkeypatch):
    monkeypatch.setattr(progress, "DELAY", 60.0)
    assert "reading" not in shown(monkeypatch)


def test_in_a_notebook_bars_go_to_standard_output_which_is_not_painted_red(loud, monkeypatch):
    stream = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})()
    monkeypatch.setattr(sys, "stdout", stream)
    assert shown(monkeypatch) == ""
    assert "training: 100%" in stream.getvalue()


def test_a_page_shows_how_far_a_bar_came_and_not_every_step(tmp_path):
    steps = [nbformat.v4.new_output("stream", name="stdout", text=f"\rtraining: {n}/3") for n in range(4)]
    cell = nbformat.v4.new_code_cell("train()", outputs=steps)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "run.ipynb")
    page = notebooks.write_page(tmp_path / "run.ipynb").read_text()
    assert "training: 3/3" in page and page.count("training: ") == 1
