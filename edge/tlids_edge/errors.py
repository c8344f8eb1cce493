"""The one exception that a user's input can cause, in both packages, and how it quotes that input."""

QUOTED = 60  # characters of an input


class InputError(ValueError):
    """An input that cannot be used, in one sentence: what was expected, what was found, and what to do about it.

    `fault` is "expected ..., found ..."; `remedy` says what to do, so that a command can offer its own option in place
    of a notebook's parameter. The message is both, joined by a colon.
    """

    def __init__(self, fault: str, remedy: str = "") -> None:
        """Keep the two halves of the sentence."""
        super().__init__(f"{fault}: {remedy}" if remedy else fault)
        self.fault, self.remedy = fault, remedy

    def _render_traceback_(self) -> list[str]:
        # Jupyter asks an exception for its own rendering: the sentence alone, without a traceback
        return [f"InputError: {self}"]


def unreadable(what: str, error: OSError, remedy: str = "check its permissions") -> InputError:
    """The sentence about an input that is there, or may be, and cannot be read."""
    return InputError(f"expected {what} that can be read, found: {error.strerror or error}", remedy)


def quoted(value: object) -> str:
    """An input as a message shows it: at most QUOTED characters on one line, and none that is not printable."""
    try:
        whole = " ".join(repr(value[: QUOTED + 1] if isinstance(value, str) else value).split())
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a number of thousands of digits"
    return whole if len(whole) <= QUOTED else f"{whole[: QUOTED - 4]}...{whole[-1]}"
