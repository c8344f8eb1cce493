"""What options of both commands may hold, so that a slip is answered by an example."""

from argparse import ArgumentTypeError
from math import isfinite

QUOTED = 60  # characters of the input in a message at most
SECONDS, MEGABYTES, WHOLE = "seconds, such as 60", "megabytes, such as 100", "a whole number, such as 20000"


def seconds(text: str) -> float:
    """A time."""
    return _number(text, SECONDS)


def seconds_above_zero(text: str) -> float:
    """A time above zero that ends."""
    value = _number(text, SECONDS)
    if not (value > 0 and isfinite(value)):
        raise _wrong(f"{SECONDS}, above zero", text)
    return value


def megabytes(text: str) -> float:
    """A size."""
    return _number(text, MEGABYTES)


def whole(text: str) -> int:
    """A whole number; 1e6 is one."""
    value = _number(text, WHOLE)
    if not (isfinite(value) and value == int(value)):
        raise _wrong(WHOLE, text)
    return int(value)


def whole_above_zero(text: str) -> int:
    """A whole number above zero."""
    if (value := whole(text)) < 1:
        raise _wrong(f"{WHOLE}, above zero", text)
    return value


def utf8(text: str) -> str:
    """Text for a UTF-8 file; in the C locale Python hands its bytes over undecoded."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:
        raise _wrong("text in UTF-8", text) from None


def _number(text: str, expected: str) -> float:
    """Any number."""
    try:
        return float(text)
    except ValueError:
        raise _wrong(expected, text) from None


def _wrong(expected: str, text: str) -> ArgumentTypeError:
    """The sentence, which argparse begins with the option's name."""
    return ArgumentTypeError(f"expected {expected}, found {ascii(text[:QUOTED])}")
