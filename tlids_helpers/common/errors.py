"""What is said to the person at the keyboard when an input cannot be used."""


class InputError(ValueError):
    """An input that cannot be used: one sentence of what was expected, what was found, and what to do."""

    def _render_traceback_(self) -> list[str]:
        # Jupyter asks an exception for its own rendering: the sentence alone, without a traceback
        return [f"InputError: {self}"]
