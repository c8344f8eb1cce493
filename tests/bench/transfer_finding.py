"""What transfer is worth, in the words and the tables that docs/transfer.md and notebook 03's introduction have.

From docs/results/transfer.json, as `tlids_helpers.results.transfer_tables` reads it.
"""

import numpy as np
import pandas as pd

from tlids_helpers.results.transfer_tables import (
    ARMS,
    FOREST,
    SCRATCH_NAME,
    arm,
    over_scratch,
    pick,
    shares,
    short,
    spread,
    table,
)

RECIPE_SHARES = (0.01, 0.05)

FREE = "all free"
"""What the results call the recipe that freezes nothing."""

CHOSEN_ON = ("NF-ToN-IoT-v2", "NF-CSE-CIC-IDS2018-v2")
JUDGED_ON = ("NF-BoT-IoT-v2", "NF-UNSW-NB15-v2")


def wins(results: dict) -> pd.DataFrame:
    """In how many pairs of a target and a seed a way has a higher macro-F1 than from scratch on the same rows."""
    rows = []
    for name in (*list(ARMS)[1:], FOREST):
        row = {"higher than from scratch": name}
        for share in shares(results):
            gains = np.concatenate([over_scratch(results, name, target, share) for target in results["targets"]])
            row[f"{share:.0%}"] = f"{(gains > 0).sum()} of {len(gains)}"
        rows.append(row)
    return table(rows, "higher than from scratch")


def largest_gain(results: dict) -> float:
    """The largest mean gain in macro-F1 over from scratch that any way of transfer or recipe has on any share."""
    names = {entry["recipe"] for entry in results["recipes"] if not entry["recipe"].startswith("scratch")}
    grid = [over_scratch(results, name, target, share).mean()
            for name in list(ARMS)[1:] for target in results["targets"] for share in shares(results)]  # fmt: skip
    return float(max([*grid, *(paired(results, name, target, share).mean() for name in names
                               for target in (*CHOSEN_ON, *JUDGED_ON) for share in RECIPE_SHARES)]))  # fmt: skip


def recipes(results: dict) -> pd.DataFrame:
    """Each recipe from a source without the target beside from scratch: mean paired difference in macro-F1.

    Rows in the order of the file; the two targets chosen on, then the two judged on, at 1 % and 5 %. In brackets in how
    many seeds the recipe is better.
    """
    rows = []
    for name in dict.fromkeys(entry["recipe"] for entry in results["recipes"]):
        row = {"recipe": name.replace(FREE, "nothing frozen")}
        for target in (*CHOSEN_ON, *JUDGED_ON):
            for share in RECIPE_SHARES:
                gained = paired(results, name, target, share)
                row[f"{short(target)} {share:.0%}"] = f"{np.mean(gained):+.3f} ({sum(gained > 0)}/{len(gained)})"
        rows.append(row)
    return table(rows, "recipe")


def paired(results: dict, name: str, target: str, share: float, beside: str = "scratch") -> np.ndarray:
    """Macro-F1 of a recipe less that of another, seed by seed (5,)."""
    one, other = (
        pick(results["recipes"], recipe=recipe, target=target, share=share)["macro_f1"] for recipe in (name, beside)
    )
    return np.subtract(one, other)


def eligible(results: dict) -> pd.Series:
    """Recipes that nowhere on `CHOSEN_ON` fall below from scratch by more than a standard error -> their mean gain.

    The rule of choice; a recipe that itself starts from scratch is no transfer and not eligible.
    """
    found = {}
    for name in dict.fromkeys(entry["recipe"] for entry in results["recipes"]):
        gains = [paired(results, name, target, share) for target in CHOSEN_ON for share in RECIPE_SHARES]
        bad = any(gain.mean() < -gain.std(ddof=1) / np.sqrt(len(gain)) for gain in gains)
        if not name.startswith("scratch") and not bad:
            found[name] = float(np.mean(gains))
    return pd.Series(found).sort_values(ascending=False)


def finding(results: dict) -> str:
    """The finding in five lines of Markdown, its numbers from the results."""

    def mean(name: str, target: str, share: float) -> str:
        return f"{np.mean(arm(results, name, f'NF-{target}-v2', share)['macro_f1']):.2f}"

    def against(name: str, target: str, share: float) -> str:
        return f"{short(f'NF-{target}-v2')} {mean(SCRATCH_NAME, target, share)} to {mean(name, target, share)}"

    def four(name: str, share: float) -> str:
        return ", ".join(mean(name, target, share) for target in ("ToN-IoT", "CSE-CIC-IDS2018", "BoT-IoT", "UNSW-NB15"))

    def told(name: str, target: str) -> str:
        return spread(arm(results, name, f"NF-{target}-v2", 1.0)["macro_f1"])

    inside, outside, free = list(ARMS)[1], list(ARMS)[2], list(ARMS)[4]
    return "\n".join((
        "- Frozen blocks of a source that has seen all training rows of the target too (the paper's protocol) help on "
        "three of four networks with 1 % of the rows. Macro-F1 from scratch to transferred: "
        f"{against(inside, 'ToN-IoT', 0.01)}, "
        f"{against(inside, 'CSE-CIC-IDS2018', 0.01)}, {against(inside, 'UNSW-NB15', 0.01)}; "
        f"{against(inside, 'BoT-IoT', 0.01)}.",
        f"- Frozen blocks of a source without the target are worse on ToN-IoT at every size "
        f"({against(outside, 'ToN-IoT', 0.01)} with 1 %, {against(outside, 'ToN-IoT', 1.0)} with all rows). On the "
        "other three they are better than training from scratch, or within the spread over seeds.",
        "- With nothing frozen, the same source is nowhere worse by more than the spread, and better on the smallest "
        f"target ({against(free, 'UNSW-NB15', 0.01)} with 1 %).",
        f"- With all rows the gain is small: {four(SCRATCH_NAME, 1.0)} from scratch, {four(free, 1.0)} with nothing "
        "frozen (ToN-IoT, CSE-CIC, BoT-IoT, UNSW-NB15). The exception is BoT-IoT with frozen blocks: "
        f"{told(SCRATCH_NAME, 'BoT-IoT')} from scratch, {told(outside, 'BoT-IoT')} without the target in the source, "
        f"{told(inside, 'BoT-IoT')} with it.",
        f"- {FOREST} on the same rows reach {four(FOREST, 0.01)} with 1 % and {four(FOREST, 1.0)} with all. With all "
        "rows their mean is above that of each of our networks, on CSE-CIC within the spread "
        f"({told(FOREST, 'CSE-CIC-IDS2018')}; nothing frozen, target not in the source: "
        f"{told(free, 'CSE-CIC-IDS2018')}).",
    ))  # fmt: skip
