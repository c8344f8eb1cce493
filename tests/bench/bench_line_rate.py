"""A SYN flood at the line rate of a 100 Mbit port, live over veth, with a client, a server and a scanner beside it.

    sudo python tests/bench/bench_line_rate.py --model DIR [--rate N] [--seconds S] [--store COMMAND]

Namespaces on one bridge: one sends SYNs from random sources to a host that is not there, a client asks a
server ten times a second, and in the middle a third host scans the server with nmap. Nothing leaves them, and at most
rate * seconds packets are sent. The program and its capture have a core each; where there is a third, the sender has
that, else it shares the capture's. Captured first by the program's default, then by tcpdump, for comparison. Needs
root, tcpdump, nmap and an idle machine; whatever was lost is told.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import bench_edge
from bench_flood import LINE_RATE
from line_rate_hosts import PORT

HERE = Path(__file__).resolve().parent
PREFIX = f"tl-rate-{os.getpid()}-"
HOSTS = {"send": "10.88.0.2", "client": "10.88.0.3", "server": "10.88.0.4", "scan": "10.88.0.5"}
TARGET, TARGET_MAC = "10.88.0.99", "02:00:00:00:00:99"
WATCHER = f"{PREFIX}watch"
BRIDGE = "br0"
AROUND_S = 3  # the client asks so long before and after the flood
ASK_S = 0.1
SCANNED = 1000  # ports
LIMIT_S = 120
CAPTURES = "ring", "tcpdump"
COMPARED = "line-dropped", "line-client-judged", "line-peak", "line-core-capture"  # with tcpdump too


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder with model.tflite and card.json")
    parser.add_argument("--rate", type=int, default=LINE_RATE, help="packets a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument(
        "--store", metavar="COMMAND", help="put the figures into docs/results/edge.json, as its outcome"
    )
    options = parser.parse_args()
    missing = [name for name in ("ip", "bridge", "tcpdump", "nmap", "taskset") if not shutil.which(name)]
    if os.geteuid() or missing:
        print(f"not measured: a flood over veth needs root and {', '.join(missing) or 'no more than is here'}")
        return
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder, home():
        for name in CAPTURES:
            Path(folder, name).mkdir()
        ring, tcpdump = (told(measured(options, Path(folder, name), name), options) for name in CAPTURES)
    figures = ring | {name.replace("line-", "line-tcpdump-"): tcpdump[name] for name in COMPARED}
    print(f"{bench_edge.machine()}, {os.cpu_count()} cores, load {load:.1f} before")
    for name, value in figures.items():
        print(f"{name.removeprefix('line-').replace('-', ' '):>16}  {value}")
    if options.store:
        import kept

        beside = "" if load < 1 else f", other work on the cores (load {load:.0f})"
        kept.keep_edge("line", options.store + beside, figures)


def measured(options: argparse.Namespace, folder: Path, capture: str) -> dict:
    """What happened: what was sent, seen, judged and told, and what it took."""
    seconds = options.seconds + 2 * AROUND_S
    with started(options.model, folder, capture) as program, host("server", "serve") as server:
        server.stdout.readline()
        capturing = children(program.pid)[0]
        os.sched_setaffinity(capturing, {core(1)})
        with host("client", "ask", HOSTS["server"], ASK_S, seconds) as client:
            time.sleep(AROUND_S)
            began = time.time()
            found = flooded(options, folder, (program.pid, capturing), began)
            found["client"] = json.loads(client.communicate(timeout=LIMIT_S)[0])
        server.kill()
        time.sleep(2)  # what is on its way arrives
        program.send_signal(signal.SIGTERM)
        found["said"] = program.communicate(timeout=LIMIT_S)[1]
    found["counts"] = json.loads((folder / "counts.json").read_text())
    found["events"] = [json.loads(line) for line in (folder / "incidents.json").read_text().splitlines()]
    return found


def flooded(options: argparse.Namespace, folder: Path, watching: tuple[int, int], began: float) -> dict:
    """Flood, scan in the middle, and look meanwhile when the incident is told and how much memory is used."""
    sending = host("send", "flood", "eth0", TARGET, TARGET_MAC, options.rate, options.seconds, on=core(2))
    scan, opened, peak, before = None, None, [0, 0], [*map(cpu_seconds, watching)]
    with sending as sender:
        while sender.poll() is None and time.time() - began < LIMIT_S:
            if scan is None and time.time() - began > options.seconds / 2:
                argv = ["nmap", "-n", "-Pn", "-sS", "--max-retries", "1", f"-p1-{SCANNED}", HOSTS["server"]]
                scan = subprocess.Popen(inside("scan", argv), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if opened is None and is_told(folder / "incidents.json"):
                opened = time.time() - began
            peak = [max(pair) for pair in zip(peak, map(peak_kb, watching), strict=True)]
            time.sleep(0.05)
        sent = json.loads(sender.communicate(timeout=LIMIT_S)[0])
    wall_s, after = time.time() - began, map(cpu_seconds, watching)
    shares = [round(100 * (now - then) / wall_s) for then, now in zip(before, after, strict=True)]
    if scan is not None:
        scan.wait(LIMIT_S)
    return {"sent": sent, "opened_s": opened, "peak_kb": peak, "shares": shares}


def told(found: dict, options: argparse.Namespace) -> dict[str, str]:
    """The figures."""
    sent, client, said = found["sent"], found["client"], found["said"]
    seen, dropped = re.search(r"(\d+) packets, .* (\d+|an unknown number) dropped by the kernel", said).groups()
    unjudged = re.search(r"(\d+) flows are unjudged: the model had no time", said)
    opened = [event for event in found["events"] if event["alert"]["metadata"].get("tlids_state") == ["open"]]
    of_flood = [event for event in opened if event.get("dest_ip") == TARGET]
    of_scan = [event for event in found["events"] if event.get("src_ip") == HOSTS["scan"]]
    program, capture = (round(kb * 1024 / 1e6) for kb in found["peak_kb"])
    return {
        "line-asked": f"{options.rate:,}", "line-seconds": f"{options.seconds:g}", "line-sent": f"{sent['sent']:,}",
        "line-rate": f"{sent['sent'] / sent['seconds']:,.0f}", "line-seen": f"{int(seen):,}",
        "line-lost": f"{max(sent['sent'] - int(seen), 0):,}",
        "line-dropped": f"{int(dropped):,}" if dropped.isdigit() else dropped,
        "line-unjudged": f"{int(unjudged.group(1)) if unjudged else 0:,}",
        "line-opened": "never" if found["opened_s"] is None else f"{found['opened_s']:.1f} s",
        "line-incidents": str(len(of_flood)), "line-scan": "found" if of_scan else "not found",
        "line-client": f"{client['asked']:,}", "line-client-answered": f"{client['answered']:,}",
        "line-client-judged": f"{found['counts']['judged']:,}",
        "line-peak": f"{program + capture} MB", "line-peak-program": f"{program} MB",
        "line-core": f"{found['shares'][0]} %", "line-core-capture": f"{found['shares'][1]} %",
    }  # fmt: skip


def is_told(path: Path) -> bool:
    """Whether the flood's incident has been told."""
    return path.exists() and f'"dest_ip":"{TARGET}"' in path.read_text().replace(" ", "")


