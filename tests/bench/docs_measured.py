"""The figures of edge/*.md and docs/paper.md: name -> text, from the result files of the measuring commands."""

from collections.abc import Mapping, Sequence

import page

BENCH = {
    "bench-camera-pyshark": ("metering", "packets of a home camera, meter and nDPI", "pyshark, the paper's way"),
    "bench-camera-nfstream": ("metering", "packets of a home camera, meter and nDPI", "nfstream"),
    "bench-flood-nfstream": (
        "detection",
        "new flows of a SYN flood, metered and judged",
        "nfstream, which only meters",
    ),
}
"""Name -> part of `make bench`, what was measured, beside which tool."""
ALONE = {
    "bench-first-verdict": ("detection", "tlids-edge from its start to the first verdict"),
    "bench-peak": ("detection", "tlids-edge's peak memory with 20,000 open flows"),
}


def figures(results: Mapping[str, Mapping]) -> dict[str, str]:
    """Every figure and table by its name."""
    found = {}
    for measured in results["edge"].values():
        found |= measured["figures"]
    for name in ("live", "flood", "line", "cost", "fuzzing", "arm"):
        found[f"{name}-where"] = where(results["edge"][name])
    for name in ("mqttset", "real"):
        made = results[name]
        found[f"{name}-table"] = "\n" + page.table(made["columns"], made["rows"])
        found[f"{name}-where"] = where(made)
    found["count-arm-table"] = "\n" + count_table(results["count-arm"])
    found["count-arm-clock"] = f"{results['count-arm']['hertz'] / 1e9:.1f} GHz"
    found["count-arm-cycle"] = " to ".join(map(str, results["count-arm"]["per_cycle"]))
    found["count-arm-where"] = where(results["count-arm"])
    found |= share_of_ndpi(results["count-arm"]["lines"])
    return {**found, **benchmarks(results["benchmarks"]), **accuracies(results["real"])}


def where(measured: Mapping) -> str:
    """Command, machine and date."""
    return f"`{measured['command']}`, {measured['machine']}, {measured['date']}"


def count_table(counted: Mapping) -> str:
    """Instructions a packet or flow, and the rate on paper that follows from clock and instructions a cycle."""
    rows = []
    for line in counted["lines"]:
        low, high = (counted["hertz"] * share / line["instructions"] for share in counted["per_cycle"])
        rate = f"{low:,.0f} to {high:,.0f} {line['unit']}s"
        rows.append([line["what"], line["way"], f"{line['instructions']:,} a {line['unit']}", rate])
    return page.table(["capture", "what runs", "instructions", "estimated rate, a second"], rows)


def share_of_ndpi(lines: Sequence[Mapping]) -> dict[str, str]:
    """Instructions of a packet of the testbed, and how many of them nDPI takes: what the meter alone lacks."""
    found = {line["way"]: line["instructions"] for line in lines if line["what"] == "second session of the testbed"}
    whole = found["compiled meter and nDPI"]
    return {"count-arm-packet": f"{whole:,}", "count-arm-ndpi": f"{whole - found['compiled meter alone']:,}"}


def benchmarks(parts: Mapping[str, Mapping]) -> dict[str, str]:
    """What docs/benchmarks.md says of the edge program: ratios, the rates behind them, memory, start."""
    found = {}
    for name, (part, what, against) in BENCH.items():
        (line,) = [line for line in parts[part]["lines"] if (line.get("what"), line.get("against")) == (what, against)]
        found |= {name: page.number(line["ratio"]), f"{name}-ours": page.number(line["value"]),
                  f"{name}-theirs": page.number(line["other"])}  # fmt: skip
    for name, (part, what) in ALONE.items():
        (line,) = [line for line in parts[part]["lines"] if line.get("what") == what]
        found[name] = page.amount(line)
    facts = parts["detection"]["machine"]
    found["bench-machine"] = f"{facts['processor']}, {facts['cores']} cores, Python {facts['Python']}"
    return found


def accuracies(real: Mapping) -> dict[str, str]:
    """Accuracy and macro-F1 of the CNN from scratch and of the trees, on the paper's split."""
    rows = {(row[0], row[1]): dict(zip(real["columns"], row, strict=True)) for row in real["rows"]}
    names = {"real-scratch": ("1D CNN from scratch", "paper"), "real-trees": ("100 extra trees", "paper")}
    return {f"{name}-{score.lower()}": rows[key][score] for name, key in names.items()
            for score in ("accuracy", "macro-F1")}  # fmt: skip
