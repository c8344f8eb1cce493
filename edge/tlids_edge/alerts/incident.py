"""What is known of one incident: counts and first examples, never a list of its flows.

An incident takes the same memory whatever it holds: the first SHOWN sources, hosts and ports are kept, and how many
more there were is estimated from SKETCH_BYTES (a HyperLogLog of Flajolet et al. 2007 with 256 registers: 6.5 % off
on average, and nearly exact below 50).
"""

from collections import Counter
from collections.abc import Sequence
from math import log
from typing import NamedTuple
from zlib import crc32

import numpy as np

from tlids_edge.detect.judging import MANY, OUTSIDE, UNLIKE, names_of
from tlids_edge.detect.suspects import RuleAlert
from tlids_edge.digests import blake2b
from tlids_edge.flows.rows import ended, sources_of

SHOWN = 10
SKETCH_BYTES = 256
FEW = 12  # values: up to so many are estimated one by one
RAISED, NOVELTY = "raised by a rule", "novelty"
NUMBER, USE = "unusual number of flows", "unusual service or network"
KINDS = {0: RAISED, UNLIKE: NOVELTY, MANY: NUMBER, OUTSIDE: USE}  # for the class of a flow that the model calls benign
MAX_RULES = 16  # signatures of rules that are kept
SEVERITY_BOTH, SEVERITY_MODEL, SEVERITY_RULE, SEVERITY_NOVEL = 1, 2, 3, 4


class Alarm(NamedTuple):
    """One alarming flow. Addresses as bytes; times in microseconds since 1970."""

    time_us: int
    src: bytes
    src_mac: bytes  # b"" where the link layer has none
    dst: bytes
    dst_port: int
    label: str  # the model's class, "" when a rule alone raised the flow
    score: float
    rules: tuple[str, ...]  # names of the rules under whose alert the source stands
    proven: bool  # two-way traffic shows that address and MAC belong together
    novel: int = 0  # UNLIKE, MANY or OUTSIDE, though the model knows no attack in it
    answered: bool = True  # something came back that is no RST

    @property
    def kind(self) -> str:
        """What it is counted as."""
        return kind_of(self.label, self.novel)


def kind_of(label: str, novel: int) -> str:
    """What a flow is counted as: the model's class, "" when it calls the flow benign, or why it alarms all the same."""
    return label or KINDS[int(novel)]


class Several:
    """The first SHOWN of some values, and about how many others there were."""

    __slots__ = ("first", "_registers")

    def __init__(self) -> None:
        """Hold nothing."""
        self.first: dict[object, bool] = {}  # value -> whether it is proven
        self._registers: bytearray | None = None

    def add(self, value: object, raw: bytes, proven: bool = False) -> None:
        """Take note of a value, which `raw` stands for in the estimate, and whether it is proven, once and for all."""
        self.add_many((value,), (raw,), (proven,))

    def add_many(self, values: Sequence[object], raws: Sequence[bytes], proven: Sequence[bool]) -> None:
        """As `add`, of many."""
        first, later = self.first, []
        for value, raw, known in zip(values, raws, proven, strict=True):
            if value in first or len(first) < SHOWN:
                first[value] = known or first.get(value, False)
            else:
                later.append(raw)
        if later:
            self._estimate(later)

    def _estimate(self, raws: Sequence[bytes]) -> None:
        """Let values beyond the first SHOWN count in the estimate."""
        if self._registers is None:
            self._registers = bytearray(SKETCH_BYTES)
        if len(raws) >= FEW:
            mixed = _mixed(np.array([crc32(raw) for raw in raws], np.uint64))
            ranks = 25 - np.frexp((mixed >> 8).astype(np.float64))[1]
            np.maximum.at(np.frombuffer(self._registers, np.uint8), mixed & 0xFF, ranks.astype(np.uint8))
            return
        for raw in raws:
            mixed = _mixed(crc32(raw))
            rank = 25 - (mixed >> 8).bit_length()  # leading zeros of 24 bits, plus 1
            self._registers[mixed & 0xFF] = max(rank, self._registers[mixed & 0xFF])

    @property
    def more(self) -> int:
        """About how many distinct values came after the first SHOWN."""
        if self._registers is None:
            return 0
        size = SKETCH_BYTES
        estimate = 0.7213 / (1 + 1.079 / size) * size * size / sum(2.0**-rank for rank in self._registers)
        empty = self._registers.count(0)
        if estimate <= 2.5 * size and empty:
            estimate = size * log(size / empty)
        return round(estimate)


