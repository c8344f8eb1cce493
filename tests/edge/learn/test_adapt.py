"""adapt.py and the commands: a state and a model in, a whole new folder out, whatever happens on the way."""

import hashlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from edge_process import LIMIT_S, STARTED, alive, children, run_command, start_edge, wait_for, wait_until_told
from home_flows import DAY_S, MODEL, drawn, home_day, shown
from tlids_edge.cli import adapt as adapting
from tlids_edge.cli import edge
from tlids_edge.detect.card import read_card, read_fields, read_model
from tlids_edge.detect.detector import Detector
from tlids_edge.errors import InputError
from tlids_edge.learn import adapt, false_alarms, graph, models, state
from tlids_edge.learn.adapting import ONE_THREAD, Adaptation
from tlids_edge.learn.learner import Learner, Plan


@pytest.fixture(scope="module", autouse=True)
def trained():
    """A head is trained once for all that ask for it in this process; the heads so far, the first first."""
    made, train = {}, adapt.recipe.adapt

    def remembered(parent, site, stored, seed, times_us):
        asked = hashlib.sha256(parent.content + site.tobytes() + stored[0].tobytes()).digest(), seed
        if asked not in made:
            made[asked] = train(parent, site, stored, seed, times_us=times_us)
        return made[asked]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapt.recipe, "adapt", remembered)
        yield made


def teach(folder, seconds: float = DAY_S, **changes) -> None:
    """Let a learner see a home and close."""
    card = read_card(MODEL)
    learner = Learner(Plan(folder, MODEL, DAY_S, adapts=False, draw=drawn(), **changes), card, lambda _: None)
    shown(learner, home_day(seconds=seconds))
    learner.close()


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learned") / "state"
    teach(folder)
    return folder


@pytest.fixture(scope="module")
def adapted(learned, tmp_path_factory):
    target = tmp_path_factory.mktemp("adapted") / "model"
    adapt.adapt_folder(MODEL, learned, target, seed=1)
    return target


def test_the_card_says_what_was_learned_what_is_promised_and_from_which_model_it_comes(adapted):
    fields, parent = read_fields(adapted), read_fields(MODEL)
    told = fields["adapted"]
    assert told["parent"] == {"name": parent["name"], "sha256": parent["files"]["model.tflite"]["sha256"],
                              "threshold": parent["threshold"]}  # fmt: skip
    assert (told["hours"], told["devices"], told["sources_left_out"]) == (23.92, 12, [])
    promise = told["promise"]
    assert promise["flows"] == told["rows"] // 5 and promise["alarms"] <= promise["parent_alarms"]
    assert promise["bound"] == pytest.approx(1 - 0.05 ** (1 / promise["flows"])) or promise["alarms"]
    assert fields["threshold"] == 0.5 and f"of {promise['flows']} later flows" in fields["threshold_basis"]
    assert "metrics" not in fields and fields["classes"] == parent["classes"] and fields["l7"] == parent["l7"]
    assert set(fields["files"]) == {"model.tflite", "rows.npz"} and fields["novelty"]["rows"] <= 2000


def test_only_the_heads_weights_differ_from_the_parents_file(adapted):
    old, new = (read_model(folder, read_card(folder)) for folder in (MODEL, adapted))
    found = graph.find_head(old)
    blank = [(np.zeros_like(weights), np.zeros_like(bias)) for weights, bias in graph.read_layers(old, found)]
    assert old != new and graph.with_layers(old, found, blank) == graph.with_layers(new, found, blank)


def test_an_adapted_model_can_be_adapted_again_and_names_the_shipped_one(adapted, learned, tmp_path):
    adapt.adapt_folder(adapted, learned, tmp_path / "again", seed=2)
    told = read_fields(tmp_path / "again")["adapted"]
    assert told["parent"]["sha256"] == read_card(adapted).sha256 and told["shipped"] == read_card(MODEL).sha256


