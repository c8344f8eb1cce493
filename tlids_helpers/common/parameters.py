"""What each parameter of the notebooks may be, in one table, and the check that every notebook begins with.

papermill and YAML guess the type of what was typed: `-p seed 42.0` is a float, `-p allow_subset no` a text that counts
as true. Here a value is brought to its parameter's type where there is one way to read it, and refused otherwise.
"""

import difflib
import numbers
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tlids_helpers.common import files
from tlids_helpers.common.errors import QUOTED, InputError, quoted

YES, NO = ("true", "yes", "on", "y", "1"), ("false", "no", "off", "n", "0")
NOTHING = ("none", "null", "~", "")  # None, as Python, YAML and an empty cell write it
LONGEST_NAME = 255  # bytes of a file's name
SEEDS = 4_000_000_000  # scikit-learn takes seeds below 2**32, and the audit counts on from the seed that was given


@dataclass(frozen=True)
class Kind:
    """What a parameter may be."""

    expected: str  # ends the sentence "expected NAME to be"
    bring: Callable[[object], object]  # the value in its type; ValueError or OverflowError for one that cannot be used
    words: tuple[str, ...] = ()  # all that it may be, where these are few
    number_remedy: str = "correct it"  # what to do where a number was found


def checked(**given: object) -> dict[str, object]:
    """The parameters `given`, name -> value, each in its type: what the first cell of a notebook puts in their place.

    Raises InputError for the first one that cannot be used.
    """
    return {name: brought(name, value) for name, value in given.items()}


def brought(name: str, value: object, called: str = "") -> object:
    """`value` in the type of the parameter `name`; `called` is what the user calls it, such as "--epochs".

    Raises InputError for a value of another type or out of range, and for a name that is not in `PARAMETERS`.
    """
    if name not in PARAMETERS:
        raise InputError(f"expected one of the parameters {', '.join(PARAMETERS)}, found {quoted(name)}: correct it")
    kind = PARAMETERS[name]
    try:
        return kind.bring(value.item() if isinstance(value, np.generic) else value)
    except InputError:
        raise
    except (ValueError, OverflowError):
        fault = f"expected {called or name} to be {kind.expected}, found {quoted(value)}"
        raise InputError(fault, _remedy(kind, value)) from None


def _remedy(kind: Kind, value: object) -> str:
    """What to do about a value that cannot be used."""
    words = {word.casefold(): word for word in kind.words}
    typed = value[:QUOTED].strip().casefold() if isinstance(value, str) else ""
    if near := difflib.get_close_matches(typed, words, 1):
        return f"did you mean {words[near[0]]}?"
    return kind.number_remedy if isinstance(value, numbers.Number) else "correct it"


