"""docs/transfer.md and docs/transfer.svg from docs/results/transfer.json.

    python tests/bench/transfer_page.py
    python tests/bench/transfer_page.py build/transfer/transfer.json -o build/transfer

The second is for what a trial or an interrupted run left: the tables it has, and no sentence that draws on them.
"""

import argparse
import io
import re
import textwrap
from pathlib import Path

import matplotlib as mpl
import pandas as pd

from tlids_helpers.common import files
from tlids_helpers.common.errors import InputError
from tlids_helpers.results import transfer_tables as tables

PAGE, FIGURE = Path("docs/transfer.md"), Path("docs/transfer.svg")

TEXT = """# Is transfer worth having?

<!-- made by tests/bench/transfer_page.py from docs/results/transfer.json: change those -->

{finding}

![What each way gains over from scratch, with 1 % and with all of the target's rows](transfer.svg)

Everything here is measured on {rows:,} real flows of four networks (version 2, samples; class shares are the samples',
not the networks'): {models:,} networks, five seeds each way, {machine}, {date}, {seconds} s of training. "From scratch"
is the network on the same rows without a source. A share of the target is a share of its training *and* of its
validation rows: labels are what is scarce. Test rows are all of the target's. Mean ± deviation over seeds.

```
{commands}
```

`make transfer` runs these three on whatever is there, a GPU or the CPU, and makes this page again. The targets' own
rows, test rows above all, are never in a source without the target; a source with the target holds its training rows.

**What it does not show.** Version 2 only; samples of 72,000 to 279,000 rows a network. Rare classes decide macro-F1:
{rare}. At 1 % they may have no training row at all.
Four networks are four cases: nothing here says how a fifth behaves.

## Macro-F1, 21 classes of the union

{macro_f1}

Decision trees are grown until they have as many nodes as fit into 40, 200 and 900 kB (16 bytes a node). The exported
network has 900 kB. 100 extra trees have no limit: up to 80 MB with all rows.

## Accuracy

{accuracy}

## Benign or attack, macro-F1

{binary}

## The share of the headroom that transfer closes

(transfer - target's share alone) / (all rows - target's share alone), the network from scratch being both ends. Above
100 % it is better than from scratch with all rows; "-" where there is less than {least} of macro-F1 to gain.

{headroom}

## Updates until the from-scratch score

Updates of 128 rows until validation macro-F1 is that of the weights that training from scratch keeps: median over
seeds; in brackets, how many of five ever got there. A look is every 250 updates. The source's own 40,000 updates are
not counted.

{updates}

## Zero-shot: benign or attack, nothing trained on the target

{zero_shot}

Without the target in it a source is worth next to nothing as it is: MCC is about 0 on all four networks.

## A recipe for a source without the target

Mean gain in macro-F1 over from scratch after as many updates (5,000 at 1 %, 10,000 at 5 %); in brackets, in how many of
five seeds, paired. Chosen on ToN-IoT and CSE-CIC, judged on BoT-IoT and UNSW-NB15.

{recipes}

The rule: of those that fall nowhere below from scratch by more than a standard error on the two networks chosen on,
the one with the largest mean gain there. {chosen}

Against "all free" that winner's gain on the two networks judged on is {against_free}: no difference
that five seeds could show, and it needs the source trained again in another way. So **`recipe="transfer"` is all
free**: the paper's recipe with nothing frozen. On the two networks judged on its mean gain over from scratch is
{free_gain};
in no case is it worse. It reaches the from-scratch score after {free_updates} (median of five
seeds): a third or less in most cases, not in all.

## Why the frozen figures differ from an earlier measurement

An earlier measurement of the same rows, apart from this repository, found frozen blocks from a source without the
target far worse at every size: all rows, macro-F1 0.607 on ToN-IoT, 0.693 on CSE-CIC, 0.656 on BoT-IoT, 0.106 on
UNSW-NB15, where we find {frozen_all}. From scratch and all free agree, most within one
deviation over seeds, once weights are chosen on as many validation rows as there (`macro_f1_full_validation` in the
results); the widest gap is UNSW-NB15 at 1 %, {unsw} here and 0.28 there, 516 rows and sources trained for 40,000
updates instead of 60,000. The reason for the frozen ones is batch normalisation. There the frozen blocks ran in
training mode while the head learned: each batch was
normalised by its own mean and variance, and tested with the source's moving averages, which the head had never seen.
The more the target differs from the source, the more that costs. Here, as in Keras with `trainable = False`, frozen
blocks normalise by the source's averages throughout. `python tests/bench/transfer_frozen.py` trains one source
briefly and both heads on it:

{frozen_check}
"""

