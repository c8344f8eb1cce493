"""What a home taught so far, on disk: bounded, compressed, authenticated, whole at every moment.

In the folder:
    key         32 random bytes that were made on this device; sources are hashed with it, and files are signed
    learning    one line of JSON (version, sizes, counters), the rows compressed, HMAC-SHA256 over all of it
    lock        held by the program that learns;   adapt.lock   by the one that adapts
Addresses are in none of them, though whoever has the key or a salt can try some (`codes`). Only the owner may read
them. There is no pickle: rows are a numpy dtype of plain numbers. A file is written beside its name, flushed to the
disk and renamed, so that after a power failure the name has the old content or the new. What is damaged, of another
version, signed with another key or older than seven days is left unread, and learning starts again; `load` says why.
"""

import fcntl
import json
import os
import stat
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from tlids_edge.digests import blake2b
from tlids_edge.errors import InputError
from tlids_edge.learn.keep import MAX_DEVICES, MAX_KEPT, MAX_OPEN, OPEN, ROW, Keeper

VERSION = 1
KEY, LEARNING, LOCK, ADAPT_LOCK = "key", "learning", "lock", "adapt.lock"
KEEP_S = 7 * 86400.0  # rows are kept no longer than this without being learned from
KEY_BYTES = TAG_BYTES = 32
MAX_ROWS = MAX_KEPT + 8 * MAX_OPEN
MAX_BYTES = 4 << 20
COUNTED = "rates", "profiles"  # of a keeper: each is saved under its name, and None where it is not
MAX_RAW = MAX_ROWS * ROW.itemsize + 16 * MAX_DEVICES
REMEDY = "give another folder with --state, or correct its permissions"


class DamagedError(Exception):
    """The file cannot be used; says what was found."""


_FAULTS = (
    DamagedError,
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    zlib.error,
    RecursionError,
    OverflowError,
)


def open_folder(folder: str | Path) -> Path:
    """Make the state's folder if it is not there, for its owner alone; returns its path.

    Raises:
        InputError: it cannot be made, or is not a folder.
    """
    folder = Path(folder)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _clean(folder)
    except OSError as error:
        raise InputError(
            f"expected a folder for the learned state at {folder}, found: {error.strerror}", REMEDY
        ) from error
    return folder


def found_folder(folder: Path) -> Path:
    """The state's folder where nothing is to be learned, so that it must be there; its path.

    Raises:
        InputError: it is not, as when its name was mistyped, or it may not be looked for.
    """
    try:
        if stat.S_ISDIR(os.stat(folder).st_mode):
            return folder
        found = "another file"
    except FileNotFoundError:
        found = "none"
    except OSError as error:
        found = error.strerror
    raise InputError(f"expected a state folder at {folder}, found {found}", "correct --state, or begin with --learn")


def read_key(folder: Path) -> bytes:
    """The key of this folder, made now if there is none.

    Raises:
        InputError: it cannot be read or written, or is no key.
    """
    path = folder / KEY
    try:
        if not path.exists():
            write_whole(path, os.urandom(KEY_BYTES))
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"expected a key at {path}, found: {error.strerror}", REMEDY) from error
    if len(content) != KEY_BYTES:
        raise InputError(
            f"expected a key of {KEY_BYTES} bytes at {path}, found {len(content)}", "run `tlids-edge wipe`"
        )
    return content


def hasher(key: bytes, kind: bytes) -> Callable[..., int]:
    """A keyed hash of addresses and MACs, 64 bits, never 0."""
    begun = blake2b(key=key, person=kind, digest_size=8)

    def hashed(*parts: bytes) -> int:
        one = begun.copy()
        one.update(b"".join([b"%c%b" % (len(part), part) for part in parts]))
        return int.from_bytes(one.digest(), "little") or 1

    return hashed


def save(folder: Path, key: bytes, keeper: Keeper, extra: dict) -> None:
    """Write everything that was learned; `extra` is kept beside it, as JSON.

    Raises:
        OSError: there is no room, or no permission.
    """
    opened = [rows.astype(ROW) for rows in keeper.open.values()]
    rows = np.concatenate([keeper.kept, *opened])
    proven = np.fromiter(sorted(keeper.proven), "<u8", len(keeper.proven))
    raw = rows.tobytes() + proven.tobytes()
    header = {
        "version": VERSION, "saved": time.time(), "learn_s": keeper.learn_s, "elapsed": keeper.elapsed,
        "kept": len(keeper.kept), "open": [len(each) for each in opened], "windows": list(keeper.open),
        "proven": len(proven), "left_out": {f"{source:016x}": count for source, count in keeper.left_out.items()},
        "extra": extra,
    }  # fmt: skip
    for name in COUNTED:
        counted = getattr(keeper, name)
        header |= {name: counted.saved()} if counted is not None else {}
    content = json.dumps(header).encode() + b"\n" + zlib.compress(raw, 6)
    write_whole(folder / LEARNING, content + _tag(key, content))


def peek(folder: Path, key: bytes) -> dict:
    """The first line of what was saved.

    Raises:
        InputError: nothing was, or it cannot be used.
    """
    path = folder / LEARNING
    try:
        return _opened(_read(path), key)[0]
    except FileNotFoundError:
        raise InputError(f"expected a learned state in {folder}, found none", "learn one with --learn") from None
    except _FAULTS as error:
        raise InputError(f"expected a learned state in {path}, found {error}", "learn again with --learn") from None


