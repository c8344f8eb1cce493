"""The physical lines of a CSV file, sieved before pyarrow parses them: each is counted, and none takes others with it.

pyarrow alone lets a quote without its closing swallow all that follows in a block. Here a damaged line is lost by
itself, a quoted value of several lines becomes one line, and a header line among the rows ends its section, so that
what follows can be read under its own columns.
"""

import csv
import re
from collections import Counter
from collections.abc import Callable

import numpy as np

LINE_BYTES = 1 << 20  # a longer line is no flow
VALUE_LINES = 50  # that one quoted value may have
MARKS = ((b"proto", b"bytes"), (b"bwd", b"iat"))  # every header of a family has both, in whatever case
LETTERS = b"PpWw"  # each first mark has one: most blocks without a header have none, and are not searched
NEWLINE, QUOTE, COMMA = b'\n",'
NUMBER = re.compile(r"\s*[+-]?\d[\d.:]*(e[+-]?\d+)?\s*", re.IGNORECASE)  # or an address: what no column is called

# what becomes of a line that pyarrow is not given as it is
REPEATED, OTHER = "repeated header", "other header"  # the same columns; other ones, or in another order
NUL, OVERLONG, WIDTH = "zero byte", "too long", "another number of fields"
UNCLOSED = "quote not closed"
VALUE, CONTINUED = "value of several lines", "continued"  # its first line, and the others: the row is kept
LINES, BLANK = "lines", "blank"

Fates = dict[int, tuple[str, bytes]]  # number of a line in its block -> one of those, and what pyarrow is given


