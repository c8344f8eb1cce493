"""Lines that wait for a broker: in order of time, and bounded so that what matters least goes first."""

from collections import OrderedDict, defaultdict, deque
from typing import NamedTuple


class Message(NamedTuple):
    """A line and the last part of its topic."""

    leaf: str
    line: bytes


class Waiting:
    """A queue of at most `limit` messages, each with a rank; the lower the rank, the more it matters."""

    def __init__(self, limit: int) -> None:
        """Nothing waits."""
        self._limit = limit
        self._messages: OrderedDict[int, tuple[int, Message]] = OrderedDict()  # number -> rank, message
        self._numbers: dict[int, deque[int]] = defaultdict(deque)  # rank -> numbers, the oldest first
        self._next = 0

    def __len__(self) -> int:
        """How many wait."""
        return len(self._messages)

    def put(self, rank: int, message: Message) -> bool:
        """Add one. True when one had to go: the newest of the highest rank, so that a flood pushes out its own."""
        full = len(self._messages) >= self._limit
        if full:
            worst = max(other for other, numbers in self._numbers.items() if numbers)
            if worst <= rank:
                return True
            del self._messages[self._numbers[worst].pop()]
        self._messages[self._next] = rank, message
        self._numbers[rank].append(self._next)
        self._next += 1
        return full

    def take(self) -> Message:
        """The oldest message, which waits no longer. KeyError when none does."""
        _, (rank, message) = self._messages.popitem(last=False)
        self._numbers[rank].popleft()
        return message
