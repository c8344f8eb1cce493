"""What `--help` says around the options, a text for each command; 80 columns at most, as a terminal has."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from importlib.resources import files


def help_text(command: str) -> tuple[str, str]:
    """The description of a command, which is its text's first paragraph, and the rest, which follows the options."""
    description, epilog = files(__name__).joinpath(f"{command}.txt").read_text(encoding="utf-8").split("\n\n", 1)
    return description, epilog


def command_parser(command: str, usage: str) -> ArgumentParser:
    """A parser for the options of a command, with the command's texts around them."""
    description, epilog = help_text(command)
    texts = {"usage": usage, "description": description, "epilog": epilog}
    return ArgumentParser(command, **texts, formatter_class=RawDescriptionHelpFormatter)
