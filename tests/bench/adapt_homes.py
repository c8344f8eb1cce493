"""`make adapt-homes`: the shipped model before and after it has learned a home, on real captures; needs TLIDS_SHARED.

Homes: four devices of one real home (blink, lockly, schlage, sifely), each device alone, the four with the sensors of
MQTTset, these alone, the capture beside the SYN flood, and the second home. A home's first day is learned and the rest
judged; MQTTset, the SYN flood and the second home are shorter and are learned whole, with as many rows as there are.
Five seeds. Results go to docs/results/adapt.json, the tables into edge/MEASURED.md.

These judge; no recipe may be chosen on them. `make choose-recipe` has the data that chose.
"""

import argparse
import contextlib
import copy
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import kept
import machine
import numpy as np
import page
from lines import REPOSITORY
from tlids_edge.capture.packets import PacketStats
from tlids_edge.capture.recording import read_recording
from tlids_edge.detect.card import read_card, read_fields
from tlids_edge.detect.detector import Detector
from tlids_edge.detect.judging import Batch
from tlids_edge.errors import InputError
from tlids_edge.flows.labels import BENIGN, label_flow, read_labels
from tlids_edge.flows.meter import Flow, Meter
from tlids_edge.flows.ndpi import open_ndpi
from tlids_edge.flows.rows import of_flows
from tlids_edge.learn.adapting import environment
from tlids_edge.learn.home import Home
from tlids_edge.learn.learner import Plan

from tlids_helpers.export import adapt

MODEL = REPOSITORY / "edge" / "models" / "testbed"
RESULTS = REPOSITORY / "docs" / "results" / "adapt.json"
PAGE = REPOSITORY / "edge" / "MEASURED.md"
SEEDS = range(1, 6)
DAY_S = 86_400
MQTT_S = 28_800  # of each day, when MQTTset's sensors live in the home of the four devices
DEVICES = ("blink-cam-01", "lockly-hub-01", "schlage-lock-01", "sifely-hub-01")
MQTT_ATTACKS = ("bruteforce", "slowite", "malariados", "malformed")
MEASURED = """
import sys, time
from tlids_edge.cli import adapt
from tlids_edge.status import peak_memory_mb
code = adapt.main(sys.argv[1:])
print(time.process_time(), peak_memory_mb())
sys.exit(code)
"""
FEWEST = 20  # rows, for captures too short for the default of 1,000
INCIDENT_FLOWS, NOVELTY_FLOWS, INCIDENT_S = 5, 3, 60
PAUSE_S = 120  # between two attacks of a class
SESSIONS = {"four devices": "testbed, second session", "second home": "second home, second session"}


