"""The audit as it is read: each check a table and a sentence in counts (notebook 07, docs/audit.md)."""

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from tlids_helpers import tables
from tlids_helpers.audit import baselines, open_set, spread
from tlids_helpers.audit.baselines import Fitted
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.results import metrics

SHOWN = (
    "accuracy", "f1", "macro_f1", "balanced_accuracy", "mcc", "pr_auc", "pr_auc_attack", "recall_at_0.001",
    "recall_at_0.01",
)  # fmt: skip


@dataclass(frozen=True)
class Check:
    """A table and what it says, or no table and why there is none; a notebook shows both."""

    table: pd.DataFrame | None = field(repr=False)
    sentence: str

    def __repr__(self) -> str:
        """What a terminal shows."""
        return self.sentence if self.table is None else f"{self.table}\n\n{self.sentence}"

    def _repr_html_(self) -> str:
        shown = "" if self.table is None else self.table._repr_html_()
        return f"{shown}<p>{html.escape(self.sentence)}</p>"  # class names are the user's


def check(
    make: Callable[[], pd.DataFrame], say: Callable[[pd.DataFrame], str], columns: Sequence[str] | None = None
) -> Check:
    """The table that `make` makes and what `say` says of it; `columns` are those shown, None for all.

    A check that these rows do not allow (no benign class, no second recording) is said to be not made, with the reason.
    A sentence on simulated rows ends with their mark, as the table has it in its corner or in its column `mark`.
    """
    try:
        frame = make()
        sentence = say(frame)
    except InputError as error:
        return Check(None, f"Not checked: {error}.")
    mark = _simulated(frame)
    return Check(frame if columns is None else frame[list(columns)], f"{sentence} [{mark}]" if mark else sentence)


def _simulated(frame: pd.DataFrame) -> str:
    corner = frame.columns.name or ""
    marks = set(frame["mark"]) if "mark" in frame else {corner}
    simulated = {mark for mark in marks if "simulated" in mark}
    if not simulated:
        return ""
    if simulated < marks:
        return "partly simulated"
    return simulated.pop() if len(simulated) == 1 else "simulated"


def possible(prepared: Prepared) -> tuple[str, ...]:
    """The baselines that these rows allow: a table of ports needs a destination port."""
    has_port = any(name in baselines.PORT_COLUMNS for name in prepared.features)
    return tuple(name for name in baselines.BASELINES if name != "destination port" or has_port)


def spread_table(summary: pd.DataFrame, scores: Sequence[str] = SHOWN, mark: str = "") -> pd.DataFrame:
    """`spread.summary` with a row a model and a column a score: "mean ± deviation", and the number of seeds."""
    said = summary.assign(said=[f"{row.mean:.4f} ± {row.deviation:.4f}" for row in summary.itertuples(index=False)])
    models, kept = list(dict.fromkeys(summary["model"])), [s for s in scores if s in set(summary["score"])]
    wide = said.pivot(index="model", columns="score", values="said").loc[models, kept]
    wide.insert(0, "seeds", summary.groupby("model")["seeds"].first()[models])
    return tables.marked(wide.reset_index(), mark)


def cost_table(summary: pd.DataFrame, mark: str = "") -> pd.DataFrame:
    """Mean cost of each model of `spread.summary`: model, fit_seconds, predict_seconds (test split), kB on disk."""
    models = list(dict.fromkeys(summary["model"]))
    wide = summary.pivot(index="model", columns="score", values="mean").loc[models, list(spread.COSTS)]
    wide["kB"] = wide.pop("bytes") / 1000
    return tables.marked(wide.reset_index(), mark)


def against_best(runs: pd.DataFrame, model: str, scores: Sequence[str] = SHOWN, mark: str = "") -> pd.DataFrame:
    """`model` beside the best baseline in each score: score, model's mean, best, its mean, points, wins, seeds, p.

    `points` is the mean of model - best over the seeds, in percentage points; `p` is two-sided, corrected for splits
    that overlap. A score that is no number on some seed (no benign rows) is left out.
    """
    rows = []
    for score in scores:
        if runs[score].isna().any():
            continue
        best = spread.best(runs, score, baselines.BASELINES)
        found = spread.paired(runs, model, best, score)
        means = [runs[runs["model"] == name][score].mean() for name in (model, best)]
        rows.append((score, means[0], best, means[1], 100 * found.difference, found.wins, found.seeds,
                     found.corrected_p))  # fmt: skip
    columns = ["score", model, "best baseline", "its mean", "points", "wins", "seeds", "p"]
    return tables.marked(pd.DataFrame(rows, columns=columns), mark)


