"""Which MAC addresses have claimed which addresses: a bounded table that invented claims cannot push the real out of.

A binding is *new* until its holder has answered somebody who asked, or has lived for OLD_S: then it is *known*; it is
*solid* when it is older still or carries traffic that goes both ways. When the table is full, the youngest new
binding gives way, then the youngest known one; solid ones stay, and the newcomer is not kept. So a thousand invented
senders push out each other.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from tlids_edge.detect.suspects import remember, within

FRESH_S = 300  # a binding seen this recently is still in use: Linux asks again after 60 s at most when it is
WINDOW_S = 60
OLD_S, SOLID_S = 60, 600  # of age
GONE_S = (FRESH_S, 3600, 86_400)  # of silence, after which a new, known or solid binding gives way to others
SWEEP_S = 10  # between two looks for those in a full table
MAX_BINDINGS, MAX_CLAIMANTS, MAX_MACS = 1024, 8, 1024
NEW, KNOWN, SOLID = range(3)


@dataclass(slots=True)
class Binding:
    """Who has claimed one address: MAC address -> first and last claim; and when the claimant changed."""

    claims: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    holder: bytes = b""
    changes: list[int] = field(default_factory=list)
    grade: int = NEW

    def fresh_others(self, mac: bytes, now: int) -> list[bytes]:
        """Who else has claimed the address within FRESH_S, the oldest claimant first."""
        others = [who for who, seen in self.claims.items() if who != mac and within(now, seen[1], FRESH_S)]
        return sorted(others, key=lambda who: self.claims[who][0])

    def oldest(self) -> bytes:
        """The claimant who was there first."""
        return min(self.claims, key=lambda who: self.claims[who][0])


class Bindings:
    """A table of at most `limit` addresses; `crowded` lists when a full table sent a newcomer away."""

    def __init__(self, cap: int, limit: int = MAX_BINDINGS) -> None:
        """A MAC address binds at most `cap` addresses at a time."""
        self.crowded: list[int] = []
        self._cap, self._limit = cap, limit
        self._grades: tuple[OrderedDict[bytes, Binding], ...] = (OrderedDict(), OrderedDict(), OrderedDict())
        self._addresses: OrderedDict[bytes, OrderedDict[bytes, int]] = OrderedDict()  # of a MAC -> last claim
        self._swept = 0

    def __len__(self) -> int:
        """Number of addresses."""
        return sum(map(len, self._grades))

    def get(self, address: bytes) -> Binding | None:
        """The binding of an address."""
        return next((table[address] for table in self._grades if address in table), None)

    def count(self, address: bytes, mac: bytes, now: int) -> int:
        """Note that `mac` claims `address`; how many addresses it has claimed within FRESH_S, at most cap + 1."""
        addresses = self._addresses.get(mac)
        if addresses is None:
            addresses = OrderedDict()
        remember(self._addresses, mac, addresses, MAX_MACS)
        while addresses and not within(now, next(iter(addresses.values())), FRESH_S):
            addresses.popitem(last=False)
        if len(addresses) <= self._cap or address in addresses:
            remember(addresses, address, now, self._cap + 1)
        return len(addresses) if address in addresses else self._cap + 1

    def claim(self, address: bytes, mac: bytes, now: int) -> Binding:
        """Note that `mac` says it has `address`; the binding as it is now, kept if there was room for it."""
        binding = self.get(address)
        if binding is None:
            binding = Binding()
            self._enter(address, binding, now)
        claims = binding.claims
        if mac not in claims and len(claims) >= MAX_CLAIMANTS:
            del claims[max(claims, key=lambda who: claims[who][0])]  # the youngest: the oldest must not be crowded out
        # a claim that is no longer fresh keeps its age: an owner who was silent for long comes home as the older
        claims[mac] = (claims[mac][0] if mac in claims else now, now)
        if binding.holder not in (b"", mac) and binding.fresh_others(mac, now):
            binding.changes = [when for when in binding.changes if within(now, when, WINDOW_S)][-MAX_CLAIMANTS:] + [now]
        binding.holder = mac
        age = (now - claims[binding.oldest()][0]) / 1e6
        self._promote(address, mac, SOLID if age >= SOLID_S else KNOWN if age >= OLD_S else NEW)
        return binding

    def answered(self, address: bytes, mac: bytes) -> None:
        """The holder has answered somebody who asked."""
        self._promote(address, mac, KNOWN)

    def carries(self, address: bytes, mac: bytes, now: int) -> None:
        """The holder takes part in traffic that goes both ways: the binding is in use, whether claimed again or not."""
        binding = self.get(address)
        if binding is not None and binding.oldest() == mac:
            binding.claims[mac] = (binding.claims[mac][0], max(now, binding.claims[mac][1]))
            self._promote(address, mac, SOLID)

    def _promote(self, address: bytes, mac: bytes, grade: int) -> None:
        """Raise a binding's grade for what its oldest claimant does; a younger claimant earns it nothing."""
        binding = self.get(address)
        if binding is not None and binding.grade < grade and binding.oldest() == mac:
            del self._grades[binding.grade][address]
            binding.grade = grade
            self._grades[grade][address] = binding

    def _enter(self, address: bytes, binding: Binding, now: int) -> None:
        """Keep a new binding, if there is room or somebody gives way."""
        if len(self) >= self._limit and not within(now, self._swept, SWEEP_S):
            self._swept = now
            self._sweep(now)
        if len(self) >= self._limit:
            self.crowded = [when for when in self.crowded if within(now, when, WINDOW_S)][-self._limit :] + [now]
            table = self._grades[NEW] or self._grades[KNOWN]
            if not table:
                return
            table.popitem()
        self._grades[NEW][address] = binding

    def _sweep(self, now: int) -> None:
        """Drop bindings that have been silent for long."""
        for table, gone_s in zip(self._grades, GONE_S, strict=True):
            for address, binding in list(table.items()):
                if not any(within(now, last, gone_s) for _, last in binding.claims.values()):
                    del table[address]
