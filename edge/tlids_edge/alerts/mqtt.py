"""Alerts to an MQTT broker, in the form that Home Assistant finds by itself.

Topics, NODE being the host's name or what --name says:

    tlids/NODE/state    `online`, or `offline` as the last will; retained
    tlids/NODE/incident the EVE JSON line of an incident that opens, goes on or closes
    tlids/NODE/alert    an alert of a rule, and what the sensor did not see, as its EVE JSON line; no single flows
    tlids/NODE/stats    counts of alerts and incidents and the names of troubles, as JSON, with each status line
    homeassistant/sensor/tlids_NODE/{last_incident,open_incidents,incidents_today,alerts}/config    discovery; retained

The figures tell nothing of the home's traffic and are not retained, because a broker shows them to others. The client
runs on a thread of its own and reconnects for ever; a broker that is away never holds up the capture. An alert is
written when the broker has acknowledged it; of those that wait the least severe goes when there is no more room.
paho-mqtt is an optional extra (`pip install "tlids-edge[mqtt]"`). A broker's login shows on no command line: see
`broker.read_login`.
"""

import contextlib
import json
import os
import re
import socket
import sys
import threading
import time
from collections import deque

from tlids_edge.alerts.broker import read_login, split_broker, tls_context, watched_client
from tlids_edge.alerts.waiting import Message, Waiting
from tlids_edge.errors import InputError, quoted

QUEUED = 1000  # alerts kept while the broker is away
ON_THE_WAY = 100  # handed to the client and not acknowledged
OWN = 16  # and so many messages about ourselves
SILENT_S = 30.0  # a broker that acknowledges nothing for so long is told of
LEAVE_S = 2.0  # how long the last message may take at the end of a run, and then the client's thread
FIGURES = ("alerts", "incidents", "open_incidents", "incidents_today")  # those that are published
TROUBLES = ("drops", "gaps", "evicted", "unwritten", "unjudged")
LEAVES = ("incident", "alert")  # of equal severity, the first matters more
_SEVERITY = re.compile(rb'"severity":(\d)')  # inside a text the quotes would be escaped

# a sensor's state has at most 255 characters; the source is an attribute for automations to ask for
_ATTRIBUTES = (
    "{% set m = value_json.alert.metadata %}"
    "{{ {'source': value_json.src_ip | default('many'), 'sources': m.tlids_sources | default([]),"
    " 'proven': m.tlids_source[0], 'state': m.tlids_state[0], 'severity': value_json.alert.severity,"
    " 'classes': m.tlids_classes | default([]), 'hosts': m.tlids_hosts | default([]),"
    " 'incident': m.tlids_incident[0]} | tojson }}"
)


