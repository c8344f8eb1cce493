"""The way to an MQTT broker: its address, the login, certificates, and a watch on what it sends.

A sensor subscribes to nothing, so a broker has only answers for it, of four bytes at most. Whatever else comes ends the
connection at its first byte, before anything of it is stored: a PUBLISH may have 255 MiB.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tlids_edge.errors import InputError, quoted

if TYPE_CHECKING:
    import ssl

PORT, TLS_PORT = 1883, 8883
SECURE = "mqtts://"
CREDENTIAL = "mqtt-password"  # systemd's LoadCredential= puts it into the folder CREDENTIALS_DIRECTORY
MAX_PASSWORD = 4096
# packet type -> bytes after its header at most (MQTT 3.1.1, section 2.2): CONNACK, PUBACK, PINGRESP
ANSWERS = {2: 2, 4: 2, 13: 0}


class Broker(NamedTuple):
    """Where a broker is."""

    host: str
    port: int
    secure: bool

    @property
    def is_here(self) -> bool:
        """Whether nothing that goes there leaves this machine."""
        return self.host in ("localhost", "::1") or re.fullmatch(r"127(\.\d{1,3}){3}", self.host) is not None


def split_broker(broker: str) -> Broker:
    """HOST, HOST:PORT or [IPV6]:PORT, each with mqtts:// before it or not.

    Raises:
        InputError: it is none of these.
    """
    secure = broker.startswith(SECURE)
    address = broker.removeprefix(SECURE)
    if "@" in address:  # not quoted: it may hold a password
        raise InputError(
            "expected an MQTT broker without a login after --mqtt, found one with @",
            "give HOST alone, and the login by TLIDS_MQTT_USER and TLIDS_MQTT_PASSWORD",
        )
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?", address)
    port = int(found[3] or (TLS_PORT if secure else PORT)) if found else 0
    if not 0 < port <= 65535 or not _is_host(found[1] or found[2]):
        raise InputError(
            f"expected an MQTT broker after --mqtt, found {quoted(broker)}", "give HOST or HOST:PORT, or mqtts://HOST"
        )
    return Broker(found[1] or found[2], port, secure)


def _is_host(name: str) -> bool:
    """Whether the system can be asked for this host; paho's thread would end at one of which it cannot."""
    try:
        return bool(name.encode("idna"))
    except UnicodeError:  # an empty part, or one of more than 63 characters
        return False


def read_login(environment: Mapping[str, str] = os.environ) -> tuple[str, str | None]:
    """User and password: systemd's credential, or what the environment says; ("", None) without a login.

    Raises:
        InputError: the credential cannot be read or is no password, or there is a password without a user.
    """
    user, password = environment.get("TLIDS_MQTT_USER", ""), environment.get("TLIDS_MQTT_PASSWORD")
    folder = environment.get("CREDENTIALS_DIRECTORY")
    path = Path(folder, CREDENTIAL) if folder else None
    if path is not None and path.exists():
        try:
            with open(path, "rb") as file:
                password = file.read(MAX_PASSWORD + 1).decode("utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"expected a password in {path}, found: {error}", "write it as UTF-8 text") from error
        if len(password) > MAX_PASSWORD:
            raise InputError(f"expected a password of at most {MAX_PASSWORD} bytes in {path}, found more", "correct it")
    if password and not user:
        raise InputError("expected TLIDS_MQTT_USER beside the broker's password, found none", "set it")
    return user, password


def tls_context(authority: str | None) -> "ssl.SSLContext":
    """What checks the broker's certificate and name: the system's authorities, or the one in a PEM file.

    Raises:
        InputError: the file cannot be read or holds no certificate.
    """
    import ssl  # here, because loading it takes as long as all our modules for MQTT, and mqtts:// alone needs it

    try:
        return ssl.create_default_context(cafile=authority)
    except OSError as error:  # ssl.SSLError is one
        why = error.strerror or str(error)
        raise InputError(
            f"expected certificates in PEM form in {authority}, found: {why}", "give the broker's CA to --mqtt-ca"
        ) from error


class UnaskedError(ConnectionError):
    """The broker sends what a sensor has not asked for."""


class Answers:
    """Follows the packets in what a broker sends."""

    def __init__(self) -> None:
        """Nothing has come yet."""
        self._left = 0  # bytes of this packet that are still to come
        self._in_header = False

    def see(self, data: bytes) -> None:
        """Look at the next bytes.

        Raises:
            UnaskedError: they begin a packet that is no answer, or one that is longer than answers are.
        """
        for byte in data:
            if self._left:
                self._left -= 1
            elif not self._in_header:
                self._limit, self._in_header = ANSWERS.get(byte >> 4, -1), True
                if self._limit < 0:
                    raise UnaskedError(f"an MQTT packet of type {byte >> 4}")
            else:
                if byte > self._limit:
                    raise UnaskedError("an answer that is too long")
                self._left, self._in_header = byte, False


def watched_client(paho) -> type:
    """paho's client (module `paho.mqtt.client`), which ends the connection at whatever is no answer.

    Raises:
        InputError: this paho reads in another way, and cannot be watched.
    """
    if not hasattr(paho.Client, "_sock_recv"):
        raise InputError("expected version 2 of paho-mqtt, found another", 'pip install "tlids-edge[mqtt]"')

    class WatchedClient(paho.Client):
        """Every byte from the broker passes `_sock_recv`; an OSError from there ends the connection."""

        answers, unasked = Answers(), ""

        def reconnect(self):
            self.answers = Answers()
            return super().reconnect()

        def _sock_recv(self, bufsize: int) -> bytes:
            data = super()._sock_recv(min(bufsize, max(ANSWERS.values())))
            try:
                self.answers.see(data)
            except UnaskedError as error:
                self.unasked = str(error)
                raise
            return data

    return WatchedClient
