"""docs/transfer.md and its figure, docs/transfer.svg and transfer-narrow.svg, from docs/results/transfer.json.

What the page says of the audit's samples is from docs/results/audit.json.

    python tests/bench/transfer_page.py
    python tests/bench/transfer_page.py build/transfer/transfer.json -o build/transfer

The second is for what a trial or an interrupted run left: the tables it has, and no sentence that draws on them.
"""

import argparse
import io
import re
import textwrap
from pathlib import Path

import docs_figures
import matplotlib as mpl
import pandas as pd
import transfer_finding as finding

from tlids_helpers.common import files
from tlids_helpers.common.errors import InputError
from tlids_helpers.results import transfer_tables as tables

PAGE = Path("docs/transfer.md")
FIGURES = {Path("docs/transfer.svg"): 7.2, Path("docs/transfer-narrow.svg"): 4.0}  # inches; the second is for phones

ALTERNATIVE = (
    "Gain in macro-F1 over training from scratch on four networks, with 1 % and with all of the target's rows: frozen "
    "blocks with and without the target in the source, nothing frozen, and 100 extra trees"
)
TEXT = """# Is transfer worth having?

<!-- made by tests/bench/transfer_page.py from docs/results/transfer.json and audit.json: change those -->

With 1 % of the target's labels, frozen blocks (convolution layers copied from a source model) have a higher macro-F1
than training from scratch in {inside} of {pairs} pairs if the source was trained on the target too, and in {outside} of
{pairs} if it was not. A pair is one of {targets} targets with one of {seeds} seeds; both models have the same rows of
the target for training and for the test. The counts of pairs for each share of the target's rows:

{wins}

**A source with the target has seen all of the target's training labels**, even where the transferred model has 1 % of
them. So its gain is an optimistic case, not a saving of labels. For a new network you have a source without the target.

{finding}

{controls}

<picture>
  <source media="(max-width: 600px)" srcset="transfer-narrow.svg">
  <img src="transfer.svg" alt="{alternative}">
</picture>

In the figure, a point is the mean of five paired differences in macro-F1 (same seed, same rows), and its bar their
sample deviation. In the tables, ± is the sample deviation of the five scores of that column alone.

Measured on {rows:,} published flows of four networks (samples of version 2; the class shares are those of the samples):
{models:,} models, five seeds each, {machine}, {date}, {seconds} s of training. "From scratch" is the same network,
trained on the same rows without a source. A share is taken of the target's training rows *and* of its validation rows,
because both need labels. All of the target's test rows are used: {test_rows}.

```
{commands}
```

`make transfer` runs the three commands on a GPU or the CPU and writes this page. A source without the target has seen
none of its rows. A source with the target has learned from all of the target's training rows, and its best weights were
chosen on validation rows of all four networks. No source has seen a test row.

**What it does not show.** Only version 2 was measured, on samples of 72,000 to 279,000 rows a network. Rare classes
decide macro-F1: {rare}. With 1 % of the rows such a class may have no training row at all.
Four networks are four cases: a fifth may behave differently.

Transfer was measured with the paper's recipe, with frozen blocks and with nothing frozen (`recipe="transfer"`). A
better recipe can gain more than a source: on [the audit's](audit.md#the-recipe-improved-closes-most-of-that-gap)
sample of NF-CSE-CIC-IDS2018-v2, training from scratch with `improved` instead of `paper` raises macro-F1 by {cic_gain},
from {cic_paper} to {cic_improved}; on the testbed it lowers it by {bed_loss}. The largest mean gain of transfer in
multi-class macro-F1 on this page is {largest}. Transfer with `improved` was not measured (AdamW below has another
learning rate and batch size), nor frozen blocks with random weights, which would show how much the source contributes.

The audit's sample has {cic_rows} rows and keeps the attack names of the dataset. Its scores ({cic_best}
{cic_best_score}) cannot be compared with those of CSE-CIC on this page ({forest} {cic_trees}), where models have up to
{cic_train} training rows and similar attacks are one class.

## Macro-F1, 21 classes of the union

{macro_f1}

Each decision tree may have as many nodes as fit into 40, 200 or 900 kB (16 bytes a node). The exported network has
900 kB. The 100 extra trees have no limit and reach 80 MB with all rows.

## Accuracy

{accuracy}

## Benign or attack, macro-F1

{binary}

## Share of the headroom closed

The headroom is the macro-F1 from scratch with all rows, less that from scratch with the share. The table has the gain
over training from scratch on the share, divided by the headroom. Above 100 % transfer on the share beats training from
scratch on all rows. "-": the headroom is below {least}.

{headroom}

## Updates until the from-scratch score

Updates (batches of 128 rows) until validation macro-F1 reaches that of the weights kept from scratch: median over
seeds, and in brackets how many of the five reached it. Validation rows are scored every 250 updates. The 40,000 updates
of the source are not counted.

{updates}

## Zero-shot: benign or attack, without training on the target

{zero_shot}

{without_target}

## A recipe for a source without the target

Mean of the paired differences in macro-F1 to training from scratch for the same number of updates (5,000 at 1 %, 10,000
at 5 %); in brackets, in how many of five seeds the recipe is better. The recipe was chosen on ToN-IoT and CSE-CIC, and
is judged on BoT-IoT and UNSW-NB15.

"Nothing frozen" trains all layers, starting from the source's weights. The other recipes change one or two
settings. The source is trained for a quarter of the updates, or only on classes that several networks have, or with one
output layer per network ("several heads"). Balanced batches draw each class in proportion to the square root of its
count. Labels are smoothed by 0.1. "From the top" unfreezes the third block after 500 updates, the second after 1,000
and the first after 1,500. "Averaged" keeps a moving average of the weights over about 1,000 updates. AdamW has a
learning rate of 0.001, a warm-up over 5 % of the updates and cosine decay after it.

{recipes}

How it was chosen: recipes that fall below training from scratch by more than a standard error on ToN-IoT or CSE-CIC are
excluded. Of the rest, the one with the largest mean gain on these two is chosen. {chosen}

On BoT-IoT and UNSW-NB15 the chosen recipe gains over "nothing frozen" {against_free} (mean ± deviation of the
paired differences): five seeds show no difference, and it needs a source trained in another way. So
**`recipe="transfer"` is "nothing frozen"**: the paper's recipe with all layers trained. Its mean gain over training
from scratch on the same two networks is {free_gain}; no mean is
negative. It reaches the from-scratch score after {free_updates} (median of five seeds): within a third of the updates
in three of the four cases, and later in the fourth.

## Frozen blocks and batch normalisation

Here, as in Keras with `trainable = False`, frozen blocks always normalise by the source's averages. In training mode,
they would normalise each batch by its own mean and variance and apply dropout while the head learns, and use the
source's averages only in the test. `python tests/bench/transfer_frozen.py` trains one source briefly (120,000 rows,
five epochs) and one head in each mode, with one seed. It was run on two of the four networks:

{frozen_check}

These are two cases without a spread. An earlier measurement on the same rows, outside this repository, had its frozen
blocks in training mode. Without the target in the source and with all rows, they scored 0.607 on ToN-IoT, 0.693 on
CSE-CIC, 0.656 on BoT-IoT and 0.106 on UNSW-NB15; here it is {frozen_all}. The mode may be the reason. This is a
hypothesis: no experiment changed the mode alone with full sources, on all four networks, over several seeds.
"""