class MqttSink:
    """Publishes alerts; has the counters of the other sinks."""

    def __init__(self, broker: str, node: str | None = None, authority: str | None = None) -> None:
        """Begin to connect to `broker` (see `split_broker`) without waiting for it.

        `authority` is a PEM file whose certificates are trusted instead of the system's.

        Raises:
            InputError: paho-mqtt is not installed, or the broker, the node, the login or the file makes no sense.
        """
        host, port, secure = place = split_broker(broker)
        if authority and not secure:
            raise InputError("expected --mqtt mqtts://HOST with --mqtt-ca, found another broker", "correct one of them")
        self.node = node_name(node)
        user, password = read_login()
        try:
            from paho.mqtt import client as paho  # here, because it is optional
        except ImportError as error:
            raise InputError("expected paho-mqtt for --mqtt, found none", 'pip install "tlids-edge[mqtt]"') from error
        self.name = f"the MQTT broker {host}:{port}"
        in_clear = bool(password) and not secure and not place.is_here
        self.warning = f"the password goes to {self.name} in clear; --mqtt mqtts://HOST encrypts it" if in_clear else ""
        self.written = self.unwritten = 0
        self._trouble = ""
        self._waiting = Waiting(QUEUED)
        self._sent: set[int] = set()  # ids of alerts that are not acknowledged
        self._acknowledged: deque[int] = deque()  # filled by paho's thread, emptied by ours
        self._heard_at = time.monotonic()  # when something was acknowledged, or nothing waited for it
        # a broker ends the older of two connections with one id, so nobody may guess it; all brokers take 23 characters
        self._client = watched_client(paho)(paho.CallbackAPIVersion.VERSION2, client_id=f"tlids-{os.urandom(8).hex()}")
        self._accepted = paho.MQTT_ERR_SUCCESS, paho.MQTT_ERR_NO_CONN
        if user:
            self._client.username_pw_set(user, password)
        if secure:
            self._client.tls_set_context(tls_context(authority))
        self._begin(host, port)

    def _begin(self, host: str, port: int) -> None:
        """Set the client up and let it connect."""
        self._client.max_queued_messages_set(ON_THE_WAY + OWN)
        self._client.max_inflight_messages_set(ON_THE_WAY)
        self._client.reconnect_delay_set(1, 60)
        self._client.will_set(self._topic("state"), "offline", qos=1, retain=True)
        self._client.on_connect = self._introduce
        self._client.on_connect_fail = self._note_absence
        self._client.on_disconnect = self._note_loss
        self._client.on_publish = self._note_acknowledgement
        self._client.connect_async(host, port)
        self._client.loop_start()

    @property
    def fault(self) -> str:
        """What keeps the broker from taking lines; "" for nothing."""
        if not self._trouble and self._sent and time.monotonic() - self._heard_at > SILENT_S:
            return f"{self.name} has acknowledged nothing for {SILENT_S:.0f} s"
        return self._trouble

    @property
    def pending(self) -> int:
        """Alerts that are neither acknowledged nor given up."""
        return len(self._waiting) + len(self._sent)

    def write(self, lines: list[bytes]) -> None:
        """Publish alerts; QUEUED are kept for a broker that is away, the most severe ones."""
        self._publish("alert", lines)

    def publish_incidents(self, lines: list[bytes]) -> None:
        """Publish lines of incidents; they are kept and counted as alerts are."""
        self._publish("incident", lines)

    def _publish(self, leaf: str, lines: list[bytes]) -> None:
        """Let lines wait for their turn."""
        for line in lines:
            found = _SEVERITY.search(line)
            rank = len(LEAVES) * (int(found[1]) if found else 9) + LEAVES.index(leaf)
            self.unwritten += self._waiting.put(rank, Message(leaf, line))
        self.push()

    def push(self) -> None:
        """Count what the broker has acknowledged, and hand over the next lines."""
        while self._acknowledged:
            number = self._acknowledged.popleft()
            if number in self._sent:  # and not one of our other messages
                self._sent.remove(number)
                self.written += 1
                self._heard_at = time.monotonic()
        self._heard_at = self._heard_at if self._sent else time.monotonic()
        while len(self._waiting) and len(self._sent) < ON_THE_WAY and self._client.is_connected():
            leaf, line = self._waiting.take()
            message = self._client.publish(self._topic(leaf), line.rstrip(b"\n"), qos=1)
            if message.rc in self._accepted:
                self._sent.add(message.mid)
            else:
                self.unwritten += 1

    def publish_stats(self, stats: dict) -> None:
        """Publish what the figures of the status line say about alerts, and which troubles there are."""
        told = {name: stats[name] for name in FIGURES if name in stats}
        told["troubles"] = [name for name in TROUBLES if stats.get(name)]
        if self._client.is_connected():
            self._client.publish(self._topic("stats"), json.dumps(told), qos=0, retain=False)

    def reopen(self) -> None:
        """Nothing to reopen: the client reconnects."""

    def close(self) -> None:
        """Say goodbye if the broker is there; what it has not acknowledged by then is unwritten."""
        connected = self._client.is_connected()
        self._client.on_disconnect = None
        if connected:
            farewell = self._client.publish(self._topic("state"), "offline", qos=1, retain=True)
            with contextlib.suppress(RuntimeError, ValueError):  # the broker has left, or takes nothing
                farewell.wait_for_publish(timeout=LEAVE_S)
        self.push()
        if self.pending:
            what = "has not acknowledged every alert" if connected else "cannot be reached"
            self._trouble = self._trouble or f"{self.name} {what}"
        self.unwritten += self.pending
        self._sent.clear()
        self._waiting = Waiting(QUEUED)
        self._client.disconnect()
        if connected:  # else the client's thread may look up the host's name for long; it ends with the program
            leaving = threading.Thread(target=self._client.loop_stop, daemon=True)
            leaving.start()
            leaving.join(LEAVE_S)  # a broker that has left just now makes the thread connect again, as long as it takes

    def _topic(self, leaf: str) -> str:
        """A topic of this node."""
        return f"tlids/{self.node}/{leaf}"

    def _introduce(self, client, _userdata, _flags, reason, _properties) -> None:
        """On every connection: describe the sensors to Home Assistant and say that we are online."""
        if reason.is_failure:
            self._trouble = f"{self.name} refused: {reason}"
            return
        self._trouble = ""
        for topic, configuration in discovery(self.node):
            client.publish(topic, json.dumps(configuration), qos=1, retain=True)
        client.publish(self._topic("state"), "online", qos=1, retain=True)

    def _note_absence(self, _client, _userdata) -> None:
        """A connection was not made; paho calls this while it deals with the reason."""
        error = sys.exc_info()[1]
        why = getattr(error, "strerror", None) or str(error or "") or "no answer"
        self._trouble = f"{self.name} cannot be reached ({why})"

    def _note_loss(self, _client, _userdata, _flags, reason, _properties) -> None:
        """A connection broke; a refusal has its own words."""
        if self._client.unasked:
            self._trouble = f"{self.name} sent {self._client.unasked} unasked and was disconnected"
            self._client.unasked = ""
        elif not self._trouble:
            self._trouble = f"{self.name} cannot be reached ({reason})"

    def _note_acknowledgement(self, _client, _userdata, number, _reason, _properties) -> None:
        """The broker has a message."""
        self._acknowledged.append(number)


