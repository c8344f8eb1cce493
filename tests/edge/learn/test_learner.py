"""learner.py and home.py: learning beside the watching, and the model that takes over."""

import json
import os
import sys
import time

import numpy as np
import pytest
from edge_process import alive, children, wait_for
from home_flows import DAY_S, MODEL, drawn, home_day, shown, together, verdict
from tlids_edge.detect.card import read_card
from tlids_edge.detect.judging import Batch
from tlids_edge.errors import InputError
from tlids_edge.learn import learner as module
from tlids_edge.learn import models, novelty, state
from tlids_edge.learn.home import Home
from tlids_edge.learn.learner import Learner, Plan

CARD = read_card(MODEL)


class Listener(list):
    """What the learner says."""

    def __call__(self, text: str) -> None:
        self.append(text)

    @property
    def text(self) -> str:
        return "\n".join(self)


@pytest.fixture
def said() -> Listener:
    return Listener()


def learning(folder, said, **changes) -> Learner:
    plan = {"folder": folder / "state", "given": MODEL, "learn_s": DAY_S, "adapts": False, "draw": drawn()} | changes
    return Learner(Plan(**plan), CARD, said)


def batch(verdicts: list) -> Batch:
    return Batch(together(verdicts), np.zeros(len(verdicts), bool))


def test_it_says_how_far_it_is_and_how_many_rows_are_missing(tmp_path, said):
    learner = learning(tmp_path, said)
    shown(learner, home_day(hosts=2, seconds=9 * 3600))
    learner.close()
    assert "learning: 8.92 h of 24 h, 216 rows, 0 sources left out; 784 rows are missing" in said.text


def test_after_a_restart_it_goes_on_where_it_was(tmp_path, said):
    first = learning(tmp_path, said)
    shown(first, home_day(seconds=3 * 3600))
    first.close()
    again = learning(tmp_path, said)
    shown(again, home_day(begin=3 * 3600, seconds=3600))
    again.close()
    assert "continuing: learning: 2.92 h of 24 h" in said.text
    assert said[-1].startswith("learning: 3.84 h of 24 h, 576 rows")  # what passed between the two is not counted


def test_a_day_with_too_few_rows_goes_on_until_there_are_enough(tmp_path, said):
    learner = learning(tmp_path, said)
    shown(learner, home_day(hosts=2, every_s=600, seconds=DAY_S))
    assert learner.learning and not learner._full
    shown(learner, home_day(hosts=2, every_s=100, begin=DAY_S, seconds=DAY_S))
    learner.close()
    assert learner._full and "enough for `tlids-edge adapt`" in said[-1]


def test_two_programs_do_not_learn_in_one_folder(tmp_path, said):
    first = learning(tmp_path, said)
    with pytest.raises(InputError, match="one that learns there"):
        learning(tmp_path, said)
    first.close()
    learning(tmp_path, said).close()


@pytest.mark.parametrize("content", [b"", b"no state at all", b"{}\n" + bytes(100)])
def test_a_damaged_state_is_told_of_and_the_learning_begins_again(tmp_path, said, content):
    state.open_folder(tmp_path / "state")
    (tmp_path / "state" / state.LEARNING).write_bytes(content)
    learner = learning(tmp_path, said)
    assert "learning starts again" in said.text
    shown(learner, home_day(hosts=1, seconds=3600))
    learner.close()
    assert learning(tmp_path, said).line().startswith("learning: 55 min of 24 h, 12 rows")


def test_rows_of_another_models_features_are_not_mixed_in(tmp_path, said):
    learner = learning(tmp_path, said)
    keeper = learner._keeper
    shown(learner, home_day(hosts=1, seconds=3600))
    learner._held.close()
    state.save(tmp_path / "state", state.read_key(tmp_path / "state"), keeper, {"family": "cicflow", "dialect": None})
    assert learning(tmp_path, said).line().startswith("learning: 0 min") and "features of another model" in said.text


def test_a_full_disk_is_told_of_once_and_stops_no_learning(tmp_path, said, monkeypatch):
    learner = learning(tmp_path, said)
    real = state.save

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(state, "save", full)
    for _ in range(3):
        shown(learner, home_day(hosts=1, seconds=3600))
        learner.save()
    assert said.text.count("No space left on device") == 1 and "make room" in said.text
    monkeypatch.setattr(state, "save", real)
    learner.close()
    assert "written again" in said.text and (tmp_path / "state" / state.LEARNING).exists()


def test_a_source_in_a_burst_is_named_in_the_journal_and_its_rows_are_not_kept(tmp_path, said):
    learner = learning(tmp_path, said)
    shown(learner, [verdict(second, host=9, alarm=True) for second in range(30)])
    assert said.text.count("leaves 10.0.0.9 02:00:00:00:00:09 out") == 1
    assert learner._keeper.rows().size == 0 and ", 1 sources left out" in learner.line()
    learner.close()
    stored = (tmp_path / "state" / state.LEARNING).read_bytes()
    assert b"10.0.0.9" not in stored and bytes([10, 0, 0, 9]) not in stored


