"""What options of both commands may hold, so that a slip is answered by an example."""

from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path

from tlids_edge.errors import quoted

MOST = 1e12  # of anything: far above what is meant, far below what overflows
SHORTEST, LONGEST = 60.0, 7 * 86400.0  # of a learning period, in seconds
PERIOD = "a time, such as 24h"
SECONDS, MEGABYTES, WHOLE = "seconds, such as 60", "megabytes, such as 100", "a whole number, such as 20000"
DAYS = "days, such as 7"
LOWEST = 19  # priority of a process: whatever else the machine does comes first
NICENESS = f"a whole number from 0 to {LOWEST}"


def seconds(text: str) -> float:
    """A time above zero that ends."""
    value = _number(text, SECONDS)
    if value <= 0:
        raise _wrong(f"{SECONDS}, above zero", text)
    return value


def period(text: str) -> float:
    """A time in seconds, or with s, m, h or d after the number."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    number, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1)
    value = _number(number, PERIOD) * unit
    if not SHORTEST <= value <= LONGEST:
        raise _wrong(f"{PERIOD}, from a minute to seven days", text)
    return value


def megabytes(text: str) -> float:
    """A size; 0 is one."""
    value = _number(text, MEGABYTES)
    if value < 0:
        raise _wrong(f"{MEGABYTES}, or 0", text)
    return value


def days(text: str) -> float:
    """A number of days; 0 is one."""
    value = _number(text, DAYS)
    if value < 0:
        raise _wrong(f"{DAYS}, or 0", text)
    return value


def whole(text: str) -> int:
    """A whole number above zero; 1e6 is one."""
    value = _number(text, WHOLE)
    if value != int(value):
        raise _wrong(WHOLE, text)
    if value < 1:
        raise _wrong(f"{WHOLE}, above zero", text)
    return int(value)


def niceness(text: str) -> int:
    """How far to lower a priority: 0 to LOWEST."""
    value = _number(text, NICENESS)
    if value not in range(LOWEST + 1):
        raise _wrong(NICENESS, text)
    return int(value)


def filled(text: str) -> str:
    """A name or a path; an empty one is a shell's variable that nobody has set."""
    if not text:
        raise _wrong("a name that is not empty", text)
    return text


def folder(text: str) -> Path:
    """The path of a folder; an empty one would be the folder in which one happens to be."""
    return Path(filled(text))


def utf8(text: str) -> str:
    """Text for a UTF-8 file; in the C locale Python hands its bytes over undecoded."""
    try:
        return filled(text).encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:
        raise _wrong("text in UTF-8", text) from None


def _number(text: str, expected: str) -> float:
    """A number up to MOST; 1e400 is infinity to Python."""
    try:
        value = float(text)
    except ValueError:
        raise _wrong(expected, text) from None
    if value != value:
        raise _wrong(expected, text)
    if abs(value) > MOST:
        raise _wrong(f"{expected}, at most {MOST:g}", text)
    return value


def _wrong(expected: str, text: str) -> ArgumentTypeError:
    """The sentence, which argparse begins with the option's name."""
    return ArgumentTypeError(f"expected {expected}, found {quoted(text)}")


def add_timeouts(option: Callable) -> None:
    """Declare the timeouts of flows, which both commands have alike; `option` is an argument group's `add_argument`."""
    option(
        "--idle-timeout",
        type=seconds,
        default=15.0,
        metavar="S",
        help="end a flow silent for S seconds (default: 15)",
    )
    option(
        "--active-timeout",
        type=seconds,
        default=60.0,
        metavar="S",
        help="end a flow S seconds old (default: 60)",
    )
