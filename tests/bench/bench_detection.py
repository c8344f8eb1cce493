"""From captured packets to verdicts: meter, nDPI and the shipped model beside nfstream with Keras or LiteRT.

    python tests/bench/bench_detection.py [--quick]

Rates are per CPU second of all processes, from a capture's first byte to its last verdict.
"""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import bench_edge
import bench_process
import lines
import numpy as np
import testbed_run
from tlids_edge.capture.packets import PacketStats, read_packets
from tlids_edge.detect.detector import Detector
from tlids_edge.flows.meter import Flow, Meter
from tlids_edge.flows.ndpi import open_ndpi

PACKETS = {False: 125_754, True: 3_000}  # the whole session
ATTEMPTS = {False: 50_000, True: 1_000}
ALONE = {False: 200, True: 10}  # flows judged one by one by Keras
OPEN = 20_000  # flows at once, the table's cap
compare = partial(lines.compare, "detection")


def main() -> None:
    """Measure and print."""
    quick = lines.is_quick(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        session, syns = Path(folder) / "session.pcap", Path(folder) / "syns.pcap"
        packets = bench_edge.write_capture(session, bench_edge.repeated(testbed_run.CAPTURE, PACKETS[quick]))
        bench_edge.write_capture(syns, bench_edge.connection_attempts(ATTEMPTS[quick]))
        a_flood(syns, ATTEMPTS[quick])
        a_session(session, packets, quick)
        the_process(Path(folder), quick)


def a_flood(syns: Path, flows: int) -> None:
    """Every packet opens a flow, which nfstream meters and nobody judges."""
    ours = flows / best(lambda: bench_edge.run_meter(syns, testbed_run.MODEL))
    theirs = flows / best(lambda: bench_edge.run_nfstream(syns))
    compare("new flows of a SYN flood, metered and judged", "nfstream, which only meters", ours, theirs, "flows/s",
            f"per CPU second; {flows:,} flows")  # fmt: skip


def a_session(session: Path, packets: int, quick: bool) -> None:
    """A smart home under attack, every flow judged. What nfstream and the judging of its flows take is added up."""
    ours = packets / best(lambda: bench_edge.run_meter(session, testbed_run.MODEL))
    metering = best(lambda: bench_edge.run_nfstream(session))  # before TensorFlow's threads: nfstream forks
    flows = flows_of(session)
    rows = np.array([flow.netflow() for flow in flows], dtype=np.float32)
    detector = Detector(testbed_run.MODEL)
    size = detector.batch_size
    batches = [flows[start : start + size] for start in range(0, len(flows), size)]
    batched = best(lambda: [detector.judge(batch) for batch in batches]) / len(flows)
    few = rows[: ALONE[quick]]
    one_by_one = {
        "LiteRT on each flow": each(by_litert(), rows),
        "Keras's model.predict on each flow": each(by_keras(quick), few, 1),
    }
    note = f"per CPU second; {packets:,} packets, {len(flows):,} flows"
    for name, cost in one_by_one.items():
        theirs = packets / (metering + cost * len(flows))
        compare("packets of a smart home under attack, metered and judged", f"nfstream, then {name}", ours, theirs,
                "packets/s", f"{note}; its two steps measured in separate runs")  # fmt: skip
        compare("flows judged, the detector's batches of 256", name, 1 / batched, 1 / cost, "flows/s", "per CPU second")


def best(work: Callable[[], object], times: int = 3) -> float:
    """The least CPU seconds of several runs, children included."""
    return min(bench_edge.timed(work) for _ in range(times))


def flows_of(capture: Path) -> list[Flow]:
    """Every flow of a capture, by our meter."""
    meter = Meter(l7=open_ndpi())
    with capture.open("rb") as stream:
        for packet in read_packets(stream, PacketStats()):
            meter.add(packet)
    meter.close_all()
    return meter.take()


def each(judge: Callable[[np.ndarray], object], rows: np.ndarray, times: int = 3) -> float:
    """CPU seconds a row when rows (n, 9) are judged one at a time."""
    judge(rows[:1])  # the first call compiles
    return best(lambda: [judge(rows[k : k + 1]) for k in range(len(rows))], times) / len(rows)


def by_litert() -> Callable[[np.ndarray], np.ndarray]:
    """The shipped file, a row at a time."""
    from tlids_helpers.export import litert

    return partial(litert.infer, litert.open_model((testbed_run.MODEL / "model.tflite").read_bytes()))


def by_keras(quick: bool) -> Callable[[np.ndarray], np.ndarray]:
    """The same network in Keras."""
    from tlids_helpers.network.transfer import load_source

    prepared, run = testbed_run.trained(quick)
    network = load_source(run.model_path, prepared.features, run.result)
    return partial(network.predict, verbose=0)


def the_process(folder: Path, quick: bool) -> None:
    """The program the Pi runs, as a whole."""
    starts = [bench_process.first_verdict(testbed_run.MODEL, testbed_run.CAPTURE) for _ in range(1 if quick else 5)]
    lines.emit(part="detection", what="tlids-edge from its start to the first verdict", value=float(np.median(starts)),
               unit="s", note=f"median of {len(starts)}")  # fmt: skip
    open_flows = folder / "open.pcap"
    bench_edge.write_capture(open_flows, bench_edge.connection_attempts(OPEN))
    peak = bench_process.peak_memory(bench_process.watch_file(testbed_run.MODEL, open_flows))
    lines.emit(part="detection", what=f"tlids-edge's peak memory with {OPEN:,} open flows", value=float(peak),
               unit="MB", note="its flow table is full")  # fmt: skip


if __name__ == "__main__":
    main()
