"""The whole Pi process: drops at a given rate over veth, peak memory with a full flow table, start to first verdict.

    sudo python tests/bench/bench_process.py --model DIR [CAPTURE] [--pps N] [--packets N]

The live part needs root and tcpreplay (`apt install tcpreplay`), and runs between two network namespaces of its own.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import bench_edge

NAMESPACES = (f"tl-send-{os.getpid()}", f"tl-watch-{os.getpid()}")
TIMEOUT_S = 180


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = Path(__file__).resolve().parents[3] / "shared" / bench_edge.SHARED_CAPTURE
    parser.add_argument("capture", nargs="?", type=Path, default=shared, help="a pcap or pcapng file")
    parser.add_argument("--model", type=Path, required=True, help="folder with model.tflite and card.json")
    parser.add_argument("--packets", type=int, default=500_000, help="sent over veth")
    parser.add_argument("--pps", type=int, default=50_000, help="packets a second over veth")
    parser.add_argument("--flows", type=int, default=20_000, help="open at once, for the memory")
    parser.add_argument(
        "--store", metavar="COMMAND", help="put drops and load into docs/results/edge.json, as its outcome"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stream, syns = Path(folder) / "stream.pcap", Path(folder) / "syns.pcap"
        print(bench_edge.machine())
        seconds = statistics.median(first_verdict(options.model, options.capture) for _ in range(5))
        print(f"{seconds:12.2f} s from start to first verdict (median of five)")
        bench_edge.write_capture(syns, bench_edge.connection_attempts(options.flows))
        for extra in ((), ("--all-flows", "--flow-alerts", "all")):
            said = watch_file(options.model, syns, *extra)
            print(f"{peak_memory(said):12} MB at most with {options.flows:,} open flows {' '.join(extra)}")
        if os.geteuid() or not shutil.which("tcpreplay"):
            print("not measured: packets over veth need root and tcpreplay")
            return
        sent = bench_edge.write_capture(stream, bench_edge.repeated(options.capture, options.packets))
        received, dropped, rate, cpu = over_veth(options.model, stream, options.pps)
        print(f"{dropped:>12} dropped of {received:,} packets ({sent:,} sent at {rate:,.0f}/s, {cpu} % of a core)")
        if options.store and dropped.isdigit():
            import kept

            counts = {"live-packets": sent, "live-rate": options.pps, "live-dropped": int(dropped)}
            figures = {name: f"{count:,}" for name, count in counts.items()}
            kept.keep_edge("live", options.store, figures | {"live-core": f"{cpu} %"})


def command(model: Path, source: str, *extra: str) -> list[str]:
    """The program with its EVE lines thrown away."""
    argv = [sys.executable, "-m", "tlids_edge.cli.edge", "--model", str(model), "--source", source, *extra]
    return [*argv, "--eve", "/dev/null", "--eve-max-mb", "0"]


def first_verdict(model: Path, capture: Path) -> float:
    """Seconds from starting the program to its first flow line."""
    argv = [sys.executable, "-m", "tlids_edge.cli.edge", "--model", str(model), "--source", str(capture)]
    began = time.monotonic()
    with subprocess.Popen(
        [*argv, "--all-flows", "--flow-alerts", "all"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as program:
        while json.loads(program.stdout.readline())["event_type"] != "flow":
            pass
        took = time.monotonic() - began
        program.kill()
    return took


def watch_file(model: Path, capture: Path, *extra: str) -> str:
    """What the program says when it has read a capture to its end."""
    argv = command(model, str(capture), "--max-flows", "20000", *extra)
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=TIMEOUT_S).stderr


def peak_memory(said: str) -> str:
    """The figure of the summary, in MB."""
    return re.search(r"peak memory (\d+) MB", said).group(1)


def over_veth(model: Path, capture: Path, pps: int) -> tuple[int, str, float, str]:
    """Send a capture at a rate to the live program.

    Returns the packets it received, how many the kernel dropped, the packets a second sent, and its % of a core.
    """
    with two_namespaces() as (sender, watcher):
        argv = ["ip", "netns", "exec", watcher, *command(model, "tl1")]
        with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as program:
            next(line for line in program.stderr if "watching" in line)
            time.sleep(2)  # tcpdump listens
            replay = ["tcpreplay", "-i", "tl0", "--preload-pcap", "--pps", str(pps), str(capture)]
            told = subprocess.run(
                ["ip", "netns", "exec", sender, *replay], capture_output=True, text=True, check=True, timeout=TIMEOUT_S
            ).stdout
            time.sleep(2)  # what is on its way arrives
            program.send_signal(signal.SIGTERM)
            said = program.stderr.read()
    received, dropped = re.search(r"(\d+) packets, .* (\d+|an unknown number) dropped", said).groups()
    rate = re.search(r"([\d.]+) pps", told).group(1)
    cpu = re.search(r"cpu (\d+)%, peak", said).group(1)
    return int(received), dropped, float(rate), cpu


@contextlib.contextmanager
def two_namespaces() -> Iterator[tuple[str, str]]:
    """Two network namespaces joined by a veth pair, tl0 in the first and tl1 in the second."""
    made = []
    try:
        for name in NAMESPACES:
            subprocess.run(["ip", "netns", "add", name], check=True)
            made.append(name)
        one, two = NAMESPACES
        pair = ["ip", "link", "add", "tl0", "netns", one, "type", "veth", "peer", "name", "tl1", "netns", two]
        subprocess.run(pair, check=True)
        for name, device in ((one, "tl0"), (two, "tl1")):
            subprocess.run(["ip", "-n", name, "link", "set", device, "up"], check=True)
        yield one, two
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "del", name], check=False)


if __name__ == "__main__":
    main()
