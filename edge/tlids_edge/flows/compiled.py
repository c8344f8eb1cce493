"""The compiled meter in Python's terms: what `meter.Meter` offers, and rows as a matrix.

The flow table is in C alone (`core/meter.c`). A packet that Python decoded goes into it by `add`, those that C decoded
by `pass_on`. CICFlowMeter's own endings are Python's alone.
"""

import ctypes
import os
import sys
from ctypes import byref
from math import isnan

import numpy as np

from tlids_edge.capture.packets import EXTENSIONS, Packet
from tlids_edge.capture.transport import PORTS_FIRST
from tlids_edge.capture.tunnels import PORTS, PROTOCOLS, UDP
from tlids_edge.errors import InputError
from tlids_edge.flows import core
from tlids_edge.flows.flow import Flow, Unanswered
from tlids_edge.flows.meter import FAMILIES, MAX_NOTES, Meter
from tlids_edge.flows.ndpi import Ndpi
from tlids_edge.flows.rows import NOTE, PACKET, REASONS, ROW, flow, joined, of_flows, pack_packet

CLOSED_TOGETHER = 1024  # flows at the end of a run
_NDPI_FUNCTIONS = {
    "calloc": "ndpi_calloc",
    "free_flow": "ndpi_free_flow",
    "process": "ndpi_detection_process_packet",
    "more_possible": "ndpi_extra_dissection_possible",
    "give_up": "ndpi_detection_giveup",
}


class CompiledMeter:
    """A bounded table of open flows, in C."""

    endings = "tlids"
    kind = "compiled"

    def __init__(
        self, family: str = "netflow", idle_timeout: float = 15.0, active_timeout: float = 60.0,
        max_flows: int = 20_000, l7: Ndpi | None = None, endings: str = "tlids", library: ctypes.CDLL | None = None,
    ) -> None:  # fmt: skip
        """As Meter, but for CICFlowMeter's endings.

        Raises:
            core.CoreUnavailable: the library cannot be used.
            ValueError: a setting that makes no sense.
            InputError: there is no room for the table.
        """
        Meter(family, idle_timeout, active_timeout, max_flows, l7, endings)  # which says what is wrong with a setting
        if endings != self.endings:
            raise ValueError(f"expected endings {self.endings!r} of a compiled meter, found {endings!r}")
        self.family, self.max_flows = family, max_flows
        self._library = library or core.load()
        self._l7 = l7  # stays alive as long as its functions may be called
        self._settings = _settings(family, idle_timeout, active_timeout, max_flows)
        self._meter = self._library.tlids_new(byref(self._settings), _ndpi_functions(l7))
        if not self._meter:
            raise InputError(f"expected memory for {max_flows:,} flows, found too little", "lower --max-flows")
        self._packet = ctypes.create_string_buffer(PACKET.itemsize)
        self._rows: list[np.ndarray] = []  # taken from C, and not yet by anybody
        self._notes: list[np.ndarray] = []
        self._notes_held = 0

    def __del__(self) -> None:
        """Free the table."""
        if getattr(self, "_meter", None):
            self._library.tlids_free(self._meter)
            self._meter = None

    def __len__(self) -> int:
        """Number of open flows."""
        return self._counts().open

    @property
    def opened(self) -> int:
        """Flows that were opened since the beginning."""
        return self._counts().opened

    @property
    def evicted(self) -> int:
        """Flows that ended because the table was full."""
        return self._counts().evicted

    @property
    def closed(self) -> dict[str, int]:
        """Flows that have ended, by reason."""
        return {reason: count for reason, count in zip(REASONS, self._counts().closed, strict=True) if count}

    @property
    def ended(self) -> int:
        """Flows that have ended and were not yet taken."""
        return sum(map(len, self._rows)) + self._library.tlids_waiting_rows(self._meter)

    @property
    def noted(self) -> int:
        """Notes that were not yet taken."""
        return self._notes_held + self._library.tlids_waiting_notes(self._meter)

    def add(self, packet: Packet) -> None:
        """Count one packet that Python decoded, after closing what its timestamp ends. ARP frames are not flows."""
        if packet.protocol < 0:
            return
        pack_packet(packet, self._packet)
        self.add_packed(self._packet, packet.frame, 0)

    def add_packed(self, packet: object, frame: bytes, at: int) -> None:
        """The same for one that is written at `packet`, an address or a buffer, with `at` for its `frame_at`."""
        add = self._library.tlids_add
        if not add(self._meter, packet, 1, frame, len(frame), at):
            self._drain()
            add(self._meter, packet, 1, frame, len(frame), at)

    def decode(self, reading: core.Reading, buffer: tuple[int, int], at: int, packets: tuple[int, int]) -> None:
        """Decode the pcap records in `buffer` (address, bytes), `at` bytes into the stream, into `packets` (address,
        room), and say in `reading` how far that went.
        """
        self._library.tlids_read(self._meter, byref(reading), *buffer, at, *packets)

    def pass_on(self, line: core.Line, packets: int, buffer: tuple[int, int], at: int) -> int:
        """Put the packets in line into order and count those whose turn it is, until Python has to do something.

        `packets` is the address of the array, `buffer` (address, bytes) has the frames of those that C decoded, from
        place `at` of the stream on. Returns why it ends, as `tlids_pass` does.

        Raises:
            ValueError: a frame is not in the buffer.
        """
        while True:
            line.always = line.always or bool(self._rows or self._notes)
            turn = self._library.tlids_pass(self._meter, byref(line), packets, *buffer, at)
            if turn == core.OUTSIDE:
                raise ValueError("expected packets whose frames are in the buffer, found one outside")
            if turn != core.ROWS_FULL:
                return turn
            self._drain()

    def hold(self, line: core.Line, packets: int) -> None:
        """Go on with packets in line that Python has put into order."""
        self._library.tlids_hold(self._meter, byref(line), packets)

    def expire(self, now_us: float) -> None:
        """Close what has ended by `now_us`. Live, call it with the wall clock less the capture's delay."""
        if not isnan(now_us):
            self._end(lambda: self._library.tlids_expire(self._meter, now_us))

    def close_all(self, reason: str = "shutdown") -> None:
        """Close every open flow, some at a time, so that all the rows are never in memory twice."""
        self._drain()
        rows, taken = np.empty(len(self), ROW), 0
        while taken < len(rows):
            self._library.tlids_close(self._meter, REASONS.index(reason), CLOSED_TOGETHER)
            count = self._library.tlids_waiting_rows(self._meter)
            self._library.tlids_take_rows(self._meter, rows[taken:].ctypes.data)
            self._drain_notes()
            taken += count
        self._rows.append(rows)

    def begin_again(self) -> None:
        """Another recording follows, with a clock of its own: all open flows end."""
        self._end(lambda: self._library.tlids_begin_again(self._meter))

    def take_rows(self) -> np.ndarray:
        """Hand over the flows closed since the last call, in closing order: a ROW array."""
        self._drain_rows()
        rows, self._rows = self._rows, []
        return joined(rows, ROW)

    def take(self) -> list[Flow]:
        """Hand over the flows closed since the last call, in closing order."""
        return [flow(row) for row in self.take_rows()]

    def take_notes(self) -> np.ndarray:
        """Hand over what was noted of unanswered flows since the last call, in the order of the notes: a NOTE array."""
        self._drain_notes()
        notes, self._notes, self._notes_held = self._notes, [], 0
        return joined(notes, NOTE)[-self.max_flows - MAX_NOTES :]

    def take_unanswered(self) -> list[Unanswered]:
        """The same as Python's meter hands them over."""
        return [_unanswered(note) for note in self.take_notes()]

    def _end(self, end: object) -> None:
        """Call something that ends flows, for which there must be room."""
        if end() < 0:
            self._drain()
            end()

    def _drain(self) -> None:
        """Copy rows and notes out of C."""
        self._drain_rows()
        self._drain_notes()

    def _drain_rows(self) -> None:
        """Copy rows out of C."""
        if count := self._library.tlids_waiting_rows(self._meter):
            self._rows.append(np.empty(count, ROW))
            self._library.tlids_take_rows(self._meter, self._rows[-1].ctypes.data)

    def _drain_notes(self) -> None:
        """Copy notes out of C; of those that nobody takes the oldest are given up."""
        if count := self._library.tlids_waiting_notes(self._meter):
            self._notes.append(np.empty(count, NOTE))
            self._notes_held += count
            self._library.tlids_take_notes(self._meter, self._notes[-1].ctypes.data)
        while self._notes_held - len(self._notes[0]) >= self.max_flows + MAX_NOTES if self._notes else False:
            self._notes_held -= len(self._notes.pop(0))

    def _counts(self) -> core.Counts:
        """The counters of the table."""
        counts = core.Counts()
        self._library.tlids_count(self._meter, byref(counts))
        return counts


