"""The published tables with our runs beside them. Pure functions on the list of results that the runs left.

A number of ours is the mean over seeds of runs that agree in everything else, so simulated and real rows never meet
in one number. A simulated number never stands beside a published one unless it is asked for (`show_simulated`): the
cell is empty and its note says that there is a simulated run. Every number has its mark ("" is the paper's own data,
whole; else `simulated`, `subset`, `v2`, ... and `source ...` where the transfer source differs).
"""

import json
from collections.abc import Sequence
from statistics import mean, stdev

import pandas as pd

from tlids_helpers.data.catalog import DATASETS
from tlids_helpers.results.paper import METRICS, PROPOSED, TASKS, proposed, title

PROTOCOLS = ("paper", "scratch", "leave_target_out")
_APART = {"seed", "dataset", "task", "split", "protocol", "data_dir", "runs_dir"}  # no part of a set-up's key
_NAN = float("nan")


def protocol_of(dataset: str, task: str) -> str:
    """The protocol behind the paper's number: transfer for the NetFlow family (Section 4.3, Tables 4 and 5).

    From scratch are the source itself, NF-UQ-NIDS multi-class, and the CICFlowMeter family (Table 6).
    """
    if DATASETS[dataset].family == "cicflow" or (dataset, task) == ("nf-uq-nids", "multiclass"):
        return "scratch"
    return "paper"


def full_mark(result: dict) -> str:
    """What to print beside a run's numbers: its own mark, and its source's where that differs."""
    own, source = result["mark"], result.get("source_mark", "")
    return ", ".join(filter(None, (own, f"source {source}" if source and source != own else "")))


def is_simulated(result: dict) -> bool:
    """Whether simulated rows had a part in the run, as its data or as its transfer source's."""
    return "simulated" in full_mark(result)


def real_first(results: Sequence[dict]) -> list[dict]:
    """The runs on real rows before those on simulated ones, the newest first among both."""
    return sorted(reversed(results), key=is_simulated)


def matching(results: Sequence[dict], dataset: str, task: str, protocol: str, split: str = "paper") -> list[dict]:
    """The runs shown in the paper's column `dataset`, version-2 relatives included."""
    wanted = (dataset, task, protocol, split)
    return [r for r in results if dataset and (r["paper_slug"], r["task"], r["protocol"], r["split"]) == wanted]


def best_setup(runs: Sequence[dict]) -> list[dict]:
    """The runs of the one set-up to show, one for each seed (the last, where a seed ran twice), in order of seed.

    Preferred: real over simulated data, then a real over a simulated source, version 1 over 2, whole over subset,
    more rows, more epochs allowed, more seeds; the latest of equals.
    """
    setups: dict[str, dict[int, dict]] = {}
    for run in runs:
        setups.setdefault(setup_key(run), {})[run["seed"]] = run
    ranked = sorted(setups.values(), key=_rank)
    return [run for _, run in sorted(ranked[-1].items())] if ranked else []


def setup_key(run: dict) -> str:
    """What the seeds of one set-up share; a grouped split's row counts vary with the seed: rows are no part of it."""
    settings = {name: value for name, value in run.get("parameters", {}).items() if name not in _APART}
    named = [run["dataset"], run["version"], full_mark(run), run.get("source", ""), run["split"], settings]
    return json.dumps(named, sort_keys=True, default=str)


def _rank(setup: dict[int, dict]) -> tuple:
    run = next(iter(setup.values()))
    mark, allowed = full_mark(run), run.get("parameters", {}).get("epochs") or run["epochs"]
    real = ("simulated" not in run["mark"], "simulated" not in mark, run["version"] != 2, "subset" not in mark)
    return (*real, max(sum(r["rows"].values()) for r in setup.values()), allowed, len(setup))


def our_number(runs: Sequence[dict], metric: str, show_simulated: bool = False) -> dict:
    """Our cell from `runs` that match it: keys ours (fraction), mark, n_seeds, seeds, note."""
    shown = best_setup([run for run in runs if show_simulated or not is_simulated(run)])
    note = _left_out(runs, shown)
    if not shown:
        return {"ours": _NAN, "mark": "", "n_seeds": 0, "seeds": "", "note": note}
    values = [run["scores"][metric] for run in shown]
    return {"ours": mean(values), "mark": full_mark(shown[0]), "n_seeds": len(shown), "seeds": _seeds(shown, values),
            "note": note}  # fmt: skip


