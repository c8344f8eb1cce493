"""Time is checked once, here, between the decoder and whoever takes the packets.

Packets come out in the order of time wherever they were stored at most WINDOW_US and HELD packets out of place, and a
bare SYN comes before the SYN-ACK that answers it, so that the first packet of a flow is its client's. A time that
cannot be is replaced: by that of the packet before it, and a run of such times goes on from there as its own clock
does. A capture that never had a possible time keeps its own (a Pi without a clock starts in 1970). Everything else
passes as it is and is counted in `Times`.
"""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import chain, islice
from math import inf
from operator import itemgetter

from tlids_edge.capture.packets import Packet
from tlids_edge.capture.times import EARLIEST_US, END_US, HELD, STEP_US, WINDOW_US, Times, moment

BLOCK = 128  # packets that are looked at together; more would push one another out of the processor's cache
ANSWERS = 4096  # SYN-ACKs kept in mind before the old ones are forgotten
HELD_BYTES = 16 << 20  # of frames kept back at most, unless they are FEW
FEW = 64
LEADING = 8  # impossible times at the beginning of a capture at most, for those behind them to say better
RUN_US = 3_600_000_000  # impossible times this close to one another come from one clock
SYN, ACK = 0x02, 0x10
_time, _frame = itemgetter(0), itemgetter(13)


