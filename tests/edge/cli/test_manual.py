"""`--help` of both commands: every option in a group, every section there, and every example is one that works."""

import argparse
import re
import shlex

import pytest
from tlids_edge.cli import edge as edge_cli
from tlids_edge.cli import meter as meter_cli
from tlids_edge.help import help_text

COMMANDS = {"tlids-edge": edge_cli, "tlids-meter": meter_cli}
SECTIONS = ("examples", "files", "exit status", "see also")


def examples(name: str) -> list[list[str]]:
    """The arguments of every example in a command's manual."""
    text = help_text(name)[1].split("\n\n")[0].replace("\\\n", " ").replace("|\n", "| ")
    parts = [part for line in text.splitlines() for part in line.split(" | ")]
    return [shlex.split(part.split(">")[0])[1:] for part in parts if part.strip().startswith(f"{name} ")]


def helped(name: str, capsys, monkeypatch) -> str:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        COMMANDS[name]._parse(["--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_a_terminal_and_has_the_sections_of_a_man_page(name, capsys, monkeypatch):
    said = helped(name, capsys, monkeypatch)
    assert said.startswith(f"usage: {name} ")
    assert max(len(line) for line in said.splitlines()) <= 80
    headings = re.findall(r"^([a-z][\w ,-]*)[^:\n]*:\n", said, re.MULTILINE)
    assert set(SECTIONS) <= set(headings)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_stands_in_a_group_with_a_word_about_it(name, monkeypatch):
    seen = []
    for parse in ("parse_args", "parse_intermixed_args"):
        monkeypatch.setattr(argparse.ArgumentParser, parse, lambda parser, _: seen.append(parser))
    COMMANDS[name]._parse([])
    (parser,) = seen
    general, *groups = [group for group in parser._action_groups if group._group_actions]
    assert [action.dest for action in general._group_actions] == ["help"] and len(groups) >= 3
    assert all(action.help for action in parser._actions)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_is_a_command_line_that_is_understood(name):
    found = examples(name)
    assert len(found) == 4
    for arguments in found:
        COMMANDS[name]._parse(arguments)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_that_the_manual_speaks_of_exists(name, capsys, monkeypatch):
    options = set(re.findall(r"(?<![\w-])--[a-z][\w-]+", helped(name, capsys, monkeypatch).split("examples:")[0]))
    assert set(re.findall(r"(?<![\w-])--[a-z][\w-]+", help_text(name)[1])) <= options