PARTIAL = """# Transfer: tables of a part of the runs

Not the page of docs: {seeds} of five seeds, {models:,} networks, a look every {look} updates, {rows:,} rows, {machine},
{date}. Scores are macro-F1.

"""
TABLES = {
    "Classes": tables.scores, "Accuracy": lambda results: tables.scores(results, score="accuracy"),
    "Benign or attack": lambda results: tables.scores(results, "binary"),
    "The share of the headroom that transfer closes": tables.headroom,
    "Updates until the from-scratch score": tables.updates, "Zero-shot": tables.zero_shot,
    "Recipes for a source without the target": tables.recipes,
}  # fmt: skip


def page(results: dict) -> str:
    """The page."""
    winner = tables.eligible(results).index[0]
    gain = tables.eligible(results).iloc[0]
    judged = [(target, share) for target in tables.JUDGED_ON for share in tables.RECIPE_SHARES]
    outside = list(tables.ARMS)[2]
    frozen = [f"{pd.Series(tables.arm(results, outside, target, 1.0)['macro_f1']).mean():.3f}"
              for target in results["targets"]]  # fmt: skip
    return wrapped(TEXT.format(
        finding=tables.finding(results), rows=results["rows"], models=results["models"], machine=results["machine"],
        date=results["date"], seconds=results["training_seconds"], commands="\n".join(results["commands"]),
        rare=rare(results), macro_f1=markdown(tables.scores(results)),
        accuracy=markdown(tables.scores(results, score="accuracy")),
        binary=markdown(tables.scores(results, "binary")), headroom=markdown(tables.headroom(results)),
        least=tables.LEAST_HEADROOM, updates=markdown(tables.updates(results)),
        zero_shot=markdown(tables.zero_shot(results)), recipes=markdown(tables.recipes(results)),
        chosen=f'It is "{winner}" ({gain:+.3f}).',
        against_free=", ".join(gained(results, winner, *case, "all free") for case in judged),
        free_gain=", ".join(gained(results, "all free", *case) for case in judged),
        free_updates="; ".join(until(results, "all free", *case) for case in judged),
        frozen_all=", ".join(frozen), unsw=unsw(results), frozen_check=markdown_of(results["frozen_check"]),
    ))  # fmt: skip


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
        if block.startswith(("|", "#", "<!", "!", "```")):
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
    gain = tables.paired(results, name, target, share, beside)
    return f"{gain.mean():+.3f} ± {gain.std(ddof=1):.3f} ({tables.short(target)} {share:.0%})"


def until(results: dict, name: str, target: str, share: float) -> str:
    """The updates a recipe took to the from-scratch score, beside from scratch's own."""
    one, other = (tables.until(tables.pick(results["recipes"], recipe=each, target=target, share=share)
                               ["updates_to_scratch"]) for each in (name, "scratch"))  # fmt: skip
    return f"{one} updates instead of {other} ({tables.short(target)} {share:.0%})"


def unsw(results: dict) -> str:
    """Macro-F1 of all free at 1 % of UNSW-NB15, weights chosen on all validation rows."""
    entry = tables.arm(results, list(tables.ARMS)[4], "NF-UNSW-NB15-v2", 0.01)
    return f"{pd.Series(entry['macro_f1_full_validation']).mean():.2f}"


def rare(results: dict) -> str:
    """Classes with fewer than 15 test rows."""
    return "; ".join(
        f"{tables.short(target)} has {count} of {name} among its test rows"
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
    write(files.REPOSITORY / FIGURE, svg(results))


def svg(results: dict) -> str:
    """The figure as text."""
    drawn = io.StringIO()
    tables.figure(results).savefig(drawn, format="svg", metadata={"Date": None})
    return drawn.getvalue()


def write(target: Path, text: str) -> None:
    """Write a file beside and rename it."""
    beside = target.with_suffix(".part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(target)


if __name__ == "__main__":
    main()
