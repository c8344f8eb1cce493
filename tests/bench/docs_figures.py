"""The figures that the pages state, each from a committed result file: name -> text."""

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import mean

import docs_attacks
import docs_measured

REPOSITORY = Path(__file__).resolve().parents[2]
RESULTS = REPOSITORY / "docs" / "results"
SCRATCH, INSIDE, OUTSIDE = ("scratch", "none"), ("paper", "blocks"), ("leave_target_out", "blocks")
TREES = "100 extra trees"
SETS = {"bot": "NF-BoT-IoT-v2", "cic": "NF-CSE-CIC-IDS2018-v2", "bed": "The testbed"}
HOME, OTHER_HOME = "four devices", "second home"
WEEK_H = 168
NAMES = ("transfer", "adapt", "audit", "edge", "mqttset", "real", "count-arm", "attack", "test-pi")


def read() -> dict[str, Mapping]:
    """Name -> what docs/results/<name>.json holds; `benchmarks` is what `make bench` left in docs/."""
    files = {name: RESULTS / f"{name}.json" for name in NAMES} | {"benchmarks": RESULTS.parent / "benchmarks.json"}
    return {name: json.loads(file.read_text()) for name, file in files.items()}


def figures(results: Mapping[str, Mapping]) -> dict[str, str]:
    """Every figure by its name."""
    return {**transfer(results["transfer"]), **adapt(results["adapt"]), **audit(results["audit"]["sections"]),
            **docs_measured.figures(results), **docs_attacks.figures(results["attack"])}  # fmt: skip


def transfer(results: Mapping) -> dict[str, str]:
    """Frozen blocks against from scratch with 1 % of the labels, and the trees on all rows of CSE-CIC."""
    some = {(cell["target"], cell["protocol"], cell["frozen"]): cell["macro_f1"] for cell in results["cells"]
            if cell["task"] == "multiclass" and cell["share"] == 0.01}  # fmt: skip
    found = {"transfer-rows": f"{results['rows']:,}", "transfer-targets": str(len(results["targets"])),
             "transfer-pairs": str(len(results["targets"]) * len(results["seeds"]))}  # fmt: skip
    for name, arm in (("in", INSIDE), ("out", OUTSIDE)):
        pairs = [pair for target in results["targets"]
                 for pair in zip(some[target, *arm], some[target, *SCRATCH], strict=True)]  # fmt: skip
        found[f"transfer-wins-{name}"] = str(sum(ours > theirs for ours, theirs in pairs))
    on_cic = {"task": "multiclass", "target": SETS["cic"], "share": 1.0}
    (trees,) = [each for each in results["trees"] if each["model"] == TREES and on_cic.items() <= each.items()]
    (rows,) = {cell["rows"] for cell in results["cells"] if on_cic.items() <= cell.items()}
    return found | {"transfer-cic-rows": f"{rows:,}", "transfer-cic-trees": f"{mean(trees['macro_f1']):.3f}"}


def adapt(results: Mapping) -> dict[str, str]:
    """Alarms on the later flows of four devices of a real home, before and after a day of learning; over the seeds."""
    runs, others = ([run for run in results["homes"][home] if "after" in run] for home in (HOME, OTHER_HOME))
    return {
        "home-days": spread(round(run["hours_judged"] / 24) for run in runs),
        "home-flows": spread(run["after"]["flows"] for run in runs),
        "home-before": spread(run["before"]["alarms"] for run in runs),
        "home-after": spread(run["after"]["alarms"] for run in runs),
        "home-attacks": spread(run["episodes"]["attacks"] for run in runs),
        "home-found": spread(run["episodes"]["found"] for run in runs),
        **{f"home-week-{when}": f"{mean(run[when]['incidents'] / run['hours_judged'] for run in runs) * WEEK_H:.1f}"
           for when in ("before", "after")},
        "second-attacks": spread(run["episodes"]["attacks"] for run in others),
        "second-before": spread(run["episodes_before"]["found"] for run in others),
        "second-found": spread(run["episodes"]["found"] for run in others),
        "second-novelty": spread(run["episodes"]["with_novelty"] for run in others),
    }  # fmt: skip


def spread(values, form: str = "{:,}") -> str:
    """One value where all are the same, else the least and the most."""
    told = [form.format(value) for value in sorted(values)]
    return told[0] if told[0] == told[-1] else f"{told[0]} to {told[-1]}"