def _seeds(shown: Sequence[dict], values: Sequence[float]) -> str:
    numbers = ", ".join(str(run["seed"]) for run in shown)
    if len(shown) == 1:
        return f"one seed ({numbers})"
    return f"mean of {len(shown)} seeds ({numbers}), sd {100 * stdev(values):.2f} points"


def _left_out(runs: Sequence[dict], shown: Sequence[dict]) -> str:
    """One note on a cell's runs that are not in its number; empty where all of them are."""
    others = [run for run in runs if not any(run is one for one in shown)]
    simulated = 0 if shown and is_simulated(shown[0]) else sum(map(is_simulated, others))
    same_rows = len(others) - simulated
    notes = [
        "" if runs else "no run yet",
        f"{_count(simulated, 'simulated run')} not shown" if simulated else "",
        f"left out: {_count(same_rows, 'run')} of another set-up or an earlier run" if same_rows else "",
    ]
    return "; ".join(filter(None, notes))


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def beside(
    published: pd.DataFrame, results: Sequence[dict], split: str = "paper", show_simulated: bool = False
) -> pd.DataFrame:
    """Cells of the paper (`paper.table`, `paper.proposed`) with our columns; rows and their order stay as they are.

    Adds ours (fraction), difference (ours - published, percentage points), protocol, mark, n_seeds, seeds, note, and
    scratch, scratch_mark, leave_target_out, leave_target_out_mark (fractions) whatever the paper's protocol is.
    A row whose dataset the paper does not name (Table 9) has none of ours. Numbers from simulated rows are NaN
    unless `show_simulated`.
    """
    rows = [_our_columns(row, results, split, show_simulated) for row in published.to_dict("records")]
    ours = pd.DataFrame(rows, index=published.index)
    joined = pd.concat([published, ours], axis=1)
    joined.insert(joined.columns.get_loc("ours") + 1, "difference", 100 * (joined["ours"] - joined["published"]))
    return joined


def _our_columns(row: dict, results: Sequence[dict], split: str, show_simulated: bool) -> dict:
    dataset, task, metric = row["dataset"], TASKS[row["table"]], row["metric"]
    cells = {
        protocol: our_number(matching(results, dataset, task, protocol, split), metric, show_simulated)
        for protocol in PROTOCOLS
    }
    protocol = protocol_of(dataset, task) if dataset else ""
    main = cells[protocol or "paper"]
    notes = [_table_note(row), main["note"] if dataset else ""]
    columns = {"ours": main["ours"], "protocol": protocol, **main}
    for name in ("scratch", "leave_target_out"):
        columns |= {name: cells[name]["ours"], f"{name}_mark": cells[name]["mark"]}
        if name != protocol and "simulated" in cells[name]["note"]:
            notes.append(f"{name.replace('_', ' ')}: {cells[name]['note']}")
    return columns | {"note": "; ".join(filter(None, notes))}


def _table_note(row: dict) -> str:
    if row["table"] != 9:
        return ""
    if row["model"] == PROPOSED:
        return "Table 5's NF-CSE-CIC-IDS2018: Table 9 compares different datasets"
    return "Table 9 names no dataset for this row"


def readable(frame: pd.DataFrame) -> pd.DataFrame:
    """`beside`'s frame as text for the eye: every number of ours with its mark, differences with their sign."""
    return pd.DataFrame(
        {
            "model": frame["model"],
            "dataset": [title(slug) for slug in frame["dataset"]],
            "metric": frame["metric"],
            "published": frame["printed"],
            "ours": _marked(frame["ours"], frame["mark"]),
            "difference (points)": ["" if pd.isna(value) else f"{value:+.2f}" for value in frame["difference"]],
            "protocol": frame["protocol"],
            "scratch": _marked(frame["scratch"], frame["scratch_mark"]),
            "leave target out": _marked(frame["leave_target_out"], frame["leave_target_out_mark"]),
            "seeds": frame["seeds"],
            "note": frame["note"],
        }
    )


def _marked(values: pd.Series, marks: pd.Series) -> list[str]:
    pairs = zip(values, marks, strict=True)
    return ["–" if pd.isna(value) else f"{value:.2%}" + (f" [{mark}]" if mark else "") for value, mark in pairs]


