"""`tlids-edge models`, `rollback` and `wipe`: which models there are, undoing, and forgetting a home."""

import sys
from argparse import Namespace
from pathlib import Path

from tlids_edge.cli import values
from tlids_edge.cli.start import interruptible
from tlids_edge.errors import InputError
from tlids_edge.help import command_parser
from tlids_edge.learn import models, state
from tlids_edge.learn.adapt import promise_words
from tlids_edge.status import say

COMMANDS = ("models", "rollback", "wipe")
GIVEN_WORDS = "the model that --model names"


def main(arguments: list[str]) -> int:
    """Run `models`, `rollback` or `wipe` with their options; 0, or 2 with one sentence."""
    what, *rest = arguments
    parser = command_parser("tlids-edge-models", f"tlids-edge {what} --state S [option ...]")
    parser.add_argument(
        "--state", type=values.folder, required=True, metavar="S", help="the folder that --learn has filled"
    )
    if what == "models":
        parser.add_argument(
            "--use", type=values.filled, metavar="NAME", help=f"take this one into use; given: {GIVEN_WORDS}"
        )
    options = parser.parse_args(rest)
    try:
        with interruptible():
            _run(what, options)
    except InputError as error:
        say(str(error))
        return 2
    return 0


def _run(what: str, options: Namespace) -> None:
    """Run one of the three."""
    if what == "models":
        _list(state.found_folder(options.state), options.use)
    elif what == "rollback":
        name = models.roll_back(state.found_folder(options.state))
        say(f"in use at the next start: {name or GIVEN_WORDS}")
    else:
        gone = state.wipe(options.state)
        say(f"removed {', '.join(gone)}" if gone else f"nothing was learned in {options.state}")


def _list(folder: Path, chosen: str | None) -> None:
    """Print a line for each model, the one in use marked; take another into use first where one is chosen."""
    if chosen is not None:
        models.use(folder, models.GIVEN if chosen == "given" else chosen)
    name = models.current(folder)
    print(f"{'*' if name == models.GIVEN else ' '} given: {GIVEN_WORDS}")
    for model in models.all_models(folder):
        print(f"{'*' if name == model.name else ' '} {model.name}: {_learned(model.adapted)}")


def _learned(adapted: dict) -> str:
    """What a card says of the learning, which nobody has checked yet."""
    try:
        return f"{adapted['hours']:g} h, {adapted['rows']:,d} rows; {promise_words(adapted['promise'])}"
    except (KeyError, TypeError, ValueError, OverflowError):
        return "its card does not say what was learned"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
