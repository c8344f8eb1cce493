"""Where the commands begin: Ctrl-C while their libraries load ends them without a traceback.

numpy, LiteRT and a model take seconds to load on a Pi. Nothing is written in that time, so the signal ends the process
as it ends any program that does not catch it, and a shell sees status 130. What writes asks for an exception instead.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

INTERRUPTED = 130  # as a shell has it


def edge() -> int:
    """Run `tlids-edge`; its exit status."""
    return _begin("edge")


def meter() -> int:
    """Run `tlids-meter`; its exit status."""
    return _begin("meter")


@contextmanager
def interruptible() -> Iterator[None]:
    """In the block Ctrl-C raises KeyboardInterrupt, so that nothing half-written is left."""
    began = signal.getsignal(signal.SIGINT) == signal.SIG_DFL  # not so where no command was begun, as in a notebook
    if began:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if began:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


def _begin(name: str) -> int:
    """Load the module of a command and run it."""
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:  # else it is ignored, as in a script's background
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    main = import_module(f"tlids_edge.cli.{name}").main
    try:
        return main()
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":  # python -m tlids_edge.cli.start adapt --model ...
    if sys.argv[1:2] != ["adapt"]:
        sys.exit("expected adapt as the first argument: run tlids-edge or tlids-meter")
    sys.exit(_begin(sys.argv.pop(1)))