PARTIAL = """# Transfer: tables of a part of the runs

Not the page of docs: {seeds} of five seeds, {models:,} networks, a look every {look} updates, {rows:,} rows, {machine},
{date}. Scores are macro-F1.

"""
TABLES = {
    "Classes": tables.scores, "Accuracy": lambda results: tables.scores(results, score="accuracy"),
    "Benign or attack": lambda results: tables.scores(results, "binary"),
    "Share of the headroom closed": tables.headroom,
    "Updates until the from-scratch score": tables.updates, "Zero-shot": tables.zero_shot,
    "Recipes for a source without the target": finding.recipes,
}  # fmt: skip


def page(results: dict) -> str:
    """The page."""
    winner = finding.eligible(results).index[0]
    gain = finding.eligible(results).iloc[0]
    judged = [(target, share) for target in finding.JUDGED_ON for share in finding.RECIPE_SHARES]
    outside = list(tables.ARMS)[2]
    frozen = [f"{pd.Series(tables.arm(results, outside, target, 1.0)['macro_f1']).mean():.3f}"
              for target in results["targets"]]  # fmt: skip
    return wrapped(TEXT.format(
        alternative=ALTERNATIVE,
        finding=finding.finding(results), rows=results["rows"], models=results["models"], machine=results["machine"],
        date=results["date"], seconds=results["training_seconds"], commands="\n".join(results["commands"]),
        rare=rare(results), macro_f1=markdown(tables.scores(results)),
        accuracy=markdown(tables.scores(results, score="accuracy")),
        binary=markdown(tables.scores(results, "binary")), headroom=markdown(tables.headroom(results)),
        least=tables.LEAST_HEADROOM, controls=controls(results), without_target=without_target(results),
        updates=markdown(tables.updates(results)),
        zero_shot=markdown(tables.zero_shot(results)), recipes=markdown(finding.recipes(results)),
        chosen=f'It is "{winner}" ({gain:+.3f}).',
        against_free=", ".join(gained(results, winner, *case, finding.FREE) for case in judged),
        free_gain=", ".join(gained(results, finding.FREE, *case) for case in judged),
        free_updates="; ".join(until(results, finding.FREE, *case) for case in judged),
        frozen_all=", ".join(frozen), frozen_check=markdown_of(results["frozen_check"]), **counts(results),
        **audited(results),
    ))  # fmt: skip