def audit(sections: list[Mapping]) -> dict[str, str]:
    """The CNN against the best baseline, and what else docs/audit.md tells."""
    found = {}
    for short, title in SETS.items():
        for recipe in ("paper", "improved"):
            for score in ("macro_f1", "accuracy"):
                row = cell_row(sections, title, f"CNN {recipe}, against the best baseline", score)
                start = f"{short}-{recipe}-{score.replace('_', '-')}"
                found |= {f"{start}": f"{float(row[f'CNN {recipe}']):.3f}", f"{start}-best": row["best baseline"],
                          f"{start}-best-score": f"{float(row['its mean']):.3f}",
                          f"{start}-points": f"{float(row['points']):+.1f}", f"{start}-wins": row["wins"],
                          f"{start}-p": f"{float(row['p']):.3f}"}  # fmt: skip
        for model, kind in (("CNN paper", "cnn"), ("decision tree", "tree"), ("random forest", "forest")):
            cost = cell_row(sections, title, "What they cost", model)
            score = cell_row(sections, title, "Mean ± deviation", model)["macro_f1"]
            found |= {f"{short}-{kind}-kb": f"{float(cost['kB']):,.0f}",
                      f"{short}-{kind}-seconds": f"{float(cost['fit_seconds']):.1f}",
                      f"{short}-{kind}-f1": f"{float(score.split(' ')[0]):.3f}"}  # fmt: skip
        twins = cell_row(sections, title, "Test rows that equal a training row", "all")
        found |= {f"{short}-test": twins["rows"], f"{short}-twins": twins["twins"]}
        repeats = cell_row(sections, title, "Rows that repeat", "all")
        found |= {f"{short}-rows": repeats["rows"], f"{short}-repeats": repeats["repeats"]}
    for kind in ("forest", "cnn"):
        found[f"{kind}-seconds"] = spread((float(found[f"{short}-{kind}-seconds"]) for short in SETS), "{:.1f}")
    for split in ("session", "grouped"):
        table = check_of(sections, SETS["bed"], "Splits")
        (row,) = [row for row in table["rows"] if row[1] == split]
        cells = dict(zip(table["columns"], row, strict=True))
        found |= {f"bed-{split}-wrong": cells["wrong"], f"bed-{split}-test": cells["test_rows"]}
    return {**found, **unseen(sections), **networks(sections)}


def unseen(sections: list[Mapping]) -> dict[str, str]:
    """Attacks that extra trees find without one row of the class in training."""
    found = {}
    for name, short, attack in (("recon", "bot", "Reconnaissance"), ("udp", "bed", "UDP flood")):
        row = cell_row(sections, SETS[short], "Attacks left out of training", attack)
        found |= {f"unseen-{name}": row["found_unseen"], f"unseen-{name}-all": row["attacks"]}
    return found


def networks(sections: list[Mapping]) -> dict[str, str]:
    """Trained on one network, tested on another as it is: attack flows found and benign flows alarmed on."""
    table = check_of(sections, "From one network to another", "Trained here, tested there")
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    rows = [row for row in rows if row["arm"] == "CNN, zero-shot" and row["source"] != row["target"]]
    names = {
        "attacks": "cross-attacks",
        "found": "cross-found",
        "benign": "cross-benign",
        "false_alarms": "cross-alarms",
    }
    return {told: f"{sum(int(row[name].replace(',', '')) for row in rows):,}" for name, told in names.items()} | {
        "cross-pairs": str(len(rows)),
        "cross-mcc": spread((float(row["mcc"]) for row in rows), "{:.3f}"),
    }


def check_of(sections: list[Mapping], section: str, title: str) -> Mapping:
    """The one check of a section whose title begins with `title`."""
    (whole,) = [one for one in sections if one["title"] == section]
    (found,) = [check for check in whole["checks"] if check["title"].startswith(title)]
    return found


def cell_row(sections: list[Mapping], section: str, title: str, first: str) -> dict[str, str]:
    """The row of a check's table that begins with `first`, column -> cell."""
    table = check_of(sections, section, title)
    (row,) = [row for row in table["rows"] if row[0] == first]
    return dict(zip(table["columns"], row, strict=True))