def test_false_alarms_are_known_from_the_last_learning_alone(adapted, learned, tmp_path):
    parent = tmp_path / "parent"
    shutil.copytree(adapted, parent)
    known = false_alarms.write(np.ones((1, 9), np.float32), parent)
    (parent / "card.json").write_text(json.dumps(read_fields(parent) | {"false_alarms": known}))
    adapt.adapt_folder(parent, learned, tmp_path / "again", seed=2)
    again = false_alarms.read(tmp_path / "again", read_fields(tmp_path / "again")["false_alarms"])
    assert len(again) <= 64 and not (again == 1).all(axis=1).any()


@pytest.mark.parametrize(
    ("seconds", "missing"),
    [(4 * 3600, "3.92 h and 576 rows, so 424 rows and 2.08 h are missing"), (7 * 3600, ""), (5.5 * 3600, "34.8 min")],
)
def test_too_little_learned_is_refused_with_what_is_missing(tmp_path, seconds, missing):
    teach(tmp_path / "state", seconds)
    if not missing:
        assert len(adapt.read_learned(tmp_path / "state", least=900).chosen.rows) >= 900
        return
    with pytest.raises(InputError, match="expected 6 h and .* rows learned at least") as refusal:
        adapt.adapt_folder(MODEL, tmp_path / "state", tmp_path / "new", least=None if "rows" in missing else 100)
    assert missing in str(refusal.value) and not (tmp_path / "new").exists()


def test_a_head_that_is_not_acceptable_leaves_nothing_behind(learned, tmp_path, monkeypatch):
    monkeypatch.setattr(adapt.recipe, "MAX_DISTANCE", 1e-6)
    with pytest.raises(InputError, match="away: the model in use stays"):
        adapt.adapt_folder(MODEL, learned, tmp_path / "new", seed=1)
    assert list(tmp_path.iterdir()) == []


def test_two_adaptations_at_once_are_one(learned, tmp_path):
    with state.locked(learned, state.ADAPT_LOCK, "adapts"), pytest.raises(InputError, match="one that adapts there"):
        adapt.adapt_folder(MODEL, learned, tmp_path / "new")
    started = [Adaptation(MODEL, learned, tmp_path / f"model{number}") for number in range(3)]
    for one in started:
        wait_for(one.has_ended, "an adaptation")
    made = [number for number in range(3) if (tmp_path / f"model{number}").exists()]
    assert [number for number, one in enumerate(started) if promised(one)] == made and made
    for number in made:
        Detector(tmp_path / f"model{number}")


def promised(adaptation: Adaptation) -> bool:
    """Whether an adaptation that has ended made a model."""
    try:
        return bool(adaptation.outcome())
    except InputError:
        return False


WRITER = """
import pickle, sys
from pathlib import Path
from tlids_edge.learn import adapt
head, model, learned, target = map(Path, sys.argv[1:])
made = pickle.loads(head.read_bytes())
adapt.recipe.adapt = lambda *_, **__: made
print("ready", flush=True)
adapt.adapt_folder(model, learned, target)
"""


def test_killed_at_any_step_it_leaves_a_whole_model_or_none(learned, adapted, trained, tmp_path):
    """At any step but the training, which writes nothing: the process is given the head."""
    head, folder, rng, whole = tmp_path / "head", tmp_path / "models", np.random.default_rng(0), 0
    head.write_bytes(pickle.dumps(next(iter(trained.values()))))

    def start(target) -> tuple[subprocess.Popen, float]:
        command = [sys.executable, "-c", WRITER, *map(str, (head, MODEL, learned, target))]
        child = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert child.stdout.readline() == b"ready\n"
        return child, time.monotonic()

    child, began = start(folder / "first")
    assert child.wait(LIMIT_S) == 0
    takes, target = time.monotonic() - began, folder / "new"
    child.stdout.close()
    for part in rng.permutation(np.linspace(0.1, 1.05, 8)):
        child, _ = start(target)
        try:
            child.wait(takes * part)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
        child.communicate()
        if target.exists():
            Detector(target)
            whole += 1
            target.rename(folder / f"whole{whole}")
    adapt.adapt_folder(MODEL, learned, target, seed=1)
    assert {path.name for path in folder.iterdir()} == {"first", "new", *(f"whole{n + 1}" for n in range(whole))}


