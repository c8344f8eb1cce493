"""Verdicts and rule alerts -> EVE JSON, one object a line, as Suricata writes it.

Events are of type `alert` and `flow` and keep to Suricata's schema. A flow's event bears the time of its
last packet, so a replay writes the lines of the live run. `flow_id` is a digest of addresses, ports,
protocol and first timestamp: the same flow has the same id in its alert, in its flow event, and in a
replay. It has 53 bits, as many as every JSON reader keeps.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from tlids_edge.detect.card import Card
from tlids_edge.detect.detector import Verdict
from tlids_edge.detect.judging import MANY, OUTSIDE, UNLIKE
from tlids_edge.detect.suspects import RuleAlert
from tlids_edge.digests import blake2b
from tlids_edge.flows.meter import Flow

SID_MODEL = 9_100_000  # plus the index of the class in the card
SID_NOVELTY, SID_NUMBER, SID_USE = 9_180_000, 9_180_001, 9_180_002
_NOVELTY = {
    UNLIKE: (SID_NOVELTY, "TL-IDS novelty: unlike all that was learned"),
    MANY: (SID_NUMBER, "TL-IDS novelty: more flows to one service than learned"),
    OUTSIDE: (
        SID_USE, "TL-IDS novelty: a service or network that this device did not use while the home was learned"
    ),
}  # fmt: skip
SIDS_NOVELTY = frozenset(sid for sid, _ in _NOVELTY.values())
SID_RAISED = 9_190_000  # a flow that only a rule raised
PROTOCOLS = {
    1: "ICMP", 2: "IGMP", 6: "TCP", 17: "UDP", 41: "IPv6", 47: "GRE", 50: "ESP", 51: "AH",
    58: "IPv6-ICMP", 89: "OSPF", 132: "SCTP",
}  # fmt: skip
WITH_PORTS = (6, 17, 33, 132, 136)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def timestamp(time_us: int) -> str:
    """Microseconds since 1970 as EVE prints a moment, e.g. 2026-01-31T12:00:00.123456+0000."""
    seconds, micros = divmod(time_us, 1_000_000)
    return f"{_second(seconds)}.{micros:06d}+0000"


def alert_line(
    verdict: Verdict, card: Card, rules: Sequence[str] = (), origin: dict | None = None, incident: int | None = None
) -> bytes:
    """The alert for one flow that the model, a rule, or both hold for an anomaly; `incident` is the one it belongs to.

    Severity is 1 when model and rule agree, 2 for the model alone, 3 for a rule alone. `origin` is merged in:
    `in_iface` when live, `pcap_filename` on replay.
    """
    scores = {
        "tlids_model": [card.name],
        "tlids_class": [verdict.label],
        "tlids_score": [number(verdict.score)],
        "tlids_threshold": [number(card.threshold)],
        "tlids_probabilities": [
            f"{name}={number(value)}" for name, value in zip(card.classes, verdict.probabilities, strict=True)
        ],
    }
    if rules:
        scores["tlids_rules"] = list(rules)
    scores["tlids_source"] = ["proven" if verdict.flow.proven else "claimed"]
    if incident is not None:
        scores["tlids_incident"] = [str(incident)]
    if verdict.is_alert:
        signature, sid = f"TL-IDS model: {verdict.label}", SID_MODEL + card.classes.index(verdict.label)
    else:
        signature, sid = f"TL-IDS flow of a source under a rule's alert: {', '.join(rules)}", SID_RAISED
    severity = (1 if rules else 2) if verdict.is_alert else 3
    alert = alert_object(sid, signature, "Network anomaly", severity, scores)
    return encoded(
        _flow_event(verdict.flow, "alert") | {"alert": alert, "flow": _counters(verdict.flow)} | (origin or {})
    )


def novelty_line(
    verdict: Verdict, novel: int = UNLIKE, origin: dict | None = None, incident: int | None = None
) -> bytes:
    """The alert for one flow that the model calls benign and that is novel: UNLIKE, MANY or OUTSIDE; severity 4."""
    metadata = {"tlids_source": ["proven" if verdict.flow.proven else "claimed"]}
    metadata |= {"tlids_incident": [str(incident)]} if incident is not None else {}
    alert = alert_object(*_NOVELTY[int(novel)], "Network anomaly", 4, metadata)
    return encoded(
        _flow_event(verdict.flow, "alert") | {"alert": alert, "flow": _counters(verdict.flow)} | (origin or {})
    )


def flow_line(verdict: Verdict, alerted: bool, origin: dict | None = None) -> bytes:
    """The `flow` event of one flow, with the model's verdict among its flow variables."""
    variables = [
        {"key": "tlids_class", "value": verdict.label},
        {"key": "tlids_score", "value": number(verdict.score)},
    ]
    event = _flow_event(verdict.flow, "flow") | {"metadata": {"flowvars": variables}}
    return encoded(event | {"flow": _counters(verdict.flow) | {"alerted": alerted}} | (origin or {}))


