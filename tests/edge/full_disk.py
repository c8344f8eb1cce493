"""A disk with room for a few bytes more."""

import errno
import os


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
