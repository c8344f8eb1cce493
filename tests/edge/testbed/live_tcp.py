"""Runs inside: 200,000 bytes over TCP between two hosts, and the frames of it."""

import subprocess
import sys
import time
from pathlib import Path

from testbed import network as lab

SERVE = """
import socket
server = socket.create_server(("", 9))
print("up", flush=True)
peer, _ = server.accept()
count = 0
while data := peer.recv(65536):
    count += len(data)
print(count, flush=True)
"""
SEND = """
import socket, sys
with socket.create_connection((sys.argv[1], 9)) as peer:
    peer.sendall(bytes(200000))
"""

net = lab.build(lab.Plan(1))
path = Path("/run/testbed/x.pcap")
capture = net.capture(path)
server = net.start("phone", [sys.executable, "-c", SERVE], stdout=subprocess.PIPE, text=True)
assert server.stdout.readline() == "up\n"
net.run("laptop", [sys.executable, "-c", SEND, net.hosts["phone"].address], 30)
assert server.stdout.readline() == "200000\n"
end = time.monotonic() + 20
while path.stat().st_size < 205_000 and time.monotonic() < end:
    time.sleep(0.1)
net.stop(capture)
print(subprocess.run(["tcpdump", "-nvvr", str(path), "tcp"], capture_output=True, text=True).stdout)
net.close()
