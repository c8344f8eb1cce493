"""What the page is made of. A block holds plain data; the template escapes it and makes the HTML.

The one exception is `Html`, which is only ever made from a notebook's output by `executed.cleaned`.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.figure import Figure

DPI = 110
NONE = "–"  # a number that is not there
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Cell:
    """A table's cell: its text, the mark of what it tells ("" for the paper's own data, whole), and small print."""

    text: str
    mark: str = ""
    note: str = ""

    @property
    def is_number(self) -> bool:
        """Whether it is set to the right: a number, with or without its unit, or the dash of a missing one."""
        return self.text in (NONE, "-", "") or self.text.lstrip("+-")[:1].isdigit()

    @property
    def is_long(self) -> bool:
        """Whether it is prose, which may be broken into lines."""
        return len(self.text) > 28


@dataclass(frozen=True)
class Group:
    """Rows of a table that belong together, and what stands above them; the first cell of a row names it."""

    rows: Sequence[Sequence[Cell]]
    head: Cell | None = None


@dataclass(frozen=True)
class Table:
    """Groups of rows below the names of the columns. A group is not torn apart in print."""

    columns: Sequence[str]
    groups: Sequence[Group]
    caption: str = ""
    mark: str = ""
    kind: str = field(default="table", init=False)

    def is_number(self, column: int) -> bool:
        """Whether a column holds numbers alone, so that its name stands to the right too."""
        return column > 0 and all(row[column].is_number for group in self.groups for row in group.rows)


@dataclass(frozen=True)
class Picture:
    """A PNG, base64; `shows` says what for those who cannot see it, and is its caption unless the text around is."""

    png: str
    shows: str
    mark: str = ""
    captioned: bool = True
    kind: str = field(default="picture", init=False)


@dataclass(frozen=True)
class Title:
    """The title of what follows, within a part."""

    text: str
    mark: str = ""
    small: bool = False
    kind: str = field(default="title", init=False)


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    mark: str = ""
    kind: str = field(default="text", init=False)


@dataclass(frozen=True)
class Items:
    """A list of sentences, each with its mark."""

    items: Sequence[Cell]
    kind: str = field(default="items", init=False)


@dataclass(frozen=True)
class Box:
    """A box that cannot be overlooked: a sentence, and the list below it; `calm` when there is nothing to warn of."""

    text: str
    items: Sequence[str] = ()
    calm: bool = False
    kind: str = field(default="box", init=False)


@dataclass(frozen=True)
class Nothing:
    """Why a part is empty, and the command that fills it."""

    text: str
    command: str = ""
    kind: str = field(default="nothing", init=False)


@dataclass(frozen=True)
class Commands:
    """A list of (what it makes, the command)."""

    items: Sequence[tuple[str, str]]
    kind: str = field(default="commands", init=False)


@dataclass(frozen=True)
class Html:
    """HTML of a notebook's output or prose, cleaned; see `executed.cleaned`."""

    html: str
    mark: str = ""
    kind: str = field(default="html", init=False)


Block = Table | Picture | Title | Text | Items | Box | Nothing | Commands | Html


@dataclass(frozen=True)
class Part:
    """One numbered part of the page."""

    name: str  # of its anchor
    title: str
    blocks: Sequence[Block]


def table(frame: pd.DataFrame, caption: str = "", mark: str = "") -> Table:
    """A frame as a table, without its index; cells may be `Cell`s, anything else is written as it prints."""
    rows = [[one if isinstance(one, Cell) else Cell(_text(one)) for one in row] for row in frame.astype(object).values]
    return Table([str(name) for name in frame.columns], [Group([row]) for row in rows], caption, mark)


def _text(value: object) -> str:
    if value is None or (not isinstance(value, str) and pd.isna(value)):
        return NONE
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def picture(figure: Figure, caption: str, mark: str = "") -> Picture:
    """A figure as a PNG."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DPI)
    return Picture(base64.b64encode(content.getvalue()).decode(), caption, mark)