class Incident:
    """A burst of alarms that belong together; `key` says why: ("source", address), ("target", address, port), ..."""

    __slots__ = (
        "id", "key", "kin", "slow", "opened_us", "first_us", "last_us", "flows", "unjudged", "unlisted",
        "classes", "rules", "signatures", "rule_severity", "score", "sources", "hosts", "ports", "seen", "told",
    )  # fmt: skip

    def __init__(self, key: tuple, kin: tuple, time_us: int, slow: bool = False) -> None:
        """Begin with nothing but a number, which a replay gives again; `kin` is whom it counts against."""
        self.key, self.kin, self.slow = key, kin, slow
        self.opened_us = self.first_us = self.last_us = time_us
        self.id = int.from_bytes(blake2b(repr((key, time_us)).encode(), digest_size=8).digest()) >> 11
        self.flows = self.unjudged = 0
        self.unlisted = 0  # alerts of single flows that were left out since the incident's last line
        self.classes: Counter[str] = Counter()
        self.rules: Counter[str] = Counter()  # flows under a rule's alert, by the rule's name
        self.signatures: Counter[str] = Counter()  # alerts of rules
        self.rule_severity = SEVERITY_RULE
        self.score = 0.0
        self.sources, self.hosts, self.ports = Several(), Several(), Several()
        self.seen = self.told = -1  # steady time of the last alarm and of the last line

    @property
    def size(self) -> int:
        """Flows and rule alerts that belong to it."""
        return self.flows + self.signatures.total()

    @property
    def severity(self) -> int:
        """1 when model and rule agree, 2 for the model alone; a rule alone has that of its alert; 4 for novelty."""
        model = any(name not in KINDS.values() for name in self.classes)
        rule = bool(self.rules or self.signatures)
        if model:
            return SEVERITY_BOTH if rule else SEVERITY_MODEL
        return self.rule_severity if rule else SEVERITY_NOVEL

    @property
    def source(self) -> str:
        """Whether its flows come from proven sources: "proven", "claimed", or "mixed"."""
        known = set(self.sources.first.values())
        return "mixed" if len(known) > 1 else "proven" if True in known else "claimed"

    def add(self, alarm: Alarm) -> None:
        """Count one alarming flow."""
        self.flows += 1
        self.classes[alarm.kind] += 1
        if alarm.rules:
            self.rules.update(alarm.rules)
        if alarm.score > self.score:
            self.score = alarm.score
        self._note_time(alarm.time_us)
        self.sources.add((alarm.src, alarm.src_mac), alarm.src + alarm.src_mac, alarm.proven)
        self.hosts.add(alarm.dst, alarm.dst)
        self.ports.add(alarm.dst_port, alarm.dst_port.to_bytes(2))

    def add_many(self, rows: np.ndarray, kinds: Sequence[str], scores: np.ndarray) -> None:
        """Count alarming flows to one host and port, a ROW array, and what each is counted as; as `add` of each."""
        self.flows += len(rows)
        self.classes.update(kinds)
        for rules, count in Counter(rows["rules"].tolist()).items():
            self.rules.update(dict.fromkeys(names_of(rules), count))
        self.score = max(self.score, float(np.fmax.reduce(scores)))
        self._note_time(int(rows["last_us"].min()))
        self._note_time(int(rows["last_us"].max()))
        sources = sources_of(rows)
        self.sources.add_many(sources, [b"".join(source) for source in sources], (rows["proven"] > 0).tolist())
        _, dst, _, port, *_ = next(ended(rows[:1])).key
        self.hosts.add(dst, dst)
        self.ports.add(port, port.to_bytes(2))

    def add_rule(self, alert: RuleAlert, source: tuple[bytes, bytes], proven: bool) -> None:
        """Count the alert of a rule about a source: its address and MAC."""
        if alert.signature in self.signatures or len(self.signatures) < MAX_RULES:
            self.signatures[alert.signature] += 1
        self.rule_severity = min(self.rule_severity, alert.severity)
        self._note_time(alert.time_us)
        self.sources.add(source, b"".join(source), proven)

    def add_earlier(self, classes: dict[str, int], first_us: int) -> None:
        """Count flows of which no more than their classes is known any longer."""
        self.classes.update(classes)
        self.flows += sum(classes.values())
        self._note_time(first_us)

    def _note_time(self, time_us: int) -> None:
        """Stretch it over one more moment."""
        self.first_us, self.last_us = min(self.first_us, time_us), max(self.last_us, time_us)


def _mixed(number: int | np.ndarray) -> int | np.ndarray:
    """32 bits in which every bit depends on all of `number`'s (a checksum's bits depend on one another)."""
    number = (number ^ number >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    number = (number ^ number >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return number ^ number >> 16