def node_name(name: str | None) -> str:
    """The part of topics and ids that tells one sensor from another: `name`, or the host's.

    Raises:
        InputError: topics cannot hold `name`.
    """
    if name is None:
        return re.sub(r"[^A-Za-z0-9_-]", "_", socket.gethostname()) or "pi"
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        raise InputError(f"expected 1 to 64 letters, digits, - and _ after --name, found {quoted(name)}", "correct it")
    return name


def discovery(node: str) -> list[tuple[str, dict]]:
    """Topics and payloads of Home Assistant's MQTT discovery: the last incident, and how many there are."""
    device = {"identifiers": [f"tlids_{node}"], "name": f"TL-IDS {node}", "manufacturer": "TL-IDS companion"}
    common = {"availability_topic": f"tlids/{node}/state", "device": device}
    incident, stats = f"tlids/{node}/incident", f"tlids/{node}/stats"
    sensors = {
        "last_incident": {
            "name": "Last incident", "state_topic": incident,
            "value_template": "{{ value_json.alert.signature[:255] }}",
            "json_attributes_topic": incident, "json_attributes_template": _ATTRIBUTES, "icon": "mdi:shield-alert",
        },
        "open_incidents": _number("Open incidents", stats, "open_incidents", "measurement"),
        "incidents_today": _number("Incidents today", stats, "incidents_today", "total_increasing"),
        "alerts": _number("Alerts", stats, "alerts", "total_increasing"),
    }  # fmt: skip
    return [
        (f"homeassistant/sensor/tlids_{node}/{name}/config", common | {"unique_id": f"tlids_{node}_{name}"} | sensor)
        for name, sensor in sensors.items()
    ]


def _number(name: str, topic: str, figure: str, state_class: str) -> dict:
    """A sensor that shows one of the status figures."""
    return {
        "name": name, "state_topic": topic, "value_template": f"{{{{ value_json.{figure} }}}}",
        "state_class": state_class, "icon": "mdi:counter",
    }  # fmt: skip
