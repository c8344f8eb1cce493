"""What `--help` says around the options, a text for each command; 80 columns at most, as a terminal has."""

from importlib.resources import files


def help_text(command: str) -> tuple[str, str]:
    """The description of a command, which is its text's first paragraph, and the rest, which follows the options."""
    description, epilog = files(__name__).joinpath(f"{command}.txt").read_text(encoding="utf-8").split("\n\n", 1)
    return description, epilog
