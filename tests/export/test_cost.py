"""Latency and memory are those of a process without TensorFlow."""

import json
import subprocess
import sys

import numpy as np
import pytest
from small_flows import rows

from tlids_helpers.export import cost


def test_latency_and_memory_are_measured_in_a_process_without_tensorflow(exports, monkeypatch, tmp_path):
    (tmp_path / "model.tflite").write_bytes(exports["int8"].content)
    np.save(tmp_path / "rows.npy", np.resize(rows(10)[0], (1024, 9)))
    script = """
import runpy, sys
sys.argv = ["latency", "model.tflite", "rows.npy"]
runpy.run_module("tlids_helpers.export.cost", run_name="__main__")
heavy = {"tensorflow", "keras", "pandas", "sklearn", "pyarrow"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    costs = json.loads(done.stdout)
    assert 0 < costs["p50_us"] <= costs["p95_us"]
    assert costs["per_s_64"] > 0 and costs["per_s_1024"] > 0
    assert costs["memory_mb"] is None or 20 < costs["memory_mb"] < 150


def test_memory_is_none_where_there_is_no_proc(monkeypatch, tmp_path):
    monkeypatch.setattr(cost, "STATUS", tmp_path / "absent")
    assert cost.resident_memory() is None
    (tmp_path / "status").write_text("Name:\tpython\nVmRSS:\t   50000 kB\n")
    monkeypatch.setattr(cost, "STATUS", tmp_path / "status")
    assert cost.resident_memory() == pytest.approx(51.2)
