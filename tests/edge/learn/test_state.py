"""state.py: what is on the disk is whole, this device's, of this version, and for its owner alone."""

import os
import re
import signal
import subprocess
import sys
import zlib

import numpy as np
import pytest
from edge_process import LIMIT_S, STARTED, wait_for
from full_disk import small_disk
from home_flows import DAY_S, drawn, resign, seen
from tlids_edge.errors import InputError
from tlids_edge.learn import state
from tlids_edge.learn.keep import Keeper

EXTRA = {"family": "netflow"}


@pytest.fixture
def folder(tmp_path):
    return state.open_folder(tmp_path / "state")


@pytest.fixture
def key(folder):
    return state.read_key(folder)


def taught(minutes: int = 40) -> Keeper:
    """A keeper with closed windows, open ones, a proven device and a source that was left out."""
    keeper = Keeper(DAY_S, drawn())
    keeper.see([seen(60 * minute + source, source=source) for minute in range(minutes) for source in (5, 6, 7)])
    keeper.see([seen(60 * minutes + index, source=7, alarm=True) for index in range(12)])
    return keeper


def loaded(folder, key) -> tuple[dict | None, str, Keeper]:
    keeper = Keeper(DAY_S, drawn())
    return *state.load(folder, key, keeper), keeper


def test_what_was_saved_comes_back_and_the_learning_goes_on_as_if_never_stopped(folder, key):
    keeper = taught()
    assert len(keeper.kept) and keeper.open and keeper.left_out[7]
    state.save(folder, key, keeper, EXTRA)
    extra, why, again = loaded(folder, key)
    assert (extra, why) == (EXTRA, "")
    np.testing.assert_array_equal(again.rows(), keeper.rows())
    assert (again.elapsed, again.proven, again.left_out) == (keeper.elapsed, keeper.proven, keeper.left_out)
    again.see([seen(5000 + 60 * minute, source=8) for minute in range(30)])
    assert len(again.rows()) > len(keeper.rows())


def test_nothing_saved_is_no_fault(folder, key):
    assert loaded(folder, key)[:2] == (None, "")


@pytest.mark.parametrize("place", [0, 30, -1, -40])
def test_one_changed_byte_anywhere_is_noticed(folder, key, place):
    state.save(folder, key, taught(), EXTRA)
    content = bytearray((folder / state.LEARNING).read_bytes())
    content[place] ^= 1
    (folder / state.LEARNING).write_bytes(content)
    extra, why, keeper = loaded(folder, key)
    assert extra is None and "damaged" in why and not len(keeper.rows())


def test_a_file_of_another_device_is_not_taken(folder, key, tmp_path):
    other = state.open_folder(tmp_path / "other")
    state.save(other, state.read_key(other), taught(), EXTRA)
    (folder / state.LEARNING).write_bytes((other / state.LEARNING).read_bytes())
    assert "not written on this device" in loaded(folder, key)[1]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda header: header.update(version=2), "version 2"),
        (lambda header: header.update(saved=header["saved"] - 8 * DAY_S), "seven days"),
        (lambda header: header.update(learn_s=3600.0), "3600 s"),
        (lambda header: header.update(kept=header["kept"] + 1), "another size"),
        (lambda header: header.pop("open"), "open"),
        (lambda header: header.update(left_out=3), "int"),
    ],
)
def test_a_state_that_does_not_fit_is_left_unread_and_the_reason_is_said(folder, key, change, found):
    state.save(folder, key, taught(), EXTRA)
    resign(folder, key, change)
    extra, why, _ = loaded(folder, key)
    assert extra is None and why.startswith("expected") and found in why


def test_a_small_file_that_unfolds_to_gigabytes_is_not_unfolded(folder, key):
    state.save(folder, key, taught(), EXTRA)
    line = (folder / state.LEARNING).read_bytes().partition(b"\n")[0]
    content = line + b"\n" + zlib.compress(bytes(64 << 20), 9)
    (folder / state.LEARNING).write_bytes(content + state._tag(key, content))
    assert "another size" in loaded(folder, key)[1]


def test_a_file_beyond_the_limit_is_not_read(folder, key, monkeypatch):
    state.save(folder, key, taught(), EXTRA)
    monkeypatch.setattr(state, "MAX_BYTES", 100)
    assert "100 bytes" in loaded(folder, key)[1]


def test_the_owner_alone_may_read_it_and_no_address_or_pickle_is_in_it(folder, key):
    state.save(folder, key, taught(), EXTRA)
    assert folder.stat().st_mode & 0o777 == 0o700
    for name in (state.KEY, state.LEARNING):
        assert (folder / name).stat().st_mode & 0o777 == 0o600
    for module in ("state", "keep", "rows", "novelty"):
        source = (state.Path(state.__file__).parent / f"{module}.py").read_text()
        assert not re.search(r"import pickle|allow_pickle=True|np\.load\(", source)


