"""nmap's fragmented scans between two network namespaces: every flow and every note names the scanner."""

import io
import json
import shutil

import pytest
from inside import run_inside
from tlids_edge.capture.packets import PacketStats, address_text, read_packets
from tlids_edge.flows.meter import Meter

PORTS = 60
SCAN = """
import socket, struct, subprocess
def sh(*words, **more):
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60, **more).stdout
sh("ip", "link", "add", "scanner", "type", "veth", "peer", "name", "victim")
holder = subprocess.Popen(["unshare", "--net", "sleep", "100"])
while sh("readlink", f"/proc/{holder.pid}/ns/net") == sh("readlink", "/proc/self/ns/net"):
    pass
sh("ip", "link", "set", "victim", "netns", str(holder.pid))
inside = ("nsenter", "-t", str(holder.pid), "-n")
sh("ip", "address", "add", "10.9.8.1/24", "dev", "scanner")
sh("ip", "link", "set", "scanner", "up")
sh(*inside, "ip", "address", "add", "10.9.8.2/24", "dev", "victim")
sh(*inside, "ip", "link", "set", "victim", "up")
seen = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # everything, both ways
seen.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE
seen.bind(("scanner", 0))
seen.settimeout(30)
sh("nmap", "-n", "-Pn", "-sS", *OPTIONS, "-p", f"1-{PORTS}", "--max-retries", "1", "-T5", "10.9.8.2")
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"that was all", ("10.9.8.2", 9))
frames = []
while not frames or b"that was all" not in frames[-1]:
    frames.append(seen.recv(2048))
with open(OUTPUT, "wb") as file:
    file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 2048, 1))
    for number, frame in enumerate(frames):  # a millisecond apart: their order is what matters
        size = len(frame)
        file.write(struct.pack("<IIII", 1_700_000_000 + number // 1000, number % 1000 * 1000, size, size) + frame)
holder.terminate()
holder.wait(30)
print("scanned")
"""


@pytest.mark.parametrize("options", [["-f"], ["--mtu", "16"], []], ids=["-f", "--mtu 16", "plain"])
def test_nmap_is_named_by_every_flow_and_note_however_it_cuts_its_packets(options, tmp_path):
    if shutil.which("nmap") is None:
        pytest.skip("nmap is not installed: apt install nmap")
    output = tmp_path / "scan.pcap"
    settings = f"OUTPUT, OPTIONS, PORTS = {json.dumps(str(output))}, {json.dumps(options)}, {PORTS}\n"
    done = run_inside(settings + SCAN)
    assert done.returncode == 0 and "scanned" in done.stdout, done.stderr
    stats, meter = PacketStats(), Meter()
    for packet in read_packets(io.BytesIO(output.read_bytes()), stats):
        meter.add(packet)
    meter.close_all()
    flows = [flow for flow in meter.take() if flow.protocol == 6]
    assert {(flow.src, flow.dst) for flow in flows} == {("10.9.8.1", "10.9.8.2")}
    assert {flow.dst_port for flow in flows} == set(range(1, PORTS + 1))
    assert not any(flow.proven for flow in flows)
    notes = [note for note in meter.take_unanswered() if note.protocol == 6]
    assert {(address_text(note.src), note.dst_port) for note in notes} == {("10.9.8.1", n + 1) for n in range(PORTS)}
    tiny = stats.take_tiny_fragments()
    assert [address_text(one.src) for one in tiny] == (["10.9.8.1"] if options else [])
    assert stats.malformed == {}