@pytest.mark.parametrize("step", ["write_bytes", "write_text", "copyfile", "fsync", "rename"])
def test_a_disk_that_fails_at_any_step_leaves_nothing_and_is_told(learned, tmp_path, monkeypatch, step):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    place = {"write_bytes": adapt.Path, "write_text": adapt.Path, "copyfile": adapt.shutil, "fsync": os, "rename": os}
    monkeypatch.setattr(place[step], step, full)
    with pytest.raises(InputError, match="No space left on device"):
        adapt.adapt_folder(MODEL, learned, tmp_path / "new", seed=1)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_not_written_over(learned, tmp_path):
    (tmp_path / "new").mkdir()
    with pytest.raises(InputError, match="expected a new folder"):
        adapt.adapt_folder(MODEL, learned, tmp_path / "new")


def test_the_commands_list_use_roll_back_and_wipe(learned, adapted, tmp_path):
    folder = state.open_folder(tmp_path / "state")
    teach(folder)
    adapt.adapt_folder(MODEL, folder, folder / "models" / "home-1", seed=1)
    done = run_command("adapt", "--model", MODEL, "--state", folder, "-o", folder / "models" / "home-2")
    assert done.returncode == 0 and "later flows of this home alarmed; at most" in done.stderr
    assert run_command("models", "--state", folder, "--use", "home-2").returncode == 0
    listed = run_command("models", "--state", folder).stdout.splitlines()
    assert [line[0] for line in listed] == [" ", " ", "*"] and "home-2: 23.92 h, " in listed[2]
    assert run_command("rollback", "--state", folder).returncode == 0 and models.current(folder) == models.GIVEN
    again = run_command("rollback", "--state", folder)
    assert again.returncode == 2 and "no parent" in again.stderr
    wiped = run_command("wipe", "--state", folder)
    assert wiped.returncode == 0 and "removed learning, key" in wiped.stderr
    assert not (folder / state.LEARNING).exists() and len(models.all_models(folder)) == 2
    refused = run_command("adapt", "--model", MODEL, "--state", folder, "-o", tmp_path / "new")
    assert refused.returncode == 2 and "expected a learned state" in refused.stderr


def test_adapting_gives_way_to_all_others_unless_told_how_far(tmp_path, monkeypatch, capsys):
    for name, value in ONE_THREAD.items():
        monkeypatch.setenv(name, value)
    given = []
    monkeypatch.setattr(os, "nice", given.append)
    paths = ["--model", str(MODEL), "--state", str(tmp_path / "none"), "-o", str(tmp_path / "new")]
    for words in ([], ["--nice", "0"]):
        assert adapting.main([*paths, *words]) == 2
    assert given == [19, 0]
    with pytest.raises(SystemExit):
        adapting.main([*paths, "--nice", "20"])
    said = capsys.readouterr().err
    assert "expected a whole number from 0 to 19" in said and "found '20'" in said


def test_a_signal_to_adapt_leaves_no_process_behind(tmp_path):
    folder = state.open_folder(tmp_path / "state")
    os.mkfifo(folder / state.KEY)  # reading it waits
    command = [sys.executable, "-m", "tlids_edge.cli.edge", "adapt", "--model", MODEL, "--state", folder, "-o", "new"]
    many = {name: value for name, value in os.environ.items() if name not in ONE_THREAD}
    STARTED.append(process := subprocess.Popen(command, env=many, cwd=tmp_path, stderr=subprocess.DEVNULL))
    wait_for(lambda: is_read(folder / state.KEY), "the key to be read")
    offspring = children(process.pid)
    process.terminate()
    assert process.wait(LIMIT_S) == -signal.SIGTERM and not any(map(alive, offspring))


def is_read(fifo) -> bool:
    """Whether somebody has opened a FIFO to read it."""
    try:
        os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
        return True
    except OSError:
        return False