def counts(results: dict) -> dict[str, str]:
    """Pairs in which transfer is better, as in the README, and the test rows of each target."""
    found = docs_figures.transfer(results)
    sizes = (f"{sum(rows.values()):,} of {tables.short(target)}" for target, rows in results["test_rows"].items())
    return {"inside": found["transfer-wins-in"], "outside": found["transfer-wins-out"],
            "pairs": found["transfer-pairs"], "targets": found["transfer-targets"], "seeds": str(len(results["seeds"])),
            "wins": markdown(finding.wins(results)), "test_rows": ", ".join(sizes)}  # fmt: skip


def audited(results: dict) -> dict[str, str]:
    """The audit's scores on CSE-CIC, from scratch with two recipes, beside this measurement's."""
    found = docs_figures.audit(docs_figures.read()["audit"]["sections"]) | docs_figures.transfer(results)
    paper, improved = found["cic-paper-macro-f1"], found["cic-improved-macro-f1"]
    lost = float(found["bed-paper-macro-f1"]) - float(found["bed-improved-macro-f1"])
    return {"cic_paper": paper, "cic_improved": improved, "cic_gain": f"{float(improved) - float(paper):.2f}",
            "bed_loss": f"{lost:.2f}", "largest": f"{finding.largest_gain(results):.2f}", "cic_rows": found["cic-rows"],
            "cic_best": found["cic-paper-macro-f1-best"], "cic_best_score": found["cic-paper-macro-f1-best-score"],
            "forest": tables.FOREST, "cic_trees": found["transfer-cic-trees"],
            "cic_train": found["transfer-cic-rows"]}  # fmt: skip


def controls(results: dict) -> str:
    """How the first line of the finding compares with trees on the same rows."""
    ways, targets = (list(tables.ARMS)[1], tables.FOREST), ("ToN-IoT", "CSE-CIC", "UNSW-NB15")
    closed = tables.headroom(results)
    transfer, forest = (", ".join(closed.loc[(target, "1%"), way] for target in targets) for way in ways)
    return (
        f"With 1 % of the rows, frozen blocks of a source with the target close {transfer} of the gap between "
        f"training from scratch on 1 % and on all rows ({', '.join(targets)}). {tables.FOREST} on the same 1 %, "
        f"without a source, close {forest}."
    )


def without_target(results: dict) -> str:
    """The zero-shot scores of sources without the target."""
    found = {tables.short(entry["target"]): entry for entry in results["zero_shot"]
             if entry["protocol"] == "leave_target_out" and entry["source"] == "plain"}  # fmt: skip
    areas = {name: pd.Series(entry["auc"]).mean() for name, entry in found.items()}
    best, *others = sorted(areas, key=areas.get, reverse=True)
    (target,) = [name for name in results["targets"] if tables.short(name) == best]
    rows = results["test_rows"][target]
    recall, alarms, mcc = (pd.Series(found[best][name]) for name in ("recall", "false_alarms", "mcc"))
    return (
        f"A source without the target is close to guessing on {', '.join(sorted(others))} (mean ROC-AUC "
        f"{areas[others[-1]]:.2f} to {areas[others[0]]:.2f}). On {best} it ranks attacks above benign flows (ROC-AUC "
        f"{areas[best]:.2f}), and its predicted class finds {recall.mean():.2f} of the attacks with false alarms on "
        f"{alarms.mean():.3f} of the benign flows. MCC is {mcc.mean():.2f} there because {rows['Benign']:,} of "
        f"{sum(rows.values()):,} test rows are benign, so most flows called benign are missed attacks; the same rates "
        f"with as many benign flows as attacks would give {even_mcc(recall, alarms).mean():.2f}."
    )