def command(dataset: str, task: str, protocol: str) -> str:
    """The papermill command, from the repository root, of the run behind one column; transfer runs in notebook 03."""
    number, name = ("02", "02_cnn_training") if protocol == "scratch" else ("03", "03_transfer")
    left_out = protocol == "leave_target_out"
    output = f"runs/{number}-{dataset}-{task}{'-leave-target-out' if left_out else ''}.ipynb"
    option = " -p protocol leave_target_out" if left_out else ""
    return f"papermill notebooks/{name}.ipynb {output} -p dataset {dataset} -p task {task}{option}"


def missing(results: Sequence[dict], split: str = "paper", show_simulated: bool = False) -> pd.DataFrame:
    """The published cells of 'Proposed' that have no number of ours, and the command that makes each.

    A row for each table and dataset: table, dataset, metrics (the cells), task, protocol, command, and the file that
    belongs in `data/raw` first. A cell that only simulated rows fill is missing too unless `show_simulated`.
    """
    columns = ["table", "dataset", "metrics", "task", "protocol", "command", "file"]
    rows = []
    for (number, dataset), cells in proposed(*TASKS).groupby(["table", "dataset"], sort=False):
        task = TASKS[number]
        protocol = protocol_of(dataset, task)
        found = matching(results, dataset, task, protocol, split)
        if all(is_simulated(run) and not show_simulated for run in found):
            line = command(dataset, task, protocol) + ("" if split == "paper" else f" -p split {split}")
            metrics = ", ".join(metric for metric in METRICS if metric in set(cells["metric"]))
            rows.append((number, dataset, metrics, task, protocol, line, DATASETS[dataset].file))
    return pd.DataFrame(rows, columns=columns)


_SAME = ("dataset", "task", "split", "seed", "mark")


def time_saved(results: Sequence[dict]) -> pd.DataFrame:
    """Each transfer run beside the same network from scratch: same dataset, task, split, seed, mark and rows.

    Columns: those, protocol; epochs, seconds per epoch and seconds in all of both; ratio (scratch / transfer: above 1
    transfer is faster) and saved (seconds). `source_seconds` is the source's own training, which neither side
    counts: NaN where its result is not there. Sections 1 and 6 claim the saving without a number.
    """
    transfers = sorted((run for run in results if run["protocol"] != "scratch"), key=is_simulated)  # real rows first
    rows = [_time_row(run, scratch, results) for run in transfers if (scratch := _scratch_of(run, results))]
    columns = ["dataset", "task", "split", "seed", "mark", "protocol", "scratch_epochs", "transfer_epochs",
               "scratch_seconds_per_epoch", "transfer_seconds_per_epoch", "scratch_seconds", "transfer_seconds",
               "ratio", "saved", "source_seconds"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _scratch_of(transfer: dict, results: Sequence[dict]) -> dict | None:
    # the same notebook's run is preferred: the same machine in the same state
    same = [run for run in results if run["protocol"] == "scratch" and _comparable(run, transfer)]
    return max(same, key=lambda run: run["notebook"] == transfer["notebook"], default=None)


def _comparable(one: dict, other: dict) -> bool:
    settings = ("epochs", "batch_size")
    alike = all(one.get("parameters", {}).get(name) == other.get("parameters", {}).get(name) for name in settings)
    return alike and one["rows"] == other["rows"] and all(one[name] == other[name] for name in _SAME)


def _time_row(transfer: dict, scratch: dict, results: Sequence[dict]) -> tuple:
    seconds, before = transfer["seconds"], scratch["seconds"]
    ratio = before["total"] / seconds["total"] if seconds["total"] else _NAN
    return (
        *(transfer[name] for name in _SAME[:-1]), full_mark(transfer), transfer["protocol"],
        scratch["epochs"], transfer["epochs"], before["per_epoch"], seconds["per_epoch"],
        before["total"], seconds["total"], ratio, before["total"] - seconds["total"],
        _source_seconds(transfer, results),
    )  # fmt: skip


def _source_seconds(transfer: dict, results: Sequence[dict]) -> float:
    seconds = [run["seconds"]["total"] for run in results if run["run"] == transfer.get("source_run")]
    return seconds[0] if seconds else _NAN