def main() -> int:
    """Measure, write the results, and the table into edge/MEASURED.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table-only", action="store_true", help="render the stored results again")
    options = parser.parse_args()
    if not options.table_only:
        pcap = Path(os.environ.get("TLIDS_SHARED", "../shared")) / "pcap"
        if not (pcap / "benign-home").is_dir():
            print(f"expected captures in {pcap}, found none: set TLIDS_SHARED to the folder that has pcap/ in it")
            return 1
        found = {"machine": machine.describe(), "model": read_card(MODEL).sha256, "homes": measured(pcap)}
        kept.write_whole(options.results, json.dumps(found, indent=1) + "\n")
    render(json.loads(options.results.read_text()))
    return 0


def measured(pcap: Path) -> dict:
    """Home -> one measurement a seed."""
    attacks = {name: metered(next((pcap / "mqttset" / name).glob("*-test.pcap*"))) for name in MQTT_ATTACKS}
    flood = [flow for flow in metered(pcap / "syn-flood" / "syn_flood.pcap") if flow.dst_port and flow.protocol == 6]
    testbed, second = (labelled(REPOSITORY / "data" / name, "session2") for name in ("testbed", "second-home"))
    homes = {"four devices": merged([pcap / "benign-home" / f"{name}.pcap" for name in DEVICES])}
    homes |= {name: merged([pcap / "benign-home" / f"{name}.pcap"]) for name in DEVICES}
    results = {}
    for name, flows in homes.items():
        session = testbed if name == "four devices" else None
        results[name] = [run(*first_day(flows), seed, {"session": session}) for seed in SEEDS]
    mqtt = [metered(pcap / "mqttset" / "benign" / f"benign-{part}.pcap") for part in ("train", "test")]
    parts = first_day(homes["four devices"]), [moved(part, MQTT_S + day * DAY_S) for day, part in enumerate(mqtt)]
    both = [sorted([*own, *sensors], key=lambda flow: flow.last_us) for own, sensors in zip(*parts, strict=True)]
    results["four devices and MQTTset"] = [run(*both, seed, {"attacks": attacks}) for seed in SEEDS]
    results["MQTTset"] = [run(*mqtt, seed, {"attacks": attacks}) for seed in SEEDS]
    quiet = metered(pcap / "syn-flood" / "no_flood.pcap")
    half = len(quiet) // 2
    results["beside the SYN flood"] = [run(quiet[:half], quiet[half:], seed, {"attacks": {"SYN flood": flood}})
                                       for seed in SEEDS]  # fmt: skip
    early, _ = labelled(REPOSITORY / "data" / "second-home", "session1")
    late = [flow for flow, name in zip(*second, strict=True) if name == BENIGN]
    results["second home"] = [run(early, late, seed, {"session": second}) for seed in SEEDS]
    return results


def first_day(flows: list[Flow]) -> tuple[list[Flow], list[Flow]]:
    """The flows of a recording that begins at 0 that ended in its first day, and the others."""
    count = sum(flow.last_us < DAY_S * 1e6 for flow in flows)
    return flows[:count], flows[count:]


def moved(flows: list[Flow], start_s: float) -> list[Flow]:
    """Copies of flows, the first of which begins at `start_s`."""
    shift = int(start_s * 1e6) - min(flow.first_us for flow in flows)
    copies = [copy.copy(flow) for flow in flows]
    for flow in copies:
        flow.first_us, flow.last_us = flow.first_us + shift, flow.last_us + shift
    return copies


def labelled(folder: Path, session: str) -> tuple[list[Flow], list[str]]:
    """The flows of one of our own recordings, and the class of each."""
    rules, flows = read_labels(folder / f"{session}.labels.csv"), metered(folder / f"{session}.pcap.gz")
    return flows, [label_flow(rules, flow) for flow in flows]


def metered(capture: Path) -> list[Flow]:
    """The capture's flows as the Pi would see them, in the order in which they end."""
    meter = Meter(l7=open_ndpi(), max_flows=10**6)
    for packet in read_recording([str(capture)], PacketStats(), meter.begin_again):
        meter.add(packet)
    meter.close_all()
    return meter.take()


def merged(captures: list[Path]) -> list[Flow]:
    """Captures of one home's devices as one recording that begins at 0; each began at its own time."""
    flows = []
    for capture in captures:
        flows += moved(metered(capture), 0)
    return sorted(flows, key=lambda flow: flow.last_us)


def run(early: list[Flow], late: list[Flow], seed: int, more: dict) -> dict:
    """Learn `early`, adapt, judge `late`; one measurement."""
    hours = (max(flow.last_us for flow in late) - min(flow.last_us for flow in late)) / 3.6e9
    with tempfile.TemporaryDirectory() as scratch:
        state, target = Path(scratch) / "state", Path(scratch) / "model"
        learn_s = max(60.0, min(DAY_S, (early[-1].last_us - early[0].last_us) / 1e6))
        plan = Plan(state, MODEL, learn_s, least=1000, adapts=False, draw=random.Random(seed).random)
        said = adapt.learn(MODEL, early, plan)
        cost = adapted_apart(state, target, seed)
        if not target.exists():
            return {"seed": seed, "learned": said, "hours_judged": hours, **cost}
        fields = read_fields(target)["adapted"]
        told = ("rows", "left_out", "known_attacks", "promise", "recall", "parent_recall", "distance")
        found = {"seed": seed, "learned": said, "hours_judged": hours, **cost}
        found |= {name: fields[name] for name in told}
        found |= {"before": false_alarms(MODEL, late), "after": false_alarms(target, late)}
        if more.get("session"):
            both = ("before", MODEL), ("after", target)
            found["session"] = {when: by_class(model, *more["session"]) for when, model in both}
            found["episodes"] = episodes(target, *more["session"])
            found["episodes_before"] = episodes(MODEL, *more["session"])
        for key, model in ("attacks_before", MODEL), ("attacks", target):
            found[key] = {name: share(model, flows) for name, flows in more.get("attacks", {}).items()}
    return found


