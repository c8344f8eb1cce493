"""The card that travels with a model: what it was trained on, and what it must be fed.

A card is untrusted input: it is JSON, read up to a size limit, and every field that the detector relies on
is checked before anything else is opened.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from tlids_edge.digests import sha256
from tlids_edge.errors import InputError, quoted, unreadable
from tlids_edge.flows.meter import CICFLOW_FEATURES, DIALECTS, NETFLOW_FEATURES

SCHEMA = 1
FEATURES = {"netflow": NETFLOW_FEATURES, "cicflow": CICFLOW_FEATURES}
MODEL_FILE, CARD_FILE = "model.tflite", "card.json"
MAX_CARD_BYTES = 1 << 20
MAX_MODEL_BYTES = 32 << 20  # the paper's CNN has 0.85 MB; a Pi 3 has 1 GB for everything
MAX_CLASSES, MAX_NAME = 1000, 100
_AGAIN = "export the model again with notebook 05"


@dataclass(frozen=True, slots=True)
class Card:
    """What the detector needs of a model's card."""

    name: str
    family: str  # "netflow" or "cicflow"
    dialect: str | None  # which build of CICFlowMeter, for the cicflow family
    classes: tuple[str, ...]
    benign: str
    threshold: float  # alert when 1 - P(benign) is at least this
    sha256: str  # of model.tflite
    l7: str | None  # the nDPI that numbered L7_PROTO in training, e.g. "ndpi 4.2"

    @property
    def features(self) -> tuple[str, ...]:
        """The nine feature names in the order in which the model takes them."""
        return FEATURES[self.family]


def read_card(folder: str | Path) -> Card:
    """Read and check `card.json` in a model's folder.

    Raises:
        InputError: it is missing, unreadable, or says something that this version does not understand.
    """
    return card_of(read_fields(folder))


def card_of(fields: dict) -> Card:
    """The card in fields from `read_fields`; for those who need other fields too, of the same reading."""
    return Card(
        str(fields.get("name", "")), fields["family"], fields.get("dialect"), tuple(fields["classes"]),
        fields["benign"], float(fields["threshold"]), fields["files"][MODEL_FILE]["sha256"].lower(),
        fields.get("l7"),
    )  # fmt: skip


def read_fields(folder: str | Path) -> dict:
    """All fields of a model's card, those that the detector relies on being checked.

    Raises:
        InputError: as `read_card` does.
    """
    path = Path(folder) / CARD_FILE
    try:
        fields = json.loads(read_limited(path, MAX_CARD_BYTES, "a model card"))
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"expected a JSON model card in {path}, found: {error}", _AGAIN) from error
    if not isinstance(fields, dict):
        raise InputError(f"expected a JSON object in {path}, found a {type(fields).__name__}", _AGAIN)
    problem = _problem(fields)
    if problem:
        raise InputError(f"expected {problem} in {path}", _AGAIN)
    return fields


def read_model(folder: str | Path, card: Card) -> bytes:
    """Read `model.tflite` once and compare it with the card before anyone parses it.

    The digest tells a damaged or exchanged file from the one the card was written for. It is no signature:
    whoever can write both files can make them agree.

    Raises:
        InputError: the file is missing, too large, or not the one that the card describes.
    """
    path = Path(folder) / MODEL_FILE
    content = read_limited(path, MAX_MODEL_BYTES, "a model")
    found = sha256(content).hexdigest()
    if found != card.sha256:
        raise InputError(
            f"expected {path} with SHA-256 {card.sha256[:12]}... as its card says, found {found[:12]}...",
            "copy model.tflite and card.json again from the same export",
        )
    return content


def read_limited(path: Path, limit: int, what: str) -> bytes:
    """Read a regular file of at most `limit` bytes.

    Raises:
        InputError: there is no such file, it cannot be read, or it is larger.
    """
    try:
        if not path.is_file():
            raise InputError(f"expected {what} at {path}, found no such file", "give --model the folder of an export")
        with open(path, "rb") as file:
            content = file.read(limit + 1)
    except OSError as error:  # a folder that may not be searched hides whether the file is there
        raise unreadable(f"{what} {path}", error) from error
    if len(content) > limit:
        raise InputError(f"expected {what} of at most {limit:,} bytes at {path}, found a larger file", _AGAIN)
    return content


def _problem(fields: dict) -> str:
    """What is wrong with a card, as "what it should hold, found what it holds"; "" if nothing is."""
    if fields.get("schema") != SCHEMA:
        return f"schema {SCHEMA}, found {quoted(fields.get('schema'))}"
    family = fields.get("family")
    if not isinstance(family, str) or family not in FEATURES:
        return f"family netflow or cicflow, found {quoted(family)}"
    if fields.get("features") != list(FEATURES[family]):
        return f"features {', '.join(FEATURES[family])} in this order, found {quoted(fields.get('features'))}"
    dialect = fields.get("dialect")
    if not _is_text(fields.get("name", "")):
        return f"a name of at most {MAX_NAME} printable characters, found {quoted(fields['name'])}"
    if dialect not in ((None, *DIALECTS) if family == "netflow" else tuple(DIALECTS)):
        return f"dialect one of {', '.join(DIALECTS)}, found {quoted(dialect)}"
    return _class_problem(fields) or _file_problem(fields)


def _class_problem(fields: dict) -> str:
    """What is wrong with the classes and the threshold."""
    classes, benign, threshold = (fields.get(name) for name in ("classes", "benign", "threshold"))
    if not isinstance(classes, list) or not 2 <= len(classes) <= MAX_CLASSES:
        return f"a list of 2 to {MAX_CLASSES} classes, found {quoted(classes)}"
    if not all(name and _is_text(name) for name in classes):
        return f"class names of 1 to {MAX_NAME} printable characters, found {quoted(classes)}"
    if len(set(classes)) != len(classes):
        return "different class names, found one twice"
    if benign not in classes:
        return f"a benign class among the classes, found {quoted(benign)}"
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 < threshold <= 1:
        return f"a threshold above 0 and up to 1, found {quoted(threshold)}"
    return ""


def _file_problem(fields: dict) -> str:
    """What is wrong with the digest of the model file."""
    files = fields.get("files")
    entry = files.get(MODEL_FILE) if isinstance(files, dict) else None
    digest = entry.get("sha256") if isinstance(entry, dict) else None
    if not isinstance(digest, str) or len(digest) != 64:
        return f"the SHA-256 of {MODEL_FILE} under files, found {quoted(digest)}"
    if fields.get("l7") is not None and not _is_text(fields["l7"]):
        return f"l7 as at most {MAX_NAME} printable characters or null, found {quoted(fields['l7'])}"
    return ""


def _is_text(value: object) -> bool:
    """Whether a value may stand in alerts, on terminals and in the journal: short, without control characters."""
    return isinstance(value, str) and len(value) <= MAX_NAME and value.isprintable()