class Clock:
    """Puts the packets of one capture into the order of time; `times` counts what was wrong with them."""

    def __init__(self, times: Times) -> None:
        """Begin with nothing seen."""
        self.times = times
        self._block: list[Packet] = []  # read, not looked at
        self._held: list[Packet] = []  # in order, waiting for an older one
        self._held_bytes: int | None = None  # not counted while they are few
        self._given_us = -inf  # the time of the last packet that had to go because too many were held
        self._answers: dict[tuple, int] = {}  # addresses and ports of the SYN that a SYN-ACK answers -> its time
        self._newest = -inf
        self._seen_possible = False
        self._raw, self._shift = 0, None  # the last impossible time, and what brings it among the possible ones
        self._reading = False

    def ordered(self, packets: Iterator[Packet]) -> Iterator[Packet]:
        """The packets of a file, BLOCK at a time."""
        return chain.from_iterable(self._blocks(packets))

    def as_they_come(self, packets: Iterator[Packet]) -> Iterator[Packet]:
        """The packets of a source that may pause; `overdue` has those that wait meanwhile."""
        return chain.from_iterable(self._pieces(packets))

    def overdue(self) -> list[Packet]:
        """What waits for an older packet while none comes; nothing unless the source is just being waited for."""
        if not self._reading:
            return []
        return self._arrange() + self._rest()

    def pass_in_order(self, newest_us: float, given_us: float) -> None:
        """Somebody else put packets into order, all of possible times, until `newest_us`; see `newest` and `given`."""
        self._newest, self._given_us = newest_us, given_us
        self._seen_possible, self._shift = True, None

    @property
    def newest(self) -> float:
        """The newest time since the last step back."""
        return self._newest

    @property
    def given(self) -> float:
        """The time of the last packet that had to go because too many were held."""
        return self._given_us

    def hold(self, packets: list[Packet]) -> None:
        """Go on with packets that somebody else held, in the order that this clock has given them."""
        self._held, self._held_bytes = packets, None
        answers = [packet for packet in packets if packet[6] & SYN and packet[6] & ACK]
        self._answers = {(packet[2], packet[1], packet[4], packet[3]): packet[0] for packet in answers}

    def arrange(self, held: list[Packet], block: list[Packet]) -> tuple[list[Packet], list[Packet]]:
        """Take a block in behind packets that somebody else held: what is settled, and what is to be held further."""
        self.hold(held)
        self._block = block
        return self._arrange(), self._rest()

    def _blocks(self, packets: Iterator[Packet]) -> Iterator[list[Packet]]:
        """Blocks of packets, then the rest; an interrupt takes nothing away of what was read."""
        try:
            while not self._block:
                self._block.extend(islice(packets, BLOCK))
                if not self._block:
                    break
                yield self._arrange()
        except KeyboardInterrupt:
            yield self._arrange()
            yield self._rest()
            raise
        yield self._rest()

    def _pieces(self, packets: Iterator[Packet]) -> Iterator[list[Packet]]:
        """The same, as soon as the window has passed."""
        self._reading = True
        for packet in packets:
            self._block.append(packet)
            if not 0 <= packet[0] - self._block[0][0] <= WINDOW_US or len(self._block) >= BLOCK:
                self._reading = False
                yield self._arrange()
                self._reading = True
        self._reading = False
        yield self._arrange()
        yield self._rest()

    def _rest(self) -> list[Packet]:
        """What is held, at the end of a capture, whose successor may begin at any time."""
        rest, self._held, self._held_bytes = self._held, [], None
        return rest

    def _arrange(self) -> list[Packet]:
        """Take the block in; the packets whose place is settled."""
        block, self._block = self._block, []
        if not block:
            return []
        last = block[-1][0]
        in_order = sorted(block, key=_time) == block and block[0][0] >= max(self._newest, EARLIEST_US)
        in_order = in_order and self.times.possible(last)
        if in_order:
            before, self._newest, self._seen_possible = [], last, True
            self._shift = None
            self._held += block
        else:
            before = self._one_by_one(block)
        held = self._held
        opening = [packet for packet in block if packet[6] & SYN]
        late = bool(opening) and self._too_late(opening)
        if late or not in_order:  # sorting may have put any SYN behind its SYN-ACK
            _clients_first(held)
        return before + self._settled(block)

    def _settled(self, block: list[Packet]) -> list[Packet]:
        """The packets for which no older one can come, and those too many to be held, of which `block` came last."""
        held = self._held
        in_time = bisect_right(held, self._newest - WINDOW_US, key=_time)
        settled = max(in_time, len(held) - HELD)
        given = held[:settled]
        if len(held) - settled <= FEW:
            self._held_bytes = None
        else:
            held_bytes = _size(held) if self._held_bytes is None else self._held_bytes + _size(block)
            held_bytes -= _size(given)
            while held_bytes > HELD_BYTES:
                given.append(held[settled])
                held_bytes -= len(given[-1].frame)
                settled += 1
            self._held_bytes = held_bytes
        if settled > in_time:
            self._given_us = given[-1].time_us
        del held[:settled]
        return given

    def _too_late(self, opening: list[Packet]) -> bool:
        """Whether a bare SYN may stand behind its SYN-ACK."""
        answers, found = self._answers, False
        for packet in opening:
            if packet[6] & ACK:
                answers[packet[2], packet[1], packet[4], packet[3]] = packet[0]
            elif packet[0] - answers.get(packet[1:5], -inf) <= WINDOW_US:
                found = True
        if len(answers) > ANSWERS:
            newest, oldest = self._newest, self._newest - WINDOW_US
            recent = [(asked, time_us) for asked, time_us in answers.items() if oldest <= time_us <= newest]
            self._answers = dict(recent[-HELD:])
        return found

    def _one_by_one(self, block: list[Packet]) -> list[Packet]:
        """Take in packets of which some have odd times; those that come before a step back."""
        before, new = [], []
        if not self._seen_possible:
            block = self._beginning(block)
        for packet in block:
            time_us = packet[0]
            if self.times.possible(time_us):
                self._seen_possible, self._shift = True, None
            else:
                self.times.note_impossible(moment(time_us))
                time_us = self._made_possible(time_us)
                packet = packet._replace(time_us=time_us)
            behind = self._newest - time_us
            if behind > STEP_US:
                self.times.note_step(behind)
                self._sort(new)
                before += self._held
                new, self._held, self._held_bytes = [], [], None
                self._answers.clear()
                self._newest, self._given_us = time_us, -inf
            elif behind > WINDOW_US or time_us < self._given_us:
                self.times.note_late(behind)
            elif behind < 0:
                self._newest = time_us
            new.append(packet)
        self._sort(new)
        return before

    def _sort(self, new: list[Packet]) -> None:
        """Put packets among those that are held, of which most are older."""
        held = self._held
        place = bisect_right(held, min(map(_time, new), default=inf), key=_time)
        held[place:] = sorted(held[place:] + new, key=_time)

    def _beginning(self, block: list[Packet]) -> list[Packet]:
        """A few impossible times before the first possible one are brought up to it, as their own clock ran."""
        possible = self.times.possible
        first = next((place for place, packet in enumerate(block) if possible(packet[0])), 0)
        if not 0 < first <= LEADING or self._newest > -inf:
            return block
        shift = block[first][0] - block[first - 1][0]
        for packet in block[:first]:
            self.times.note_impossible(moment(packet[0]))
        return [packet._replace(time_us=packet[0] + shift) for packet in block[:first]] + block[first:]

    def _made_possible(self, time_us: int) -> int:
        """The time that a packet is given instead of an impossible one."""
        near = self._shift is not None and abs(time_us - self._raw) <= RUN_US
        self._raw = time_us
        if not self._seen_possible and 0 <= time_us < END_US:
            return time_us
        if not near:
            self._shift = int(max(self._newest, 0)) - time_us
        return time_us + self._shift


def _size(packets: list[Packet]) -> int:
    """Bytes of their frames."""
    return sum(map(len, map(_frame, packets)))


def _clients_first(packets: list[Packet]) -> None:
    """Put a bare SYN before the SYN-ACK that answers it, where it comes behind it."""
    answers: dict[tuple, tuple[int, int]] = {}  # what is asked -> the answer's time and place; 0, -1 behind the SYN
    moves = []
    for place in [place for place, packet in enumerate(packets) if packet[6] & SYN]:
        time_us, src, dst, src_port, dst_port, _, flags = packets[place][:7]
        if flags & ACK:
            answers.setdefault((dst, src, dst_port, src_port), (time_us, place))
            continue
        asked = src, dst, src_port, dst_port
        answered_us, answer = answers.get(asked, (0, -1))
        if answer >= 0 and time_us - answered_us <= WINDOW_US:
            moves.append((answer, place))
        answers[asked] = 0, -1
    for answer, place in moves:  # forwards in the list, so that the places behind still hold
        packets.insert(answer, packets.pop(place))