def adapted_apart(state: Path, target: Path, seed: int) -> dict:
    """Run `tlids-edge adapt` as its own process; its processor seconds and peak memory (which numpy's loading is in).

    Homes that are too short for the usual minimum are adapted to with what there is.
    """
    command = [sys.executable, "-c", MEASURED, "--model", MODEL, "--state", state, "-o", target, "--seed", seed,
               "--nice", 0]  # fmt: skip
    began = time.monotonic()
    process = subprocess.run(list(map(str, command)), env=environment(), capture_output=True, text=True, check=False)
    seconds, megabytes = map(float, process.stdout.split())
    enough = not process.returncode
    with contextlib.suppress(InputError):  # fewer rows than even that: such a home is not adapted to
        if not enough:
            adapt.adapt(MODEL, state, target, least=FEWEST, seed=seed)
    return {"enough_rows": enough, "adapt_s": seconds, "adapt_wall_s": time.monotonic() - began,
            "adapt_mb": megabytes}  # fmt: skip


def false_alarms(model: Path, flows: list[Flow]) -> dict:
    """Benign flows: how many alarm, how many are only new, and the bursts of each that would be incidents."""
    alarms, novel = ([flow for flow, each in zip(flows, which, strict=True) if each] for which in told_of(model, flows))
    return {"flows": len(flows), "alarms": len(alarms), "incidents": bursts(alarms, INCIDENT_FLOWS),
            "novel": len(novel), "novelty_incidents": bursts(novel, NOVELTY_FLOWS)}  # fmt: skip


def bursts(flows: list[Flow], least: int) -> int:
    """Bursts of at least `least` flows of a source within 60 s; one lasts until 60 s of silence."""
    times = defaultdict(list)
    for flow in flows:
        times[flow.key[0]].append(flow.last_us / 1e6)
    count = 0
    for each in times.values():
        waiting, open_until = [], -1.0
        for now in sorted(each):
            waiting = [when for when in waiting if now - when <= INCIDENT_S] + [now]
            if now > open_until and len(waiting) >= least:
                count += 1
                open_until = now + INCIDENT_S
            elif now <= open_until:
                open_until = now + INCIDENT_S
    return count


def by_class(model: Path, flows: list[Flow], classes: list[str]) -> dict:
    """Class of the labels -> flows, the share that alarms, and the share that alarms or is new; see `share`."""
    names = np.array(classes)
    return {name: share(model, [flows[place] for place in np.flatnonzero(names == name)]) for name in
            sorted(set(classes))}  # fmt: skip


def episodes(model: Path, flows: list[Flow], classes: list[str]) -> dict:
    """Attacks (flows of a class without a pause of two minutes): how many, and how many make an incident.

    `found`: of the model; `with_novelty`: of the model or of novelty.
    """
    alarms, new = told_of(model, flows)
    counts = {"attacks": 0, "found": 0, "with_novelty": 0}
    for name in set(classes) - {BENIGN}:
        own = sorted((flows[place].last_us / 1e6, alarms[place], new[place]) for place, each in enumerate(classes)
                     if each == name)  # fmt: skip
        times, *told = (np.array(column) for column in zip(*own, strict=True))
        for part in np.split(np.arange(len(own)), np.flatnonzero(np.diff(times) > PAUSE_S) + 1):
            by_model, by_novelty = (any_burst(times[part][each[part]], least) for each, least in
                                    zip(told, (INCIDENT_FLOWS, NOVELTY_FLOWS), strict=True))  # fmt: skip
            counts["attacks"] += 1
            counts["found"] += by_model
            counts["with_novelty"] += by_model or by_novelty
    return counts


def any_burst(times: np.ndarray, least: int) -> bool:
    """Whether `least` of some times (n,), in order, are within 60 s."""
    return bool((times[least - 1 :] - times[: max(0, len(times) - least + 1)] <= INCIDENT_S).any())


def told_of(model: Path, flows: list[Flow]) -> tuple[np.ndarray, np.ndarray]:
    """Which flows alarm, and which do not but are novel, both (flows,)."""
    home, detector = Home(), Detector(model)
    home.know(model, read_fields(model))
    alarms, novel = [], []
    for start in range(0, len(flows), detector.batch_size):
        verdicts = detector.judge_rows(of_flows(flows[start : start + detector.batch_size]))
        alarms.append(verdicts.alerts)
        novel.append(home.see(Batch(verdicts, np.zeros(len(verdicts.rows), np.uint8))).novel > 0)
    return np.concatenate(alarms), np.concatenate(novel)


def share(model: Path, flows: list[Flow]) -> dict:
    """Flows, the share that alarms, and the share that alarms or is new."""
    alarms, new = told_of(model, flows)
    return {"flows": len(flows), "share": float(alarms.mean()), "with_novelty": float((alarms | new).mean())}


