"""The hosts of bench_line_rate.py, each in a network namespace of its own: who floods, who serves, who asks.

python tests/bench/line_rate_hosts.py flood INTERFACE TARGET MAC RATE SECONDS | serve | ask SERVER EVERY_S SECONDS
"""

import ctypes
import json
import socket
import struct
import sys
import threading
import time

import numpy as np

FRAME = 60  # bytes, less the checksum that the card adds: the smallest there is
BURST = 1024  # frames in a system call at most
REST_S = 0.001
PORT = 8080  # of the server
SOL_PACKET, PACKET_QDISC_BYPASS = 263, 20  # packet(7); Python has no names for them
FAULTS_S = 5.0  # that one exchange may take


def flood(interface: str, target: str, target_mac: str, rate: int, seconds: float) -> dict:
    """Send SYNs from random sources to port 80 of `target`, `rate` a second, at most rate * seconds of them."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as line:
        line.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)  # it shares the capture's core: leave that what we can
        line.bind((interface, 0))
        frames, headers = bursts(target, target_mac, line.getsockname()[4])
        send = ctypes.CDLL(None, use_errno=True).sendmmsg
        send.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int]
        chance, most, sent = np.random.default_rng(1), int(rate * seconds), 0
        began = time.monotonic()
        while sent < most and (passed := time.monotonic() - began) < seconds + 1:
            due = min(int(rate * passed) - sent, most - sent, BURST)
            if due <= 0:
                time.sleep(REST_S)
                continue
            renew(frames[:due], chance)
            sent += max(send(line.fileno(), headers.ctypes.data, due, 0), 0)
        took = time.monotonic() - began
    return {"sent": sent, "seconds": took, "cpu_s": time.process_time()}


def bursts(target: str, target_mac: str, own_mac: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Frames, uint8 [BURST, FRAME], and what sendmmsg takes to send them: uint64 [BURST, 8], struct mmsghdr."""
    ip = struct.pack("!BBHHHBBHI4s", 0x45, 0, 40, 0, 0, 64, 6, 0, 0, socket.inet_aton(target))
    tcp = struct.pack("!HHIIBBHHH", 0, 80, 1, 0, 0x50, 2, 512, 0, 0)
    frame = bytes.fromhex(target_mac.replace(":", "")) + own_mac + b"\x08\0" + ip + tcp
    frames = np.zeros((BURST, FRAME), np.uint8)
    frames[:, : len(frame)] = np.frombuffer(frame, np.uint8)
    pieces = bursts.pieces = np.empty((BURST, 2), np.uint64)  # struct iovec; kept alive with the function
    pieces[:, 0] = frames.ctypes.data + np.arange(BURST) * FRAME
    pieces[:, 1] = FRAME
    headers = np.zeros((BURST, 8), np.uint64)
    headers[:, 2] = pieces.ctypes.data + np.arange(BURST) * 16
    headers[:, 3] = 1
    return frames, headers


def renew(frames: np.ndarray, chance: np.random.Generator) -> None:
    """Give each frame a random source; a bridge drops what has a wrong checksum."""
    frames[:, 26:30] = chance.integers(1, 224, (len(frames), 4))  # source
    frames[:, 34:36] = chance.integers(4, 256, (len(frames), 2))  # and its port
    frames[:, 24:26] = 0
    total = frames[:, 14:34].reshape(-1, 10, 2).astype(np.uint32) @ np.array([256, 1], np.uint32)
    total = total.sum(axis=1)
    total = (total & 0xFFFF) + (total >> 16)
    frames[:, 24:26] = (~(total + (total >> 16)) & 0xFFFF).astype(">u2")[:, None].view(np.uint8)


def serve() -> None:
    """Answer every connection with a line and close it, until killed."""
    with socket.create_server(("", PORT), backlog=128) as server:
        print("ready", flush=True)
        while True:
            connection, _ = server.accept()
            threading.Thread(target=answer, args=(connection,), daemon=True).start()


def answer(connection: socket.socket) -> None:
    """One exchange."""
    with connection:
        connection.settimeout(FAULTS_S)
        connection.recv(100)
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")


def ask(server: str, every_s: float, seconds: float) -> dict:
    """Ask a server again and again, each time over a new connection; how many were whole exchanges."""
    began, asked, answered = time.monotonic(), 0, 0
    while (moment := began + asked * every_s) < began + seconds:
        time.sleep(max(0.0, moment - time.monotonic()))
        asked += 1
        try:
            with socket.create_connection((server, PORT), FAULTS_S) as connection:
                connection.settimeout(FAULTS_S)
                connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
                answered += bool(connection.recv(100))
        except OSError:
            continue
    return {"asked": asked, "answered": answered}


def main() -> int:
    """Be the host that the first argument names."""
    who, *given = sys.argv[1:]
    if who == "serve":
        serve()
    elif who == "ask":
        print(json.dumps(ask(given[0], float(given[1]), float(given[2]))))
    else:
        print(json.dumps(flood(given[0], given[1], given[2], int(given[3]), float(given[4]))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
