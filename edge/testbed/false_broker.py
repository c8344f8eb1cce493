"""A broker that sends 255 MiB to whoever connects: `python -m testbed.false_broker`, on a host of the home."""

import os
import socket
import sys

ACCEPTED = b"\x20\x02\0\0"  # CONNACK, MQTT 3.1.1
MESSAGE = b"\x30\xff\xff\xff\x7f\0\1a"  # the header of a PUBLISH of 268,435,455 bytes
SIZE, PIECE = 255 << 20, 1 << 20
MOST = 5  # connections


def main() -> int:
    """Answer a few connections, and write how many bytes each took."""
    if "TLIDS_TESTBED_OUTSIDE" not in os.environ:
        print("false_broker: expected the testbed's namespaces, found none: the testbed starts this", file=sys.stderr)
        return 2
    with socket.create_server(("", 1883)) as door:
        print("begun", flush=True)
        for _ in range(MOST):
            peer, _ = door.accept()
            sent, data = 0, MESSAGE
            try:
                with peer:
                    peer.recv(4096)
                    peer.sendall(ACCEPTED)
                    while sent < SIZE:
                        sent += peer.send(data)
                        data = bytes(PIECE)
            except OSError:  # disconnected
                pass
            print(f"sent {sent}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
