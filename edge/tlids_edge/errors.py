"""The one exception a person at the keyboard can cause."""


class InputError(ValueError):
    """What was given cannot be used: one sentence says what was expected, what was found and what to do."""