def _real(value: object) -> numbers.Real:
    """A number, or the number that a text spells."""
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            return float(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ValueError
    return value


def _or_none(kind: Kind, none: str) -> Kind:
    """`kind`, or None, which means `none`."""

    def bring(value: object) -> object:
        empty = value is None or (isinstance(value, str) and value.strip().casefold() in NOTHING)
        return None if empty else kind.bring(value)

    return Kind(f"{kind.expected}, or None ({none})", bring)


def _whole(low: int, high: int, besides: str = "") -> Kind:
    """A whole number from `low` to `high`; `besides`: "-1 ..." lets in -1 too, and says what it means."""

    def bring(value: object) -> int:
        number = _real(value)
        whole = int(number)
        if whole != number or not (low <= whole <= high or (besides and whole == -1)):
            raise ValueError
        return whole

    return Kind(f"a whole number from {low:,} to {high:,}{besides and f', or {besides}'}", bring)


def _above_zero(high: float, inclusive: bool = True) -> Kind:
    """A number above 0 and at most, or unless `inclusive` below, `high`."""

    def bring(value: object) -> float:
        number = float(_real(value))
        if not (0 < number <= high and (inclusive or number < high)):
            raise ValueError
        return number

    return Kind(f"a number above 0 and {'at most' if inclusive else 'below'} {high:,}", bring)


def _share(value: object) -> float:
    number = float(_real(value))
    if not 0 <= number <= 1:
        raise ValueError
    return number


def _shares(value: object) -> list[float]:
    """One share above 0 and at most 1, or a list of them, also as text with commas; ascending, each once."""
    if isinstance(value, str):
        value = value.strip().strip("[]()").split(",")
    every = value if isinstance(value, list | tuple) else [value]
    if not every or isinstance(value, dict):
        raise ValueError
    return sorted({_above_zero(1).bring(each) for each in every})


def _flag(value: object) -> bool:
    """True or False, also as YAML and a shell write them."""
    word = value.strip().casefold() if isinstance(value, str) else value
    if word in YES or word == 1:
        return True
    if word in NO or word == 0:
        return False
    raise ValueError


def _one_of(*words: str, empty: str = "") -> Kind:
    """One of a few words; `empty` says what no word means, where none is allowed."""

    def bring(value: object) -> str:
        text = _text(value, bool(empty))
        if text not in words and text:
            raise ValueError
        return text

    listed = f"{', '.join(words[:-1])} or {words[-1]}"
    return Kind(f"{listed}, or empty ({empty})" if empty else listed, bring, words)


def _of_text(what: str, may_be_empty: bool = False) -> Kind:
    """Text of any kind: papermill takes `-p dataset 2026` for a number, and `-r dataset 2026` for text."""
    remedy = "correct it, or pass it as text (papermill -r in place of -p)"
    return Kind(f"{what}, as text", lambda value: _text(value, may_be_empty), number_remedy=remedy)


def _text(value: object, may_be_empty: bool) -> str:
    """A text or a path as text, without the blanks around it; None is an empty one."""
    value = "" if value is None else os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(value, str) or "\0" in value or not (value.strip() or may_be_empty):
        raise ValueError
    if any(len(part.encode(errors="replace")) > LONGEST_NAME for part in value.split("/")):
        raise ValueError
    return value.strip()


def _folder(value: object) -> str:
    """The path of a folder that is there or can be made: a file in its place would be noticed only after training."""
    text = _text(value, may_be_empty=False)
    try:
        path = files.resolve(text)
    except OSError as error:
        raise InputError(f"expected a folder at {quoted(text)}, found {error.strerror}", "correct the path") from None
    except RuntimeError:  # a circle of links, before Python 3.13
        raise ValueError from None
    if os.path.lexists(path) and not path.is_dir():
        raise ValueError
    return text


TRUE_OR_FALSE = Kind("True or False", _flag, ("True", "False"))
EPOCHS = _whole(1, 100_000)
FOLDER = Kind("the path of a folder, as text", _folder)

PARAMETERS = {
    "dataset": _of_text("a slug of the catalog, or the path of your own CSV or Parquet file"),
    "task": _one_of("multiclass", "binary"),
    "split": _one_of("paper", "grouped", "session", "time"),
    "protocol": _one_of("paper", "leave_target_out", "both"),
    "trained": _one_of("scratch", "paper", "leave_target_out"),
    "source": _of_text("a slug of the catalog, or empty (the catalog's choice)", may_be_empty=True),
    "features": _one_of("paper", "selected"),
    "seed": _whole(0, SEEDS),
    "seeds": _whole(2, 1_000),
    "rows": _or_none(_whole(1, 10**12), "all"),
    "recipe": _one_of("paper", "improved", "transfer"),
    "frozen": _one_of("blocks", "none", empty="the recipe's"),
    "share": Kind("a share above 0 and at most 1, such as 0.01 for 1 %, or a list of them", _shares),
    "zero_shot": TRUE_OR_FALSE,
    "epochs": EPOCHS,
    "quick_epochs": EPOCHS,
    "cross_epochs": EPOCHS,
    "batch_size": _or_none(_whole(1, 1_000_000), "the recipe's"),
    "learning_rate": _or_none(_above_zero(1), "the recipe's"),
    "patience": EPOCHS,
    "sweep": TRUE_OR_FALSE,
    "transfer_arms": TRUE_OR_FALSE,
    "show_simulated": TRUE_OR_FALSE,
    "precision": _one_of("float32", "float16", "dynamic", "int8"),
    "false_positive_rate": _above_zero(1, inclusive=False),
    "l7": _of_text('a name such as "ndpi 4.2", or empty (not known)', may_be_empty=True),
    "dialect": _one_of("cse-cic-ids2018", "constant-window", "cicflowmeter-2020", empty="what the rows show"),
    "model": FOLDER,
    "recordings": FOLDER,
    "home": FOLDER,
    "judgements": _whole(1, 1_000_000),
    "explained": _of_text("the name of a class, or empty (the rarest attack)", may_be_empty=True),
    "flows_per_second": _above_zero(10**9),
    "n_jobs": _whole(1, 1_024, besides="-1 (all cores)"),
    "allow_subset": TRUE_OR_FALSE,
    "allow_loss": Kind("a share from 0 to 1, such as 0.01 for 1 %", _share),
    "data_dir": FOLDER,
    "runs_dir": FOLDER,
}
"""name -> what it may be. The words are written out, as nothing here may import the modules that use them; a test
compares them with those modules."""
