"""The models of a home: which there are, which is in use, and the return to the one before.

Adapted models are folders under `models/` of the state's folder. The file `current` names the one in use; without it,
or when it is empty, that is the model which the program was given. Every adapted model's card has the digest of its
parent, so going back is going to the parent.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from tlids_edge.detect.card import MAX_NAME, read_fields
from tlids_edge.errors import InputError, quoted
from tlids_edge.learn import state

FOLDER, CURRENT = "models", "current"
GIVEN = ""  # the name that stands for the model which the program was given
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_LIST = "run `tlids-edge models` to see which there are"


@dataclass(frozen=True)
class Model:
    """One adapted model."""

    name: str
    folder: Path
    sha256: str  # of model.tflite
    parent: str  # the parent's
    shipped: str  # that of the model the line began with
    adapted: dict  # what its card says of the learning


def all_models(folder: Path) -> list[Model]:
    """The adapted models of a state's folder, the oldest first; a folder that is no adapted model is left out."""
    found = []
    for path in sorted((folder / FOLDER).glob("*")) if (folder / FOLDER).is_dir() else []:
        try:
            found.append(read_model(folder, path.name))
        except InputError:
            continue
    return sorted(found, key=lambda model: str(model.adapted.get("date")))


def read_model(folder: Path, name: str) -> Model:
    """One adapted model.

    Raises:
        InputError: there is no such model, or its card is damaged.
    """
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise InputError(f"expected the name of a model, found {quoted(name)}", _LIST)
    path = folder / FOLDER / name
    if not os.path.isdir(path):
        raise InputError(f"expected the name of a model in {folder / FOLDER}, found {quoted(name)}", _LIST)
    fields = read_fields(path)
    adapted = fields.get("adapted")
    try:
        sha256, parent, shipped = (
            fields["files"]["model.tflite"]["sha256"],
            adapted["parent"]["sha256"],
            adapted["shipped"],
        )
    except (TypeError, KeyError):
        raise InputError(f"expected an adapted model in {path}, found another one", _LIST) from None
    return Model(name, path, sha256, parent, shipped, adapted)


def current(folder: Path) -> str:
    """The name of the model in use, GIVEN for the one that the program was given.

    Raises:
        InputError: the file that says it cannot be read.
    """
    path = folder / CURRENT
    try:
        text = path.read_text(encoding="ascii").strip() if path.exists() else GIVEN
    except (OSError, UnicodeError) as error:
        raise InputError(f"expected the name of a model in {path}, found: {error}", "choose one with --use") from error
    return text


def use(folder: Path, name: str) -> None:
    """Take a model into use, at the program's next start; GIVEN is the one that the program was given.

    Raises:
        InputError: there is no such model, or the choice cannot be written.
    """
    if name != GIVEN:
        read_model(folder, name)
    try:
        state.write_whole(folder / CURRENT, f"{name}\n".encode())
    except OSError as error:
        raise InputError(f"expected to write {folder / CURRENT}, found: {error.strerror}", state.REMEDY) from error


def roll_back(folder: Path) -> str:
    """Take the parent of the model in use into use; its name, GIVEN for the one that the program was given.

    Raises:
        InputError: the model in use is the one that the program was given, or the parent is gone.
    """
    name = current(folder)
    if name == GIVEN:
        raise InputError(
            "expected an adapted model in use, found the one that the program was given, which has no parent",
            "choose a model with `tlids-edge models --use NAME`",
        )
    model = read_model(folder, name)
    parents = [each.name for each in all_models(folder) if each.sha256 == model.parent]
    if not parents and model.parent != model.shipped:
        raise InputError(f"expected the parent of {name} in {folder / FOLDER}, found none", _LIST)
    parent = parents[0] if parents else GIVEN
    use(folder, parent)
    return parent


def in_use(folder: Path, given: Path) -> tuple[Path, str]:
    """The folder of the model to run with, and why it is not the one that `current` names, or "".

    A model that was adapted from another one than `given` is not taken.
    """
    try:
        name = current(folder)
        if name == GIVEN:
            return given, ""
        model = read_model(folder, name)
        if model.shipped != read_fields(given)["files"]["model.tflite"]["sha256"]:
            return given, f"the model {name} was not adapted from {given}, so {given} is used"
        return model.folder, ""
    except InputError as error:
        return given, f"{error}; {given} is used as it is"