class CsvLines:
    """A CSV stream as a file to read from: the rows of one section, until a header with other columns.

    `counts` has all physical lines that were read so far (LINES), and those of each fate. `glued` says that the last
    of them is a header behind something else, as `cat` leaves it after a file without an end of its last line.
    """

    closed = False  # pyarrow asks

    def __init__(self, stream, columns: list[str], header_of: Callable[[str], list[str]], block_bytes: int) -> None:
        """Begin at the start of `stream`. `header_of` gives the columns of a line, or none when it is no header."""
        self.columns, self.counts = columns, Counter()
        self._stream, self._header_of, self._block_bytes = stream, header_of, block_bytes
        self._tail = self._rest = self._ready = b""  # the beginning of a line, whole lines, and sieved ones
        self._final = self._halted = self._ended = self.glued = False

    def skip(self, lines: int) -> None:
        """Go past the first lines of the file."""
        while lines and (block := self._whole_lines()):
            ends = np.flatnonzero(np.frombuffer(block, np.uint8) == NEWLINE)[:lines]
            lines -= len(ends)
            self.counts[LINES] += len(ends)
            self._rest = block[ends[-1] + 1 :]

    def next_section(self) -> bool:
        """Go on behind the header that ended the section, to rows with `columns`; False at the end of the file."""
        self._halted = False
        return not self._ended

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes of this section; none at its end."""
        while not (self._ready or self._halted or self._ended):
            if block := self._whole_lines():
                self._ready = self._sieved(block)
            else:
                self._ended = True
        given = self._ready if size < 0 else self._ready[:size]
        self._ready = self._ready[len(given) :]
        return given

    def close(self) -> None:
        """Nothing: who opened the stream closes it."""

    def _whole_lines(self) -> bytes:
        """The next block, ending with a line's end; none at the end of the file."""
        block, self._rest = self._rest, b""
        while not (block or self._final):
            read = self._stream.read(max(self._block_bytes - len(self._tail), self._block_bytes // 4))
            self._final = not read
            if b"\r" not in read and self._tail[-1:] != b"\r" and not self._final:
                cut = read.rfind(b"\n") + 1
                block = self._tail + memoryview(read)[:cut] if cut else b""
                self._tail = read[cut:] if cut else self._tail + read
            else:
                block = self._with_other_ends(self._tail + read)
            if len(self._tail) > LINE_BYTES + self._block_bytes:
                self._tail = self._tail[-LINE_BYTES - 1 :]  # too long still, and a header at its end is seen
        return block

    def _with_other_ends(self, text: bytes) -> bytes:
        """The whole lines of `text`, each with a line feed at its end in place of a carriage return or nothing."""
        if self._final and text and not text.endswith(b"\n"):
            text += b"\n"
        held = b"\r" if text.endswith(b"\r") else b""  # its line feed may be in the next block
        text = text.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        cut = text.rfind(b"\n") + 1
        self._tail = text[cut:] + held
        return text[:cut]

    def _sieved(self, block: bytes) -> bytes:
        """The lines of `block` that pyarrow is given, up to a header with other columns."""
        data = np.frombuffer(block, np.uint8)
        ends = np.flatnonzero(data == NEWLINE)
        starts = np.concatenate(([0], ends[:-1] + 1))
        fates: Fates = {}
        if len(block) > LINE_BYTES:
            fates |= dict.fromkeys(np.flatnonzero(ends - starts > LINE_BYTES).tolist(), (OVERLONG, b""))
        if b"\0" in block:
            nul = np.unique(np.searchsorted(ends, np.flatnonzero(data == 0)))
            fates |= dict.fromkeys(nul.tolist(), (NUL, b""))
        end = self._headers(block, starts, ends, fates)
        if b'"' in block and (irregular := _irregular(data, starts, ends)):
            lines = [block[start:stop] for start, stop in zip(starts[:end].tolist(), ends[:end].tolist(), strict=True)]
            end = self._quotes(lines, irregular, fates)
        if not block.isascii():
            fates |= self._no_text(block, data, starts, ends, fates)
        if self._halted:
            self._rest = block[ends[end] + 1 :]
        elif end < len(ends):  # a value that goes on in the next block
            self._tail = block[starts[end] :] + self._tail
        blank = [line for line in np.flatnonzero(starts[:end] == ends[:end]).tolist() if line not in fates]
        self._count(end, len(blank), fates)
        return _without(block, starts[:end], ends[:end], fates)

    def _headers(self, block: bytes, starts: np.ndarray, ends: np.ndarray, fates: Fates) -> int:
        """Find the header lines in a block, up to the first with other columns; returns how many lines precede it."""
        for line in _marked(block, starts, ends):
            columns = self._header_of(block[starts[line] : ends[line]].decode(errors="replace").replace("\0", ""))
            glued = line in fates or any(map(NUMBER.fullmatch, columns))
            if _names(columns) == _names(self.columns):
                fates.setdefault(line, (REPEATED, b""))
            elif columns and glued and _ends_with(_names(columns), _names(self.columns)):
                fates.setdefault(line, (WIDTH, b""))
            elif columns:
                fates[line] = OTHER, b""
                self.columns, self._halted, self.glued = columns, True, glued
                return line
        return len(ends)

    def _quotes(self, lines: list[bytes], irregular: list[int], fates: Fates) -> int:
        """Find values of several lines, and quotes that are never closed; returns how many lines are settled."""
        behind = 0
        for line in irregular:
            if line >= len(lines):
                break
            if line < behind or line in fates or _lines_of_row(lines[line : line + 1])[0] == 1:
                continue
            number, fields = _lines_of_row(lines[line : line + VALUE_LINES])
            open_ended = not number and line + VALUE_LINES > len(lines)
            if open_ended and not (self._halted or self._final):
                return line
            behind = line + number
            commas = sum(lines[line + k].count(b",") for k in range(number))
            if number and fields == len(self.columns) and commas < 2 * (fields - 1):  # no two rows are in it
                fates |= dict.fromkeys(range(line, behind), (CONTINUED, b""))
                fates[line] = VALUE, b" ".join(lines[line:behind]) + b"\n"
            else:
                fates[line], behind = (UNCLOSED, b""), line
        return len(lines)

    def _no_text(self, block: bytes, data: np.ndarray, starts: np.ndarray, ends: np.ndarray, known: Fates) -> Fates:
        """Lines of another width that are no UTF-8 text: pyarrow cannot even hand them to who counts them."""
        try:
            block.decode()
        except UnicodeDecodeError:
            pass
        else:
            return {}
        fates: Fates = {}
        for line in np.unique(np.searchsorted(ends, np.flatnonzero(data > 127))).tolist():
            row = block[starts[line] : ends[line]]
            if line not in known and _lines_of_row([row]) != (1, len(self.columns)):
                fates[line] = WIDTH, b""
        return fates

    def _count(self, settled: int, blank: int, fates: Fates) -> None:
        self.counts[LINES] += settled + self._halted
        self.counts[BLANK] += blank
        self.counts.update(fate for line, (fate, _) in fates.items() if line < settled + self._halted)


def _names(columns: list[str]) -> list[str]:
    return [column.strip(' "\ufeff').casefold() for column in columns]


def _ends_with(fields: list[str], names: list[str]) -> bool:
    """Whether a line goes on to its end with the header `names`, whose first may be glued to the field before it."""
    first, rest = fields[-len(names) :][:1], fields[len(fields) - len(names) + 1 :]
    return rest == names[1:] and first[0].endswith(names[0])


def _marked(block: bytes, starts: np.ndarray, ends: np.ndarray) -> list[int]:
    """Lines that may be headers, by the marks of one."""
    lines = set()
    if not any(letter in block for letter in LETTERS):
        return []
    lower = block.lower()
    for mark, other in MARKS:
        at = lower.find(mark)
        while at >= 0:
            line = int(np.searchsorted(ends, at))
            if other in lower[starts[line] : ends[line]]:
                lines.add(line)
            at = lower.find(mark, int(ends[line]))
    return sorted(lines)


def _irregular(data: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> list[int]:
    """Lines whose quotes do not open and close a field in turn: all with a quote that is not closed are among them."""
    quotes = np.flatnonzero(data == QUOTE)
    lines = np.searchsorted(ends, quotes)
    closing = (np.arange(len(quotes)) - np.searchsorted(quotes, starts)[lines]) % 2 == 1
    neighbour = data[np.where(closing, quotes + 1, quotes - 1)]  # before the first byte is the last one, a line's end
    wrong = (neighbour != COMMA) & (neighbour != NEWLINE)
    odd = np.flatnonzero(np.bincount(lines, minlength=len(ends)) % 2)
    return np.union1d(lines[wrong], odd).tolist()


def _lines_of_row(lines: list[bytes]) -> tuple[int, int]:
    """How many of `lines` the first row has, 0 when a quote in it is not closed; and how many fields."""
    reader = csv.reader(line.decode("latin-1") + "\n" for line in [*lines, b""])
    try:
        fields = len(next(reader))
    except csv.Error:  # a field beyond csv's limit
        return 0, 0
    return (reader.line_num, fields) if reader.line_num <= len(lines) else (0, 0)


def _without(block: bytes, starts: np.ndarray, ends: np.ndarray, fates: Fates) -> bytes:
    """The lines of `block`, with what stands in place of those that have a fate."""
    pieces, at = [], 0
    for line in sorted(line for line in fates if line < len(ends)):
        pieces += [block[at : starts[line]], fates[line][1]]
        at = ends[line] + 1
    last = ends[-1] + 1 if len(ends) else 0
    return b"".join([*pieces, block[at:last]]) if pieces else block[:last]