def new_meter(*settings: object, **named: object) -> CompiledMeter | Meter:
    """The compiled meter where it can be used, else Python's, whose `kind` says why; so does a warning, unless
    TLIDS_CORE is off.
    """
    meter = Meter(*settings, **named)
    if meter.endings != CompiledMeter.endings:
        return meter
    try:
        return CompiledMeter(*settings, **named)
    except core.CoreUnavailable as reason:
        meter.kind = f"Python: {reason}"
        if not str(reason).startswith(core.SWITCH):
            print(f"warning: {reason}; flows are metered in Python", file=sys.stderr)
        return meter


def take_rows(meter: CompiledMeter | Meter) -> np.ndarray:
    """Flows that have ended, of either meter, as a ROW array."""
    return meter.take_rows() if isinstance(meter, CompiledMeter) else of_flows(meter.take())


def _settings(family: str, idle_timeout: float, active_timeout: float, max_flows: int) -> core.Settings:
    """The settings as C takes them."""
    settings = core.Settings(idle_timeout * 1e6, active_timeout * 1e6, max_flows=max_flows)
    settings.with_payloads = family != FAMILIES[0]
    settings.seed[:] = [int.from_bytes(os.urandom(8)) for _ in range(2)]
    for version, odd in enumerate((PORTS_FIRST, (*PORTS_FIRST, *EXTENSIONS))):
        for protocol in {*odd, *PROTOCOLS} - {UDP}:
            settings.odd_protocols[version][protocol] = 1
    for port in PORTS:
        settings.odd_udp_ports[port >> 3] |= 1 << (port & 7)
    return settings


def _ndpi_functions(l7: Ndpi | None) -> object:
    """Where nDPI's functions are; None without nDPI."""
    if l7 is None:
        return None
    found = {name: l7.address(function) for name, function in _NDPI_FUNCTIONS.items()}
    return byref(core.NdpiFunctions(module=l7.module, flow_size=l7.flow_size, **found))


def _unanswered(note: np.void) -> Unanswered:
    """One note."""
    size = int(note["address_bytes"])
    return Unanswered(
        int(note["first_us"]), note["src"].tobytes()[:size], note["dst"].tobytes()[:size], int(note["dst_port"]),
        int(note["protocol"]), note["src_mac"].tobytes()[: int(note["src_mac_bytes"])],
    )  # fmt: skip