def test_an_adapted_model_takes_over_and_the_rows_are_forgotten(tmp_path, said):
    home = Home(learning(tmp_path, said, adapts=True))
    assert home.learning and not home.see(batch(home_day()[:200])).novel.any()
    shown(home.learner, home_day(seconds=DAY_S + 1200))
    home.learner._looked_at -= 2 * module.LOOK_S  # the next look is due
    assert home.tick() is None and home.line() == "adapting"
    found = []
    wait_for(lambda: found.append(home.tick()) or found[-1] is not None, "the adapted model")
    detector, name = found[-1], models.current(tmp_path / "state")
    assert detector.card.name.startswith(f"{CARD.name}+home-") and detector.card.threshold == 0.5
    assert not home.learning and home.line() == ""
    assert f"adapted to this home: {name}; " in said.text and "later flows of this home alarmed" in said.text
    assert isinstance(home.novelty, novelty.Novelty)
    assert home.see(batch([verdict(2e5, host=200, port=31)])).novel.tolist() == [True]  # no such port was ever learned
    home.close()
    assert len(state.peek(tmp_path / "state", state.read_key(tmp_path / "state"))["extra"]["adapted"]) == len(name)
    header = state.peek(tmp_path / "state", state.read_key(tmp_path / "state"))
    assert (header["kept"], header["open"]) == (0, [])
    again = learning(tmp_path, said, adapts=True)
    assert not again.learning and "adapted already" in said.text
    again.close()
    fields = json.loads((tmp_path / "state" / "models" / name / "card.json").read_text())
    assert fields["adapted"]["parent"]["sha256"] == CARD.sha256 and fields["adapted"]["hours"] >= 24


def test_an_adaptation_that_fails_is_told_of_and_the_learning_begins_again(tmp_path, said):
    given = tmp_path / "no-rows"
    given.mkdir()
    fields = json.loads((MODEL / "card.json").read_text())
    fields["files"].pop("rows.npz")
    (given / "card.json").write_text(json.dumps(fields))
    (given / "model.tflite").write_bytes((MODEL / "model.tflite").read_bytes())
    learner = learning(tmp_path, said, adapts=True, given=given)
    shown(learner, home_day(seconds=DAY_S + 1200))
    learner._looked_at = time.monotonic() - 2 * module.LOOK_S
    learner.tick()
    wait_for(lambda: learner.tick() is None and "not adapted" in said.text, "the failure")
    assert "not adapted: expected the digest of rows.npz" in said.text and learner.learning
    assert learner.line().startswith("learning: 0 min of 24 h, 0 rows")
    learner.close()


def about_to_adapt(folder, said) -> Learner:
    """A learner that has learned enough; its next tick starts to adapt."""
    learner = learning(folder, said, adapts=True)
    shown(learner, home_day(seconds=DAY_S + 1200))
    learner._looked_at = time.monotonic() - 2 * module.LOOK_S
    return learner


def stand_in(folder, monkeypatch, script: str) -> None:
    """Run a line of shell in the place of `tlids-edge adapt`, whose -o is $9."""
    program = folder / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


def test_an_adaptation_that_says_more_than_a_pipe_holds_comes_to_its_end(tmp_path, said, monkeypatch):
    learner = about_to_adapt(tmp_path, said)
    warnings = "yes 'a long warning' | head -n 20000"
    stand_in(tmp_path, monkeypatch, f"({warnings}; echo 'tlids-edge: the reason') >&2; exit 2")
    learner.tick()
    wait_for(lambda: learner.tick() is None and "not adapted" in said.text, "the end of the process")
    assert "not adapted: the reason; learning starts again" in said.text
    learner.close()


def test_the_end_of_the_watching_ends_an_adaptation_that_would_leave_a_model_to_nobody(tmp_path, said, monkeypatch):
    learner, before = about_to_adapt(tmp_path, said), set(children(os.getpid()))
    stand_in(tmp_path, monkeypatch, 'mkdir -p "${9%/*}/.${9##*/}.$$.part"; exec sleep 600')
    learner.tick()
    begun = tmp_path / "state" / models.FOLDER
    wait_for(lambda: list(begun.glob(".*.part")), "a model that is begun")
    (adapting,) = set(children(os.getpid())) - before
    learner.close()
    assert not alive(adapting) and list(begun.iterdir()) == []
    again = learning(tmp_path, said)
    assert "continuing: learning: 24" in said.text and again._rows >= 1000
    again.close()


def test_what_keeps_an_adaptation_from_starting_is_told_and_no_row_is_forgotten(tmp_path, said, monkeypatch):
    learner = about_to_adapt(tmp_path, said)
    with state.locked(tmp_path / "state", state.ADAPT_LOCK, "adapts"):
        assert learner.tick() is None and learner.tick() is None
    assert said[-1].startswith("not adapted: ") and said[-1].endswith("; tried again in 10 minutes")
    assert said.text.count("found one that adapts there") == 1
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    learner._looked_at = time.monotonic() - 2 * module.LOOK_S
    assert learner.tick() is None
    assert said.text.count("expected to start `tlids-edge adapt`, found: No such file") == 1
    assert learner.learning and learner.line().startswith("learning: 24")
    learner.close()