def load(folder: Path, key: bytes, keeper: Keeper) -> tuple[dict | None, str]:
    """Fill a new `keeper` with what was saved: (what was kept beside it, ""), or (None, why nothing was taken).

    The second is "" too where nothing was ever saved. Raises nothing that a file's content can cause.
    """
    path = folder / LEARNING
    try:
        if not path.exists():
            return None, ""
        header, raw = _opened(_read(path), key)
        _fill(keeper, header, raw)
        return header["extra"], ""
    except _FAULTS as error:
        return None, f"expected a learned state in {path}, found {error}"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file for its owner alone, beside its name, flush it to the disk, and rename it.

    Raises:
        OSError: it cannot be written; what was there is untouched.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(beside, path)
        flush_folder(path.parent)
    finally:
        with suppress(OSError):
            os.unlink(beside)


def flush_folder(folder: Path) -> None:
    """Put the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(folder: Path, name: str, what: str) -> Iterator[None]:
    """Hold a lock of the folder; it ends with the process.

    Raises:
        InputError: another process holds it.
    """
    try:
        descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise InputError(f"expected to write {folder / name}, found: {error.strerror}", REMEDY) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(
                f"expected no other program to use {folder}, found one that {what} there",
                "wait until it has ended",
            ) from None
        yield
    finally:
        os.close(descriptor)


def wipe(folder: Path) -> list[str]:
    """Remove what was learned and the key; the names of what was there. Models stay: `tlids-edge models` lists them.

    Raises:
        InputError: something cannot be removed.
    """
    try:
        if not stat.S_ISDIR(os.stat(folder).st_mode):
            return []
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise InputError(f"expected a folder at {folder}, found: {error.strerror}", REMEDY) from error
    gone, name = [], "what was left half-written"
    with locked(folder, LOCK, "learns"), locked(folder, ADAPT_LOCK, "adapts"):
        try:
            _clean(folder)
            for name in (LEARNING, KEY):
                if (folder / name).exists():
                    (folder / name).unlink()
                    gone.append(name)
            flush_folder(folder)
        except OSError as error:
            raise InputError(f"expected to remove {name} in {folder}, found: {error.strerror}", REMEDY) from error
    return gone


def _clean(folder: Path) -> None:
    """Remove what an interrupted writer of this folder left beside; a living one's file stays."""
    for path in folder.glob(".*.part") if folder.is_dir() else ():
        owner = path.name.split(".")[-2]
        if not (owner.isdecimal() and Path("/proc", owner).exists()):
            path.unlink(missing_ok=True)


def _tag(key: bytes, content: bytes) -> bytes:
    """The signature of a file's content."""
    import hmac  # here, because it loads OpenSSL, and a home that is not being learned has no use for either

    return hmac.digest(key, content, "sha256")


def _is_tag(tag: bytes, key: bytes, content: bytes) -> bool:
    """Whether it is the signature of a file's content; how long that takes tells nothing of where they differ."""
    import hmac  # here, as above

    return hmac.compare_digest(_tag(key, content), tag)


def _read(path: Path) -> bytes:
    """A file of bearable size."""
    with open(path, "rb") as stream:
        content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise DamagedError(f"more than {MAX_BYTES:,} bytes")
    return content


def _opened(content: bytes, key: bytes) -> tuple[dict, bytes]:
    """The header and the rows' bytes, once the signature is right."""
    content, tag = content[:-TAG_BYTES], content[-TAG_BYTES:]
    if not _is_tag(tag, key, content):
        raise DamagedError("one that is damaged, or was not written on this device")
    line, _, packed = content.partition(b"\n")
    header = json.loads(line)
    if header.get("version") != VERSION:
        raise DamagedError(f"one of version {header.get('version')}, where this program writes {VERSION}")
    if sum([header["kept"], *header["open"]]) and time.time() - header["saved"] > KEEP_S:
        raise DamagedError("one that is more than seven days old")
    opener = zlib.decompressobj()
    raw = opener.decompress(packed, MAX_RAW)
    if opener.unconsumed_tail or not opener.eof:
        raise DamagedError("rows of another size than it says")
    return header, raw


def _fill(keeper: Keeper, header: dict, raw: bytes) -> None:
    """Give a keeper what was saved.

    Raises:
        DamagedError: the sizes do not add up, or the learning period was another one.
    """
    if header["learn_s"] != keeper.learn_s:
        raise DamagedError(f"one of {header['learn_s']:g} s of learning, where {keeper.learn_s:g} s were requested")
    sizes = [header["kept"], *header["open"]]
    if len(raw) != sum(sizes) * ROW.itemsize + 8 * header["proven"]:
        raise DamagedError("rows of another size than it says")
    rows = np.frombuffer(raw, ROW, sum(sizes))
    if not (np.isfinite(rows["features"]).all() and np.isfinite(rows["rank"]).all()):
        raise DamagedError("rows that are not numbers")
    parts = np.split(rows, np.cumsum(sizes)[:-1])
    keeper.kept = parts[0].copy()
    keeper.open = {window: part.astype(OPEN) for window, part in zip(header["windows"], parts[1:], strict=True)}
    keeper.proven = set(np.frombuffer(raw, "<u8", header["proven"], sum(sizes) * ROW.itemsize).tolist())
    keeper.left_out = Counter({int(source, 16): count for source, count in header["left_out"].items()})
    keeper.elapsed = float(header["elapsed"])
    for name in COUNTED:
        if name in header:
            getattr(keeper, name).restore(header[name])
        else:  # of a version before
            setattr(keeper, name, None)