def rule_line(alert: RuleAlert, origin: dict | None = None, incident: int | None = None) -> bytes:
    """The alert of a rule, which belongs to no single flow, but to an incident."""
    event: dict = {"timestamp": timestamp(alert.time_us), "event_type": "alert"}
    event |= {"src_ip": alert.src} if alert.src else {}
    event |= {"dest_ip": alert.dst} if alert.dst else {}
    event |= {"proto": alert.protocol} if alert.protocol else {}
    event |= {"ether": {"src_mac": alert.src_mac}} if alert.src_mac else {}
    metadata = {f"tlids_{name}": [value] for name, value in alert.details.items()}
    metadata["tlids_source"] = ["proven" if alert.proven else "claimed"]
    metadata |= {"tlids_incident": [str(incident)]} if incident is not None else {}
    event["alert"] = alert_object(alert.signature_id, alert.signature, alert.category, alert.severity, metadata)
    return encoded(event | (origin or {}))


def flow_id(flow: Flow) -> int:
    """53 bits that stand for one flow of one capture."""
    src, dst, src_port, dst_port, protocol, vlan = flow.key
    text = b"%b|%b|%d|%d|%d|%d" % (src, dst, src_port, dst_port, protocol, flow.first_us)
    text += b"|%d" % vlan if vlan else b""
    return int.from_bytes(blake2b(text, digest_size=8).digest()) >> 11


@lru_cache(maxsize=256)
def _second(seconds: int) -> str:
    """A whole second; consecutive events share it."""
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")


def _flow_event(flow: Flow, kind: str) -> dict:
    """What alert and flow events of one flow have in common."""
    event = {
        "timestamp": timestamp(flow.last_us),
        "flow_id": flow_id(flow),
        "event_type": kind,
        "src_ip": flow.src,
        "dest_ip": flow.dst,
        "proto": PROTOCOLS.get(flow.protocol, str(flow.protocol)),
        "ip_v": 4 if len(flow.key[0]) == 4 else 6,
    }
    if flow.protocol in WITH_PORTS:
        event |= {"src_port": flow.src_port, "dest_port": flow.dst_port}
    if flow.src_mac:
        event["ether"] = {"src_mac": flow.src_mac, "dest_mac": flow.dst_mac}
    return event


def _counters(flow: Flow) -> dict:
    """The `flow` object: packets and IP-layer bytes of both directions, times, and why the flow ended."""
    return {
        "pkts_toserver": flow.in_packets,
        "pkts_toclient": flow.out_packets,
        "bytes_toserver": flow.in_bytes,
        "bytes_toclient": flow.out_bytes,
        "start": timestamp(flow.first_us),
        "end": timestamp(flow.last_us),
        "age": (flow.last_us - flow.first_us) // 1_000_000,
        "state": _state(flow),
        "reason": flow.end_reason,
    }


def _state(flow: Flow) -> str:
    """Suricata's word for how far a flow has come."""
    if flow.end_reason in ("fin", "rst"):
        return "closed"
    return "established" if flow.out_packets else "new"


def alert_object(sid: int, signature: str, category: str, severity: int, metadata: dict) -> dict:
    """The `alert` object; metadata holds lists of text, as the schema has it."""
    return {
        "action": "allowed",
        "gid": 1,
        "signature_id": sid,
        "rev": 1,
        "signature": signature,
        "category": category,
        "severity": severity,
        "metadata": metadata,
    }


@lru_cache(maxsize=1024)
def number(value: float) -> str:
    """A probability as text; "nan" when the model gave no number."""
    return f"{value:.6f}"


def encoded(event: dict) -> bytes:
    """One event as a whole line."""
    return _encode(event).encode("ascii") + b"\n"
