"""Incidents and blindness -> EVE alerts, one object a line, of the form that `eve` gives to alerts of flows."""

from tlids_edge.alerts.blindness import CAUSES, Blind
from tlids_edge.alerts.eve import alert_object, encoded, number, timestamp
from tlids_edge.alerts.incident import Incident, Several
from tlids_edge.alerts.incidents import CLOSED, MAC, OPEN, PORTS, SOURCE, SOURCES, TARGET, UPDATE
from tlids_edge.capture.packets import address_text, mac_text

SID_BLIND = {
    "drops": 9_400_001, "gaps": 9_400_002, "evicted": 9_400_003, "unjudged": 9_400_004, "rules": 9_400_005,
}  # fmt: skip
SEVERITY_BLIND = 2
SID_INCIDENT = {OPEN: 9_300_001, UPDATE: 9_300_002, CLOSED: 9_300_003}
_WORDS = {OPEN: "incident", UPDATE: "incident goes on", CLOSED: "incident is over"}
MAX_CLASSES = 3  # in a signature


def incident_line(state: str, time_us: int, incident: Incident, why: str = "", origin: dict | None = None) -> bytes:
    """The line of an incident that opens, goes on or closes (`why`: "silence", "shutdown", "table full").

    `flow_id` is the same in all its lines. Counts are those since it opened; `tlids_not_listed` is how many alerts of
    single flows were left out since its line before.
    """
    event: dict = {"timestamp": timestamp(time_us), "flow_id": incident.id, "event_type": "alert"}
    event |= _ends(incident)
    signature = f"TL-IDS {_WORDS[state]}: {_what(incident)} {_who(incident)}"
    metadata = {"tlids_incident": [str(incident.id)], "tlids_state": [state]} | _metadata(incident)
    metadata |= {"tlids_closed_by": [why]} if why else {}
    event["alert"] = alert_object(SID_INCIDENT[state], signature, "Network incident", incident.severity, metadata)
    return encoded(event | (origin or {}))


def blind_line(spell: Blind, origin: dict | None = None) -> bytes:
    """The line at the beginning or the end of a time in which not everything was seen or judged."""
    until = [timestamp(spell.until_us)] if spell.until_us is not None else []
    metadata = {
        "tlids_blind_since": [timestamp(spell.since_us)],
        "tlids_blind_until": until,
        "tlids_because": [spell.cause],
        "tlids_lost": [str(spell.count)],
    }
    words = "TL-IDS was blind" if until else "TL-IDS is blind"
    signature = f"{words}: {spell.count} {CAUSES[spell.cause][0]}"
    metadata = {name: values for name, values in metadata.items() if values}
    alert = alert_object(SID_BLIND[spell.cause], signature, "Sensor", SEVERITY_BLIND, metadata)
    event = {"timestamp": timestamp(spell.time_us), "event_type": "alert", "alert": alert}
    return encoded(event | (origin or {}))


def _ends(incident: Incident) -> dict:
    """The one source, and the one host and port, where there is one."""
    ends: dict = {}
    addresses, macs = (set(column) - {b""} for column in zip(*incident.sources.first, strict=True))
    if len(addresses) == 1:
        ends["src_ip"] = address_text(addresses.pop())
    if len(macs) == 1 and not incident.sources.more:
        ends["ether"] = {"src_mac": mac_text(macs.pop())}
    if len(incident.hosts.first) == 1:
        ends["dest_ip"] = address_text(next(iter(incident.hosts.first)))
        if len(incident.ports.first) == 1:
            ends["dest_port"] = next(iter(incident.ports.first))
    return ends


def _what(incident: Incident) -> str:
    """Its most frequent classes, or the rule's words where there are no flows."""
    names = [name for name, _ in incident.classes.most_common(MAX_CLASSES)]
    names = names or [signature.removeprefix("TL-IDS ") for signature in incident.signatures]
    return ", ".join(names)


def _who(incident: Incident) -> str:
    """Who does it, or to whom it is done."""
    kind, *ends = incident.key
    if kind == SOURCE:
        return f"from {address_text(ends[0])} ({incident.source})"
    if kind == TARGET:
        return f"from {_number(incident.sources)} to {address_text(ends[0])} port {ends[1]}"
    if kind == PORTS:
        return f"from {_number(incident.sources)} to many ports of {address_text(ends[0])}"
    if kind == MAC:
        return f"from MAC {mac_text(ends[0])}"
    return f"from {_number(incident.sources)}" + (f" of MAC {mac_text(ends[0])}" if kind == SOURCES else "")


def _metadata(incident: Incident) -> dict[str, list[str]]:
    """Counts and examples, as lists of text, which is what the schema has."""
    counts = {
        "tlids_flows": incident.flows,
        "tlids_unjudged": incident.unjudged,
        "tlids_not_listed": incident.unlisted,
    }
    metadata = {name: [str(count)] for name, count in counts.items()}
    metadata["tlids_classes"] = [f"{name}={count}" for name, count in incident.classes.most_common()]
    metadata["tlids_source"] = [incident.source]
    metadata["tlids_sources"] = [_source(*pair, proven) for pair, proven in incident.sources.first.items()]
    metadata["tlids_hosts"] = [address_text(host) for host in incident.hosts.first]
    metadata["tlids_ports"] = [str(port) for port in incident.ports.first]
    for name in ("sources", "hosts", "ports"):
        if more := getattr(incident, name).more:
            metadata[f"tlids_more_{name}"] = [str(more)]
    metadata["tlids_rules"] = [f"{name}={count}" for name, count in (incident.rules + incident.signatures).items()]
    metadata["tlids_first"], metadata["tlids_last"] = [timestamp(incident.first_us)], [timestamp(incident.last_us)]
    metadata["tlids_score"] = [number(incident.score)]
    return {name: values for name, values in metadata.items() if values}


def _source(address: bytes, mac: bytes, proven: bool) -> str:
    """One source: address, MAC, and whether two-way traffic proves that they belong together."""
    parts = [address_text(address) if address else "", mac_text(mac), "proven" if proven else "claimed"]
    return " ".join(filter(None, parts))


def _number(sources: Several) -> str:
    """How many sources there are, as far as it is known."""
    if sources.more:
        return f"about {len(sources.first) + sources.more} sources"
    return f"{len(sources.first)} source{'s' * (len(sources.first) != 1)}"
