"""Ctrl-C before a command has begun its work: it ends at once, without a traceback, and leaves nothing half-written."""

import os
import runpy
import signal
import subprocess
import sys
import time
import tomllib
from contextlib import suppress
from pathlib import Path

import pytest
from edge_process import LIMIT_S, STARTED, wait_for
from tlids_edge.learn import state
from tlids_edge.learn.adapting import ADAPT, ONE_THREAD

EDGE = Path(__file__).resolve().parents[3] / "edge"
SCRIPTS = tomllib.loads((EDGE / "pyproject.toml").read_text())["project"]["scripts"]
EDGE_OPTIONS = ("--model", "none", "--source", "none.pcap", "--eve", "eve.json")
ADAPT_OPTIONS = ("adapt", "--model", "none", "--state", "state", "-o", "new")
MODELS_OPTIONS = ("models", "--state", "state", "--use", "given")
METER_OPTIONS = ("none.pcap", "-o", "flows.csv")
# read by Python as it begins: a signal arrives when the module that TOLD_AT names is asked for
INTERRUPTED_IMPORT = """
import os, signal, sys

class Interrupting:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == os.environ["TOLD_AT"] and os.environ.get("OPENBLAS_NUM_THREADS", "") == os.environ["THREADS"]:
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupting)
"""


def installed(name: str) -> list[str]:
    """A command as pip installs it."""
    module, function = SCRIPTS[name].split(":")
    return [sys.executable, "-c", f"import sys; from {module} import {function}; sys.exit({function}())"]


def packaged(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A command as the Debian package installs it."""
    monkeypatch.syspath_prepend(EDGE / "package")
    package = runpy.run_path(str(EDGE / "package" / "build_deb.py"))
    sys.modules.pop("compile_core", None)
    program = package["PROGRAM"].replace("/{private}", "{private}")
    (folder / name).write_text(
        program.format(private=EDGE, module="tlids_edge.cli.start", function=package["COMMANDS"][name])
    )
    return [sys.executable, str(folder / name)]


def start(command: list[str], folder: Path, **environment: str) -> subprocess.Popen:
    """Start a command in a folder, ready to be interrupted: a shell has what it runs in the background ignore that."""
    variables = {name: value for name, value in os.environ.items() if name not in ONE_THREAD}
    STARTED.append(
        process := subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=variables | environment, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    )  # fmt: skip
    return process


def interrupted_at(module: str, command: list[str], folder: Path, threads: str = "") -> tuple[int, bytes, list[str]]:
    """Interrupt a command as it asks for a module: its exit status, what it printed, what it left in its folder."""
    (customized := folder / "customized").mkdir()
    (customized / "sitecustomize.py").write_text(INTERRUPTED_IMPORT)
    (work := folder / "work").mkdir()
    paths = os.pathsep.join([str(customized), str(EDGE)])
    process = start(command, work, PYTHONPATH=paths, TOLD_AT=module, THREADS=threads)
    printed = b"".join(process.communicate(timeout=LIMIT_S))
    return process.returncode, printed, [path.name for path in work.iterdir()]


@pytest.mark.parametrize("module", ["numpy", "ai_edge_litert.interpreter"])
@pytest.mark.parametrize("options", [EDGE_OPTIONS, ADAPT_OPTIONS, MODELS_OPTIONS], ids=["edge", "adapt", "models"])
def test_an_interrupt_while_libraries_load_prints_nothing(options, module, tmp_path):
    assert interrupted_at(module, [*installed("tlids-edge"), *options], tmp_path) == (-signal.SIGINT, b"", [])


def test_an_interrupt_while_the_meter_loads_prints_nothing(tmp_path):
    command = [*installed("tlids-meter"), *METER_OPTIONS]
    assert interrupted_at("numpy", command, tmp_path) == (-signal.SIGINT, b"", [])


@pytest.mark.parametrize("name", ["tlids-edge", "tlids-meter"])
def test_the_packaged_commands_are_interrupted_as_quietly(name, tmp_path, monkeypatch):
    command = [*packaged(name, tmp_path, monkeypatch), *(METER_OPTIONS if name == "tlids-meter" else EDGE_OPTIONS)]
    assert interrupted_at("numpy", command, tmp_path) == (-signal.SIGINT, b"", [])


def test_the_script_of_a_copied_folder_is_interrupted_as_quietly(tmp_path):
    command = [sys.executable, str(EDGE / "capture_and_infer.py"), *EDGE_OPTIONS]
    assert interrupted_at("numpy", command, tmp_path) == (-signal.SIGINT, b"", [])


def test_adapt_begins_again_on_one_thread_and_is_interrupted_as_quietly_then(tmp_path):
    command = [*installed("tlids-edge"), *ADAPT_OPTIONS]
    assert interrupted_at("numpy", command, tmp_path, threads="1") == (-signal.SIGINT, b"", [])


def test_an_interrupt_after_the_model_is_loaded_prints_no_traceback(model, tmp_path):
    (tmp_path / "none.pcap").touch()
    command = [*installed("tlids-edge"), "--model", str(model), *EDGE_OPTIONS[2:], "--labels", "labels.csv"]
    status, printed = interrupted_reading(tmp_path / "labels.csv", command, tmp_path)
    assert status == -signal.SIGINT and b"Traceback" not in printed
    assert not [path for path in tmp_path.iterdir() if path.is_file() and path.stat().st_size]


def test_an_interrupted_adapt_ends_with_the_status_of_shells_and_leaves_nothing(tmp_path):
    folder = state.open_folder(tmp_path / "state")
    command = [sys.executable, *ADAPT, "--model", str(EDGE / "models/testbed"), *ADAPT_OPTIONS[3:]]
    assert interrupted_reading(folder / state.KEY, command, tmp_path) == (130, b"")
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def interrupted_reading(path: Path, command: list[str], folder: Path) -> tuple[int, bytes]:
    """Interrupt a command while it waits for the content of a file: its exit status and what it printed."""
    os.mkfifo(path)
    process, writers = start(command, folder), []
    wait_for(lambda: _has_reader(path, writers) or process.poll() is not None, f"{path.name} to be read")
    assert writers, process.communicate()
    printed = interrupted(process)
    os.close(writers[0])  # only now: a reader whose writer has gone reads on
    return process.returncode, printed


def interrupted(process: subprocess.Popen) -> bytes:
    """Interrupt a command until it ends, as a user would: what it printed.

    Python looks for signals between two of its instructions. One that comes right before a read waits for its end.
    """
    end = time.monotonic() + LIMIT_S
    while True:
        process.send_signal(signal.SIGINT)
        try:
            return b"".join(process.communicate(timeout=5))
        except subprocess.TimeoutExpired:
            assert time.monotonic() < end, "it does not end"


def _has_reader(fifo: Path, writers: list[int]) -> bool:
    """Open a FIFO for writing, which succeeds once somebody reads it."""
    with suppress(OSError):
        writers.append(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
    return bool(writers)
