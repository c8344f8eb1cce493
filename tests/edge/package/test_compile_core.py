"""The compiled parts of the package: for both processors, the same every time, without this machine's paths."""

import os
import runpy
from pathlib import Path

import pytest
from zig_compiler import REPOSITORY, set_up_zig

PACKAGE = REPOSITORY / "edge/package"
CORE, RING = "tlids_edge/flows/core/meter.so", "tlids_edge/capture/tlids-ring"
ELF_MACHINE = {"aarch64": 183, "x86_64": 62}  # e_machine of elf.h, two bytes at 18


@pytest.fixture(scope="module")
def compile_core():
    set_up_zig()
    return runpy.run_path(str(PACKAGE / "compile_core.py"))["compile_core"]


@pytest.mark.parametrize("machine", ELF_MACHINE)
def test_they_are_of_their_machine_and_equal_wherever_they_are_written(compile_core, machine, tmp_path):
    folders = tmp_path / "a", tmp_path / "longer/b"
    for folder in folders:
        compile_core(machine, folder)
    for name, words in ((CORE, b"tlids_layout"), (RING, b"listening on")):
        first, second = ((folder / name).read_bytes() for folder in folders)
        assert first == second
        assert first[:4] == b"\x7fELF" and int.from_bytes(first[18:20], "little") == ELF_MACHINE[machine]
        assert first[16] == 3  # ET_DYN
        assert not [path for path in (tmp_path, REPOSITORY, Path.home()) if bytes(path) in first]
        assert words in first and b".debug" not in first
    assert os.access(folders[0] / RING, os.X_OK)


def test_without_zig_the_message_says_what_brings_it(tmp_path):
    module = runpy.run_path(str(PACKAGE / "compile_core.py"))
    module["zig"].__globals__["ZIG"] = module["EDGE"].parent / "build/none/bin/python"
    with pytest.raises(FileNotFoundError, match="run `make build/none/bin/python`"):
        module["compile_core"]("aarch64", tmp_path)
