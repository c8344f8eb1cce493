"""`tlids-edge adapt`: a model for this home, from what was learned of it."""

import contextlib
import os
import sys

from tlids_edge.cli import values
from tlids_edge.cli.start import interruptible
from tlids_edge.errors import InputError
from tlids_edge.help import command_parser
from tlids_edge.learn import adapt, state
from tlids_edge.learn.adapting import ADAPT, ONE_THREAD, environment
from tlids_edge.status import say


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0, or 2 with one sentence when nothing was adapted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parse(arguments)
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
        # numpy reads how many threads it may use when it is loaded, which it is by now; no child is left by a signal
        os.execve(sys.executable, [sys.executable, *ADAPT, *arguments], environment())
    with contextlib.suppress(OSError):  # a sandbox that forbids it is no reason to learn nothing
        os.nice(options.nice)
    try:
        with interruptible():
            folder = state.open_folder(state.found_folder(options.state))
            words = adapt.adapt_folder(options.model, folder, options.output, options.learn_rows, options.seed)
    except InputError as error:
        say(str(error))
        return 2
    say(words if options.quiet else f"{options.output}: {words}")
    return 0


def _parse(arguments: list[str]):
    """Read the command line."""
    parser = command_parser("tlids-edge-adapt", "tlids-edge adapt --model DIR --state S -o NEW [option ...]")
    option = parser.add_argument
    option("--model", type=values.folder, required=True, metavar="DIR", help="the model to start from, with rows.npz")
    option("--state", type=values.folder, required=True, metavar="S", help="the folder that --learn has filled")
    option("-o", "--output", type=values.folder, required=True, metavar="NEW",
           help="the folder to write; it must not exist")  # fmt: skip
    option("--learn-rows", type=values.whole, metavar="N", help="least number of rows (default: that of --learn)")
    option("--seed", type=values.whole, default=1, metavar="N", help="seed of the order of rows (default: 1)")
    option("--nice", type=values.niceness, default=values.LOWEST, metavar="N",
           help="how far to lower the priority (default: 19, the lowest)")  # fmt: skip
    option("-q", "--quiet", action="store_true", help="print only the promise")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
