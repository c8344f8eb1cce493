"""What the command line says about learning: its options, and the parts that they ask for."""

import argparse
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tlids_edge.alerts.incidents import Limits
from tlids_edge.cli import values
from tlids_edge.detect.card import card_of, read_fields
from tlids_edge.errors import InputError
from tlids_edge.learn import models, state
from tlids_edge.learn.choose import MIN_ROWS
from tlids_edge.learn.home import Home
from tlids_edge.learn.learner import DAY_ZERO_FLOWS, Learner, Plan
from tlids_edge.status import say


def add_options(option: Callable) -> None:
    """Declare them."""
    option(
        "--learn",
        type=values.period,
        metavar="TIME",
        help="keep flows of this home for TIME, such as 24h, then adapt the model to them; needs --state",
    )
    option("--state", type=values.folder, metavar="S", help="the folder for what is learned and the adapted models")
    option(
        "--learn-rows",
        type=values.whole,
        default=MIN_ROWS,
        metavar="N",
        help="learn until there are at least N rows (default: 1000)",
    )
    option(
        "--no-novelty",
        action="store_true",
        help="do not report flows that are unlike all that was learned, more of a service than was, or to a service or "
        "network that their device did not use",
    )


def day_zero(limits: Limits) -> Limits:
    """When an incident opens while the home is being learned: the model knows its flows too little for the usual."""
    return replace(limits, flows=max(limits.flows, DAY_ZERO_FLOWS))


def model_in_use(options: argparse.Namespace) -> Path:
    """The model to run with: that of --model, or the one adapted from it that the state's folder says is in use.

    Raises:
        InputError: --learn was given without --state, or the state's folder is not there and nothing is to be learned.
    """
    given = Path(options.model)
    if options.learn is not None and options.state is None:
        raise InputError("expected a folder for what is learned with --learn, found none", "give one with --state")
    if options.state is None:
        return given
    if options.learn is None:
        state.found_folder(options.state)
    model, why = models.in_use(options.state, given)
    if why:
        say(why)
    return model


def home(options: argparse.Namespace, model: Path, live: bool) -> Home:
    """What --learn and --no-novelty ask for. A recording is only learned from: `tlids-edge adapt` is for later.

    Raises:
        InputError: the state's folder cannot be used, or the model's store of learned rows is damaged.
    """
    fields = read_fields(model)
    made = Home(tells_novelty=not options.no_novelty)
    made.know(model, fields)
    if options.learn is None:
        return made
    adapts = live or options.source == "-" and not stat.S_ISREG(os.fstat(0).st_mode)
    plan = Plan(options.state, Path(options.model), options.learn, options.learn_rows, adapts)
    made.learner = Learner(plan, card_of(fields), say)
    return made
