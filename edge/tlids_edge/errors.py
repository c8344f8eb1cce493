"""The one exception that a user's input can cause, in both packages."""


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


def unreadable(what: str, error: OSError) -> InputError:
    """The sentence about an input that is there, or may be, and cannot be read."""
    return InputError(f"expected {what} that can be read, found: {error.strerror}", "check its permissions")