def test_ctrl_c_reaches_an_adapting_process_only_through_the_program(tmp_path):
    """It was once ended first, which counted as a failed adaptation: what was learned of the home was forgotten."""
    before = set(children(os.getpid()))
    adaptation = Adaptation(MODEL, state.open_folder(tmp_path / "state"), tmp_path / "new")
    try:
        (child,) = set(children(os.getpid())) - before
        assert os.getpgid(child) == child != os.getpgrp()
    finally:
        adaptation.stop()


def test_learning_needs_a_folder_and_a_time_that_can_be(capsys):
    assert edge.main(["--model", str(MODEL), "--source", "-", "--learn", "24h"]) == 2
    assert "give one with --state" in capsys.readouterr().err
    for text in ("24", "soon", "0h", "9d", "nan"):
        with pytest.raises(SystemExit):
            edge.main(["--model", str(MODEL), "--source", "-", "--learn", text, "--state", "s"])
        assert "a time, such as 24h" in capsys.readouterr().err


def test_learned_from_an_early_capture_the_later_one_alarms_less(shared, tmp_path):
    """On the first device of the real home whose flows suffice: a lock's hub, seven days in one capture."""
    capture = shared / "pcap" / "benign-home" / "lockly-hub-01.pcap"
    folder, new = tmp_path / "state", tmp_path / "home"
    learning = run_command(
        "--model", MODEL, "--source", capture, "--eve", os.devnull, "--learn", "24h", "--state", folder
    )
    assert learning.returncode == 0 and "1,000 rows" in learning.stderr and "enough for" in learning.stderr
    assert run_command("adapt", "--model", MODEL, "--state", folder, "-o", new).returncode == 0
    alarms = {}
    for model in (MODEL, new):
        eve = tmp_path / f"{model.name}.json"
        options = "--no-novelty", "--no-fan-out", "--no-arp-watch"
        done = run_command("--model", model, "--source", capture, "--eve", eve, *options)
        assert done.returncode == 0
        alarms[model] = sum(1 for line in eve.read_text().splitlines() if json.loads(line)["event_type"] == "alert")
    assert alarms[MODEL] > 2 * alarms[new]
    other = shared / "pcap" / "mqttset" / "malariados" / "malariados-test.pcap"  # nothing like it was learned
    eve = tmp_path / "novel.json"
    assert "novelty: " in run_command("--model", new, "--source", other, "--eve", eve).stderr
    events = [json.loads(line)["alert"] for line in eve.read_text().splitlines()]
    assert {(event["signature_id"], event["severity"]) for event in events} >= {(9_180_000, 4)}
    assert "novelty: " not in run_command("--model", new, "--source", other, "--eve", os.devnull, "--no-novelty").stderr


def test_watching_goes_on_while_the_model_is_adapted_and_the_new_one_takes_over(shared, tmp_path):
    capture = (shared / "pcap" / "benign-home" / "lockly-hub-01.pcap").read_bytes()
    folder, eve = tmp_path / "state", tmp_path / "eve.json"
    options = "--eve", str(eve), "--learn", "24h", "--state", str(folder), "--status", "0.1"
    watching = start_edge(MODEL, "-", *options, stdin=subprocess.PIPE)
    watching.stdin.write(capture[:-200_000])
    watching.stdin.flush()
    wait_until_told(watching, "learning: .* of 24 h")
    wait_until_told(watching, "adapted to this home: home-")
    watching.stdin.write(capture[-200_000:])
    watching.stdin.close()
    watching.stdin = None
    said = watching.communicate(timeout=LIMIT_S)[1].decode()
    assert watching.returncode == 0 and "0 gaps" in said
    (model,) = models.all_models(folder)
    assert models.in_use(folder, MODEL) == (model.folder, "")
    names = [json.loads(line)["alert"]["metadata"].get("tlids_model") for line in eve.read_text().splitlines()]
    assert [read_card(MODEL).name] in names