def test_sources_are_told_apart_by_hashes_that_differ_from_device_to_device(folder, key):
    address, mac = bytes([192, 168, 1, 20]), bytes(range(6))
    assert state.hasher(key, b"source")(address, mac) == state.hasher(key, b"source")(address, mac)
    other = {state.hasher(key, b"device")(address, mac), state.hasher(key, b"source")(address + mac[:1], mac[1:]),
             state.hasher(bytes(32), b"source")(address, mac)}  # fmt: skip
    assert len(other | {state.hasher(key, b"source")(address, mac)}) == 4


def test_a_full_state_keeps_below_its_limits(folder, key):
    keeper = Keeper(DAY_S, drawn())
    for window in range(30):
        keeper.see([seen(600 * window + index / 8, source=1000 * window + index, service=index, features=(index,) * 9)
                    for index in range(2100)])  # fmt: skip
    state.save(folder, key, keeper, EXTRA)
    assert (folder / state.LEARNING).stat().st_size < state.MAX_BYTES
    assert loaded(folder, key)[0] == EXTRA


WRITER = """
import sys
from pathlib import Path
from home_flows import DAY_S, drawn, resign, seen
from tlids_edge.learn import state
from tlids_edge.learn.keep import Keeper
folder = Path(sys.argv[1])
key = state.read_key(state.open_folder(folder))
keeper = Keeper(DAY_S, drawn())
for turn in range(10**6):
    keeper.see([seen(30 * turn, source=turn % 9)])
    state.save(folder, key, keeper, {"turn": turn})
    if not turn:
        print("ready", flush=True)
"""


def written(folder) -> tuple[int, int]:
    """What tells one writing of the state from another; (0, 0) before the first."""
    path = folder / state.LEARNING
    return (path.stat().st_ino, path.stat().st_mtime_ns) if path.exists() else (0, 0)


def test_a_writer_that_is_killed_at_any_moment_leaves_a_whole_state(tmp_path):
    folder, turns = tmp_path / "state", []
    rng = np.random.default_rng(0)
    for _ in range(12):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE,
                                  env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip
        STARTED.append(writer)
        before = written(folder)
        wait_for(lambda before=before: written(folder) != before, "this writer's first state")
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(float(rng.uniform(0.01, 0.1)))
        writer.send_signal(signal.SIGKILL)
        writer.communicate(timeout=LIMIT_S)
        extra, why, _ = loaded(folder, state.read_key(folder))
        assert why == ""
        turns.append(extra["turn"])
    assert len(turns) == 12
    state.open_folder(folder)
    assert not list(folder.glob(".*.part"))


def test_on_a_full_disk_the_old_state_stays_whole_and_nothing_is_left_beside_it(tmp_path):
    with small_disk(tmp_path, "64k") as small:
        folder = state.open_folder(small / "state")
        key = state.read_key(folder)
        state.save(folder, key, taught(), EXTRA)
        (small / "ballast").write_bytes(bytes(40_000))
        keeper = Keeper(DAY_S, drawn())
        noise = np.random.default_rng(0).random((4000, 9)).tolist()
        keeper.see([seen(60 * index, source=index % 40, features=tuple(row)) for index, row in enumerate(noise)])
        with pytest.raises(OSError, match="No space"):
            state.save(folder, key, keeper, EXTRA)
        extra, why, again = loaded(folder, key)
        assert (extra, why) == (EXTRA, "") and len(again.rows()) == len(taught().rows())
        assert not list(folder.glob(".*.part"))


def test_a_lock_is_one_processs_and_wiping_waits_for_it(folder, key):
    state.save(folder, key, taught(), EXTRA)
    with state.locked(folder, state.LOCK, "learns"):
        for refused in (lambda: state.locked(folder, state.LOCK, "learns").__enter__(), lambda: state.wipe(folder)):
            with pytest.raises(InputError, match="one that learns there"):
                refused()
    assert set(state.wipe(folder)) == {state.KEY, state.LEARNING}
    assert state.wipe(folder) == [] and loaded(folder, state.read_key(folder))[:2] == (None, "")


def test_a_folder_that_cannot_be_made_is_told_in_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="^expected a folder"):
        state.open_folder(tmp_path / "file" / "state")
    with pytest.raises(InputError, match="^expected a folder"):
        state.open_folder(tmp_path / "file")


def test_a_folder_that_cannot_be_wiped_is_told_in_a_sentence(folder):
    with pytest.raises(InputError, match="^expected a folder at .*File name too long"):
        state.wipe(folder / ("a" * 300))
    (folder / ".learning.999999999.part").mkdir()
    with pytest.raises(InputError, match="^expected to remove what was left half-written"):
        state.wipe(folder)