def render(found: dict) -> None:
    """Put the tables between their marks in edge/MEASURED.md."""
    kept.write_whole(PAGE, page.between(PAGE.read_text(), "adapt-homes", "\n".join(tables(found)) + "\n"))


def tables(found: dict) -> list[str]:
    """Markdown: benign alarms, then attacks."""
    heads = ("home", "rows learned", "later flows", "alarm before", "alarm after", "promised at most",
             "incidents a week before, after", "flows that are new after", "novelty incidents a day")  # fmt: skip
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name, runs in found["homes"].items():
        lines.append("| " + " | ".join(home_row(name, runs)) + " |")
    worst = [run for runs in found["homes"].values() for run in runs if run["enough_rows"]]
    seconds, memory = (max(run[key] for run in worst) for key in ("adapt_s", "adapt_mb"))
    lines += ["", f"Adapting took at most {seconds:.1f} s of one core and {memory:.0f} MB.", ""]
    lines += ["| attack | flows | alarm before | alarm after | alarm or are new after |", "|---|---|---|---|---|"]
    for home, label in SESSIONS.items():
        lines += session_rows(label, found["homes"][home], label.startswith(home))
    for home, runs in found["homes"].items():
        for attack, each in runs[0].get("attacks", {}).items():
            shares = (spread([run["attacks"][attack][key] for run in runs]) for key in ("share", "with_novelty"))
            before = f"{runs[0]['attacks_before'][attack]['share']:.1%}"
            lines.append(f"| {home}: {attack} | {each['flows']:,} | {before} | {' | '.join(shares)} |")
    return lines


def session_rows(label: str, runs: list[dict], is_own: bool) -> list[str]:
    """The rows of one recording: all attacks, then each class; what is new only where it `is_own`, of the home."""
    first = runs[0]["session"]["after"]
    attacks = [name for name in first if name != BENIGN]
    total = sum(first[name]["flows"] for name in attacks)

    def row(name: str, names: list[str], flows: int) -> str:
        """Of the flows of some classes: the shares that alarm before and after, and that alarm or are new."""
        cells = ((when, key) for when, key in (("before", "share"), ("after", "share"), ("after", "with_novelty")))
        found = [spread([sum(run["session"][when][each][key] * run["session"][when][each]["flows"] for each in names)
                         / flows for run in runs]) for when, key in cells]  # fmt: skip
        return f"| {name} | {flows:,} | {' | '.join(found if is_own else [*found[:2], ''])} |"

    least = {key: min(run["episodes"][key] for run in runs) for key in ("found", "with_novelty")}
    told = f"of {runs[0]['episodes']['attacks']} attacks {runs[0]['episodes_before']['found']} make an incident of the "
    told += f"model before, {least['found']} after"
    if least["with_novelty"] > least["found"]:
        told += f", {least['with_novelty']} of it or of novelty"
    each = [row(f"{label}: {name}", [name], found["flows"]) for name, found in first.items()]
    return [row(f"{label}: {told}", attacks, total), *each]


def home_row(name: str, runs: list[dict]) -> list[str]:
    """One home's figures over its seeds."""
    first = runs[0]
    if "after" not in first:
        return [name, "too few", *["" for _ in range(7)]]
    week, day = 168 / first["hours_judged"], 24 / first["hours_judged"]
    rates = {key: [run[key]["alarms"] / run[key]["flows"] for run in runs] for key in ("before", "after")}
    few = "" if first["enough_rows"] else " (too few for the default)"
    short = first["hours_judged"] < 24
    incidents = [f"{np.mean([run[key]['incidents'] for run in runs]) * (1 if short else week):.1f}" for key in
                 ("before", "after")]  # fmt: skip
    novel = [run["after"]["novelty_incidents"] * (1 if short else day) for run in runs]
    whole = " in all" if short else ""
    bounds = spread([run["promise"]["bound"] for run in runs])
    new = spread([run["after"]["novel"] / run["after"]["flows"] for run in runs])
    shares = spread(rates["before"]), spread(rates["after"]), bounds
    return [name, f"{first['rows']:,}{few}", f"{first['after']['flows']:,}", *shares, ", ".join(incidents) + whole, new,
            f"{np.mean(novel):.1f}{whole}"]  # fmt: skip


def spread(shares: list[float]) -> str:
    """Smallest and largest of several shares."""
    low, high = f"{min(shares):.1%}", f"{max(shares):.1%}"
    return low if low == high else f"{low} to {high}"


if __name__ == "__main__":
    sys.exit(main())
