"""The testbed's command line: `python -m testbed record ...`, from the folder edge/, as root."""

import argparse
import os
import signal
import sys
from pathlib import Path

from tlids_edge.errors import InputError

from testbed.kinds import KINDS
from testbed.network import OUTSIDE, Plan, draw_hosts, isolated, need_programs
from testbed.record import Session, record

MOST_MINUTES = 120


def main(argv: list[str]) -> int:
    """Run a command; the exit status: 0, 2 for unusable input, 130 after Ctrl-C."""
    arguments = parser().parse_args(argv)
    try:
        session = session_of(arguments)
        if OUTSIDE not in os.environ:
            need_programs(KINDS[arguments.home].programs)
            enter(argv)
        for path in record(session):
            print(path)
    except InputError as error:
        print(f"testbed: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("testbed: stopped; nothing was left behind.", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """The options of `record`."""
    made = argparse.ArgumentParser(prog="python -m testbed", description=__doc__.splitlines()[0])
    commands = made.add_subparsers(dest="command", required=True)
    one = commands.add_parser("record", help="record one session of the home, benign traffic and attacks")
    one.add_argument("--session", type=int, default=1, metavar="N", help="the files are called sessionN (default 1)")
    one.add_argument("--seed", type=int, default=1, help="hosts, habits and attacks are drawn from it (default 1)")
    one.add_argument("--home", choices=sorted(KINDS), default="first", help="which home (default %(default)s)")
    subnets = ", ".join(f"{kind.subnet} for the {name}" for name, kind in KINDS.items())
    one.add_argument("--subnet", help=f"a private /24 network (default {subnets})")
    one.add_argument("--minutes", type=float, default=12, help="how long (default 12)")
    one.add_argument("-o", "--output", type=Path, default=Path(), metavar="FOLDER", help="where the files go")
    one.add_argument("--small", action="store_true", help="half a minute of benign traffic, a few short attacks")
    one.add_argument("--no-attacks", action="store_true", help="only benign traffic")
    one.add_argument("--watch", type=Path, metavar="MODEL", help="run tlids-edge with this model on the bridge, live")
    return made


def session_of(arguments: argparse.Namespace) -> Session:
    """The session that the options describe.

    Raises:
        InputError: minutes, subnet or folder are unusable.
    """
    if not 0 < arguments.minutes <= MOST_MINUTES:
        raise InputError(
            f"expected more than 0 and at most {MOST_MINUTES} minutes, found {arguments.minutes:g}: correct --minutes"
        )
    if not arguments.output.is_dir():
        raise InputError(f"expected a folder, found none at {arguments.output}: make it first")
    kind = KINDS[arguments.home]
    plan = Plan(arguments.seed, arguments.subnet or kind.subnet, kind.layout)
    draw_hosts(plan)
    return Session(
        arguments.session, plan, arguments.minutes, arguments.output.resolve(), arguments.small,
        not arguments.no_attacks, arguments.watch and arguments.watch.resolve(),
    )  # fmt: skip


def enter(argv: list[str]) -> None:
    """Become the same command inside fresh namespaces; does not return."""
    command, environment = isolated([sys.executable, "-m", "testbed", *argv])
    sys.stdout.flush()
    os.execvpe(command[0], command, environment)


def stop(*_: object) -> None:
    """End as Ctrl-C does; the first process of a PID namespace has no default action for signals."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    sys.exit(main(sys.argv[1:]))