def even_mcc(recall: pd.Series, false_alarms: pd.Series) -> pd.Series:
    """The MCC that these rates, fractions of 1, have on as many benign flows as attacks."""
    called = recall + false_alarms
    return (recall - false_alarms) / (called * (2 - called)) ** 0.5


def partial_page(results: dict) -> str:
    """The tables of whatever is there."""
    text = PARTIAL.format(**{**results, "seeds": len(results["seeds"])})
    for title, table in TABLES.items():
        try:
            found = markdown(table(results))
        except InputError:
            found = "Not measured."
        text += f"## {title}\n\n{found}\n\n"
    return wrapped(text.rstrip())


def wrapped(text: str) -> str:
    """Paragraphs and list items of at most 120 characters a line; tables and code stay as they are."""
    blocks = []
    for block in text.split("\n\n"):
        if block.startswith(("|", "#", "<", "```")):
            blocks.append(block)
        else:
            items = re.split(r"\n(?=- )", block)
            blocks.append("\n".join(
                textwrap.fill(item.replace("\n", " "), 120, subsequent_indent="  " * item.startswith("- "),
                              break_on_hyphens=False, break_long_words=False) for item in items
            ))  # fmt: skip
    return "\n\n".join(blocks) + "\n"


def gained(results: dict, name: str, target: str, share: float, beside: str = "scratch") -> str:
    """A recipe's mean gain with its deviation."""
    gain = finding.paired(results, name, target, share, beside)
    return f"{gain.mean():+.3f} ± {gain.std(ddof=1):.3f} ({tables.short(target)} {share:.0%})"


def until(results: dict, name: str, target: str, share: float) -> str:
    """The updates a recipe took to the from-scratch score, beside from scratch's own."""
    one, other = (tables.until(tables.pick(results["recipes"], recipe=each, target=target, share=share)
                               ["updates_to_scratch"]) for each in (name, "scratch"))  # fmt: skip
    return f"{one} updates instead of {other} ({tables.short(target)} {share:.0%})"


def rare(results: dict) -> str:
    """Classes with fewer than 15 test rows."""
    return "; ".join(
        f"{tables.short(target)} has {count} test {'row' if count == 1 else 'rows'} of {name}"
        for target, counts in results["test_rows"].items() for name, count in counts.items() if count < 15
    )  # fmt: skip


def markdown(frame: pd.DataFrame) -> str:
    """A table with its index as its first columns."""
    plain = frame.reset_index()
    return markdown_of(plain.to_dict("records"))


def markdown_of(rows: list[dict]) -> str:
    """Rows as a Markdown table."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def main() -> None:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, nargs="?", help="of a part of the runs; else those in docs/")
    parser.add_argument("-o", "--output", type=Path, help="folder for the page of such a part")
    wanted = parser.parse_args()
    if (wanted.results is None) != (wanted.output is None):
        parser.error("expected a file of results and -o FOLDER, or neither")
    mpl.rcParams["svg.hashsalt"] = "transfer"  # else every drawing has other names inside
    if wanted.results:
        results = tables.read(wanted.results.resolve())
        write(wanted.output / PAGE.name, partial_page(results))
        return
    results = tables.read()
    write(files.REPOSITORY / PAGE, page(results))
    for figure, width in FIGURES.items():
        write(files.REPOSITORY / figure, svg(results, width))


def svg(results: dict, width: float) -> str:
    """The figure as text, `width` inches wide."""
    drawn = io.StringIO()
    tables.figure(results, width=width).savefig(drawn, format="svg", metadata={"Date": None})
    return drawn.getvalue()


def write(target: Path, text: str) -> None:
    """Write a file beside and rename it."""
    beside = target.with_suffix(".part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(target)


if __name__ == "__main__":
    main()
