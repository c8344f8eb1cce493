"""models.py: one model is in use, the way back is its parent, and a damaged choice stops nothing."""

import hashlib
import json
import os

import pytest
from tlids_edge.cli import edge
from tlids_edge.cli import models as cli
from tlids_edge.errors import InputError
from tlids_edge.flows.meter import CICFLOW_FEATURES
from tlids_edge.learn import models, state
from tlids_edge.learn.adapting import ONE_THREAD


@pytest.fixture
def given(tmp_path):
    return model(tmp_path / "given", "given")


def model(folder, content: str, parent=None, shipped=None, date: str = ""):
    """A model's folder; its model.tflite is `content`."""
    folder.mkdir(parents=True)
    digest = hashlib.sha256(content.encode()).hexdigest()
    fields = {
        "schema": 1, "family": "cicflow", "dialect": "constant-window", "classes": ["Benign", "DoS"],
        "benign": "Benign", "threshold": 0.5, "files": {"model.tflite": {"sha256": digest}},
        "features": list(CICFLOW_FEATURES),
    }  # fmt: skip
    if parent:
        fields["adapted"] = {"parent": {"sha256": sha(parent)}, "shipped": sha(shipped), "date": date}
    (folder / "card.json").write_text(json.dumps(fields))
    (folder / "model.tflite").write_text(content)
    return folder


def sha(folder) -> str:
    return json.loads((folder / "card.json").read_text())["files"]["model.tflite"]["sha256"]


@pytest.fixture
def home(tmp_path, given):
    """A state with two models in a line: first, adapted from the given one, and second, adapted from the first."""
    folder = state.open_folder(tmp_path / "state")
    first = model(folder / "models" / "home-1", "first", given, given, "2026-11-01")
    model(folder / "models" / "home-2", "second", first, given, "2026-11-08")
    (folder / "models" / "no-model").mkdir()
    return folder


def test_models_are_listed_oldest_first_and_a_folder_that_is_none_is_left_out(home):
    assert [each.name for each in models.all_models(home)] == ["home-1", "home-2"]


def test_without_a_choice_the_given_model_is_in_use(home, given):
    assert models.current(home) == models.GIVEN and models.in_use(home, given) == (given, "")


def test_rolling_back_goes_to_the_parent_then_to_the_given_model_and_then_no_further(home, given):
    models.use(home, "home-2")
    assert models.in_use(home, given) == (home / "models" / "home-2", "")
    assert models.roll_back(home) == "home-1"
    assert models.in_use(home, given) == (home / "models" / "home-1", "")
    assert models.roll_back(home) == models.GIVEN
    assert models.in_use(home, given) == (given, "")
    with pytest.raises(InputError, match="no parent.*--use"):
        models.roll_back(home)
    models.use(home, "home-2")  # and forward again
    assert models.in_use(home, given)[0].name == "home-2"


def test_a_parent_that_is_gone_is_told_and_nothing_changes(home, given):
    models.use(home, "home-2")
    (home / "models" / "home-1" / "card.json").unlink()
    with pytest.raises(InputError, match="parent of home-2"):
        models.roll_back(home)
    assert models.current(home) == "home-2"


def test_a_model_adapted_from_another_one_than_the_given_is_not_taken(home, tmp_path):
    models.use(home, "home-1")
    other = model(tmp_path / "other", "other")
    folder, why = models.in_use(home, other)
    assert folder == other and "was not adapted from" in why


@pytest.mark.parametrize("name", ["../../given", "/etc", "home-3", ".hidden", "a/b", "x" * 200])
def test_a_name_that_is_no_model_of_this_home_is_refused_and_as_a_choice_ignored(home, given, name):
    with pytest.raises(InputError):
        models.use(home, name)
    (home / models.CURRENT).write_text(name)
    folder, why = models.in_use(home, given)
    assert folder == given and why.startswith("expected")


def test_a_damaged_choice_or_card_leaves_the_given_model_in_use(home, given):
    (home / models.CURRENT).write_bytes(b"\xff\xfe")
    assert models.in_use(home, given)[0] == given
    models.use(home, "home-1")
    (home / "models" / "home-1" / "card.json").write_text("[")
    assert models.in_use(home, given)[0] == given


@pytest.mark.parametrize(
    "more",
    [{}, {"hours": "x"}, {"rows": None}, {"promise": None}, {"promise": {"alarms": "\x1b[31m"}}, {"hours": "\x1b[31m"}],
)
def test_a_card_that_does_not_say_what_was_learned_is_listed_all_the_same(more, home, capsys):
    promise = {"alarms": 1, "flows": 2, "bound": 0.1, "confidence": 0.9}
    card = home / "models" / "home-1" / "card.json"
    fields = json.loads(card.read_text())
    told = {"hours": 6, "rows": 1000, "promise": promise} | more if more else {}
    told = told | {"promise": promise | more["promise"]} if more.get("promise") else told
    card.write_text(json.dumps(fields | {"adapted": fields["adapted"] | told}))
    assert cli.main(["models", "--state", str(home)]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if "home-1" in line)
    assert line == "  home-1: its card does not say what was learned"


def test_a_model_that_is_not_there_is_answered_by_how_to_list_them(home, capsys):
    assert cli.main(["models", "--state", str(home), "--use", "home-9"]) == 2
    assert "found 'home-9': run `tlids-edge models`" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["--model", "{given}", "--source", "none.pcap"],
        ["models"],
        ["models", "--use", "given"],
        ["rollback"],
        ["adapt", "--model", "{given}", "-o", "new"],
    ],
    ids=" ".join,
)
def test_a_state_folder_that_is_not_there_is_told_and_not_made(words, given, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, value in ONE_THREAD.items():
        monkeypatch.setenv(name, value)  # else adapt would begin again in the place of these tests
    monkeypatch.setattr(os, "nice", lambda _: None)
    arguments = [word.format(given=given) for word in words]
    assert edge.main([*arguments, "--state", "mistyped"]) == 2
    assert "expected a state folder at mistyped, found none: " in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["given"]
    (tmp_path / "mistyped").touch()
    assert edge.main([*arguments, "--state", "mistyped"]) == 2
    assert "expected a state folder at mistyped, found another file: " in capsys.readouterr().err


def test_an_empty_state_folder_as_systemd_makes_it_is_none_that_was_mistyped(given, tmp_path, capsys):
    (tmp_path / "state").mkdir()
    assert edge.main(["--model", str(given), "--source", "none.pcap", "--state", str(tmp_path / "state")]) == 2
    assert "state folder" not in capsys.readouterr().err  # it is the model that cannot be used