def against_best_sentence(frame: pd.DataFrame) -> str:
    """`against_best` in counts: in how many scores the baseline is ahead, and by how much."""
    model = frame.columns[1]
    behind, ahead = (frame[side] for side in (frame["points"] < 0, frame["points"] > 0))
    worst = "" if behind.empty else _by_how_much(behind.loc[behind["points"].idxmin()])
    few = "" if frame["seeds"].min() >= len(spread.SEEDS) else f" Fewer than {len(spread.SEEDS)} seeds are no result."
    return (
        f"Over {frame['seeds'].iloc[0]} seeds {model} is ahead of the best baseline in {len(ahead)} of {len(frame)} "
        f"scores and behind it in {len(behind)}{worst}.{few}"
    )


def side_by_side(probabilities: Mapping[str, np.ndarray], truth: np.ndarray, prepared: Prepared) -> pd.DataFrame:
    """All of `metrics.ALL_SCORES` of several models on the same rows, one seed: a row a score, a column a model.

    `probabilities` is model -> (n, C), `truth` the codes (n,) of the test rows.
    """
    benign = 0 if prepared.classes[0] == prepared.benign else None
    found = {name: metrics.all_scores(truth, given, benign) for name, given in probabilities.items()}
    return tables.marked(pd.DataFrame(found).rename_axis("score").reset_index(), prepared.mark)


def alarms(models: Sequence[Fitted], prepared: Prepared, task: str, flows_per_second: float) -> pd.DataFrame:
    """`metrics.operating_points` of each model on the test split; thresholds are chosen on validation rows.

    Adds model, and enough: False where the benign validation rows are too few to choose a threshold for the rate.
    Raises InputError without a benign class.
    """
    prepare.class_list(prepared, "binary")  # says that there is no benign class
    validation, (features, truth) = (prepare.load(prepared, role, task) for role in ("validation", "test"))
    frames = []
    for model in models:
        chosen = open_set.alert_thresholds(model.predict, validation)
        values = {name: one.value for name, one in chosen.items()}
        points = metrics.operating_points(truth, model.predict(features), 0, values, flows_per_second)
        points["enough"] = [True, *(one.enough for one in chosen.values())]
        frames.append(points.assign(model=model.name))
    frame = pd.concat(frames, ignore_index=True)
    return tables.marked(frame[["model", *frame.columns.drop("model")]], prepared.mark)


def alarms_sentence(frame: pd.DataFrame, flows_per_second: float) -> str:
    """`alarms` in counts, by the class that is named."""
    said = [
        f"{row.model} finds {row.found:,} of {row.attacks:,} attack flows and alarms on {row.false_alarms:,} of "
        f"{row.benign:,} benign ones, {row.per_day:,.0f} a day"
        for row in frame[frame["rule"] == "argmax"].itertuples()
    ]
    return f"At {flows_per_second:g} benign flows a second, by the class that is named: {'; '.join(said)}."


def flow_to_explain(prepared: Prepared, truth: np.ndarray, wanted: str, task: str) -> tuple[int, int]:
    """(test row, class code) of the first test row of the class `wanted`; "": of the rarest attack in the test.

    `truth` (n,) are the codes of the test rows. Raises InputError when there is no such class, or no row of it.
    """
    classes, rows = prepare.class_list(prepared, task), np.bincount(truth)
    if wanted and wanted not in classes:
        raise InputError(f"expected the class of a flow among {', '.join(classes)}, found {wanted!r}: correct it")
    attacks = np.flatnonzero(rows[1:]) + 1
    if not wanted and not len(attacks):
        raise InputError(f"expected attacks in the test split of {prepared.title}, found none: use another split")
    code = classes.index(wanted) if wanted else int(attacks[rows[attacks].argmin()])
    if code >= len(rows) or not rows[code]:
        raise InputError(f"expected a test row of {wanted!r}, found none: choose another class")
    return int(np.flatnonzero(truth == code)[0]), code


def markdown(made: Check) -> str:
    """A check as a Markdown table, its mark in the corner, and its sentence below."""
    if made.table is None:
        return made.sentence
    names = list(made.table.columns)
    head = [f"{made.table.columns.name}: {names[0]}" if made.table.columns.name else names[0], *names[1:]]
    lines = [head, ["---"] * len(names), *made.table.astype(object).to_numpy().tolist()]
    body = "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)
    return f"{body}\n\n{made.sentence}"


def _cell(value) -> str:
    if value is None or (not isinstance(value, str) and pd.isna(value)):
        return "-"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    return f"{value:.4f}" if isinstance(value, float | np.floating) else str(value)


def _by_how_much(row: pd.Series) -> str:
    return f", most of all in {row['score']} ({row['best baseline']} by {-row['points']:.2f} points)"
