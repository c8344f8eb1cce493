"""Disks with little room: a real one, and one with room for a few bytes more."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from edge_process import need_root


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A disk of `size`, such as "16k", in a new folder of `folder`; the test is skipped where none can be mounted."""
    need_root("mount", "umount")
    disk = folder / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("a small tmpfs cannot be mounted here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def leave_room(monkeypatch, size: int) -> list[int]:
    """Let `os.write` take `size` bytes more and then refuse; the room that is left stands in the list."""
    write, room = os.write, [size]

    def cramped(descriptor: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = write(descriptor, data[: room[0]])
        room[0] -= taken
        return taken

    monkeypatch.setattr(os, "write", cramped)
    return room