def core(number: int) -> int:
    """One of the cores that we may use; the last one for those that there are not."""
    ours = sorted(os.sched_getaffinity(0))
    return ours[min(number, len(ours) - 1)]


def children(pid: int) -> list[int]:
    """The processes that one has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_kb(pid: int) -> int:
    """The largest resident memory of a process so far."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found.group(1)) if found else 0


def inside(name: str, argv: list) -> list[str]:
    """A command in a host's namespace."""
    return ["ip", "netns", "exec", PREFIX + name, *map(str, argv)]


def host(name: str, *arguments: object, on: int | None = None) -> subprocess.Popen:
    """One of line_rate_hosts.py, in its namespace, on one core if so asked."""
    pinned = [] if on is None else ["taskset", "-c", on]
    argv = inside(name, [*pinned, sys.executable, HERE / "line_rate_hosts.py", *arguments])
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


@contextlib.contextmanager
def started(model: Path, folder: Path, capture: str) -> Iterator[subprocess.Popen]:
    """The program on the bridge, once its capture listens."""
    options = ["--model", model, "--source", BRIDGE, "--capture", capture]
    options += ["--eve", folder / "eve.json", "--eve-max-mb", 10]
    watch = [HERE / "line_rate_watch.py", HOSTS["client"], PORT, folder / "counts.json"]
    argv = inside("watch", ["taskset", "-c", core(0), sys.executable, *watch, *options])
    argv += ["--incidents", str(folder / "incidents.json")]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as program:
        try:
            next(line for line in program.stderr if "watching" in line)
            for _ in range(100):
                time.sleep(0.1)
                if (offspring := children(program.pid)) and is_listening(offspring[0]):
                    break
            yield program
        finally:
            if program.poll() is None:
                program.kill()


def is_listening(pid: int) -> bool:
    """Whether a process has a packet socket that is bound."""
    return " 0003 " in Path(f"/proc/{pid}/net/packet").read_text()


@contextlib.contextmanager
def home() -> Iterator[None]:
    """The namespaces, on one bridge; the target is said to be where the sender is, so that nobody gets the flood."""
    names = [WATCHER, *(PREFIX + name for name in HOSTS)]
    made = []
    try:
        for name in names:
            subprocess.run(["ip", "netns", "add", name], check=True)
            made.append(name)
            subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        ours = ["ip", "-n", WATCHER]
        subprocess.run([*ours, "link", "add", BRIDGE, "type", "bridge", "stp_state", "0"], check=True)
        subprocess.run([*ours, "link", "set", BRIDGE, "up"], check=True)
        for name, address in HOSTS.items():
            join(PREFIX + name, f"p-{name}", address)
        quiet = ["sysctl", "-eqw", "net.bridge.bridge-nf-call-iptables=0", "net.bridge.bridge-nf-call-ip6tables=0"]
        subprocess.run(["ip", "netns", "exec", WATCHER, *quiet], check=False, stderr=subprocess.DEVNULL)
        known = ["fdb", "add", TARGET_MAC, "dev", "p-send", "master", "static"]
        subprocess.run(["bridge", "-n", WATCHER, *known], check=True)
        yield
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "del", name], check=False)


def join(name: str, port: str, address: str) -> None:
    """Join a host to the bridge."""
    pair = ["ip", "link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", port, "netns", WATCHER]
    subprocess.run(pair, check=True)
    subprocess.run(["ip", "-n", WATCHER, "link", "set", port, "master", BRIDGE, "up"], check=True)
    subprocess.run(["ip", "-n", name, "addr", "add", f"{address}/24", "dev", "eth0"], check=True)
    subprocess.run(["ip", "-n", name, "link", "set", "eth0", "up"], check=True)


if __name__ == "__main__":
    main()
