"""DNS messages (RFC 1035): just enough to ask, to answer, and to carry them over TLS (RFC 7858) and by multicast."""

import ipaddress
import socket
import ssl
import struct

A, PTR, TXT, AAAA, SRV = 1, 12, 16, 28, 33
ANSWER, AUTHORITY, NO_SUCH_NAME = 0x8180, 0x8400, 3
TTL_S = 20


def encode(name: str) -> bytes:
    """A name as labels, uncompressed."""
    return b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split(".")) + b"\0"


def decode(message: bytes, at: int) -> tuple[str, int]:
    """The name at an offset, without compression; and where it ends."""
    labels = []
    while message[at]:
        labels.append(message[at + 1 : at + 1 + message[at]].decode(errors="replace"))
        at += 1 + message[at]
    return ".".join(labels), at + 1


def query(number: int, name: str, kind: int) -> bytes:
    """A question with recursion desired."""
    return struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + encode(name) + struct.pack("!2H", kind, 1)


def question(message: bytes) -> tuple[int, str, int]:
    """Number, name and type of a message's question.

    Raises:
        ValueError: it is no message with a question.
    """
    try:
        number, _, questions = struct.unpack_from("!3H", message)
        name, at = decode(message, 12)
        (kind,) = struct.unpack_from("!H", message, at)
    except (struct.error, IndexError) as error:
        raise ValueError("expected a DNS message with a question, found something else") from error
    if not questions:
        raise ValueError("expected a DNS message with a question, found none in it")
    return number, name, kind


def record(name: str, kind: int, data: bytes) -> bytes:
    """A resource record."""
    return encode(name) + struct.pack("!2HIH", kind, 1, TTL_S, len(data)) + data


def reply(message: bytes, records: list[bytes], exists: bool = True) -> bytes:
    """The answer to a message, with its question repeated."""
    number, name, kind = question(message)
    head = struct.pack("!6H", number, ANSWER | (0 if exists else NO_SUCH_NAME), 1, len(records), 0, 0)
    return head + encode(name) + struct.pack("!2H", kind, 1) + b"".join(records)


def reply_with(message: bytes, found: list[str]) -> bytes:
    """The answer to a question for A or AAAA out of all addresses of the name; NXDOMAIN when there are none."""
    _, name, kind = question(message)
    wanted = {A: 4, AAAA: 6}.get(kind)
    records = [
        record(name, kind, ipaddress.ip_address(one).packed)
        for one in found
        if ipaddress.ip_address(one).version == wanted
    ]
    return reply(message, records, exists=bool(found))


def found_addresses(message: bytes) -> list[str]:
    """The addresses in an answer made by `reply`."""
    count = struct.unpack_from("!H", message, 6)[0]
    _, at = decode(message, 12)
    at += 4
    found = []
    for _ in range(count):
        _, at = decode(message, at)
        kind, _, _, length = struct.unpack_from("!2HIH", message, at)
        at += 10
        if kind in (A, AAAA):
            found.append(str(ipaddress.ip_address(message[at : at + length])))
        at += length
    return found


def over_tls(server: str, name: str) -> socket.socket:
    """A connection to a resolver on port 853 of an address, by its name."""
    context = ssl._create_unverified_context()
    return context.wrap_socket(socket.create_connection((server, 853), timeout=5), server_hostname=name)


def ask_over_tls(connection: socket.socket, number: int, name: str, kind: int) -> list[str]:
    """Ask one question on a connection; the addresses that came back."""
    message = query(number, name, kind)
    connection.sendall(struct.pack("!H", len(message)) + message)
    return found_addresses(framed(connection))


def framed(connection: socket.socket) -> bytes:
    """The next message of a stream, which has its length before it.

    Raises:
        ConnectionError: the stream ended.
    """
    (length,) = struct.unpack("!H", exactly(connection, 2))
    return exactly(connection, length)


def exactly(connection: socket.socket, length: int) -> bytes:
    """So many bytes of a stream."""
    got = b""
    while len(got) < length:
        if not (more := connection.recv(length - len(got))):
            raise ConnectionError("the stream ended")
        got += more
    return got
