"""docs/benchmarks.md from the results of `run_all.py`; every figure on it was measured by a script of this folder."""

from collections.abc import Iterable, Mapping, Sequence

from growth_plot import COUNTED, counted

PARTS = {
    "preparation": "Raw flow files cleaned, split and cached. Compare CPU seconds with Polars. More than half of ours\n"
    "are for the first stage, which checks and counts every line and writes a cleaned file for later splits; Polars\n"
    'does neither. The rows "CPU of a million rows" show why we do not reach 1.3 times its rows per CPU second:\n'
    "pyarrow's reader alone takes most of the remaining time, before a value is checked or a row written. With\n"
    "Polars's reader, lost lines could not be counted: it fills short lines and, if it may continue, cuts long ones\n"
    "without a message. pyarrow reports each of them.",
    "training": "The CNN trained from scratch.",
    "transfer": "A new head on frozen blocks.",
    "prediction": "Flows judged by the exported model, one at a time and in batches.",
    "export": "Keras to LiteRT, compared with TensorFlow's converter alone. Ours also compares every file with Keras\n"
    "on all test rows; for int8 it rescales the weights to fit into a byte, and keeps preprocessing and softmax float.",
    "metering": "Captured packets to flows.",
    "detection": "Captured packets to verdicts.",
    "grid": "Many runs on a cluster of workers.",
}
"""Part -> what it measures; `bench_<part>.py` does."""

HEAD = """# Benchmarks

This project beside the usual tools for the same task, both measured in the same run unless a note says otherwise.

**How to read it.** A ratio above 1 means that this project is faster, smaller or more accurate by that factor.
Ratios are roughly the same on other machines; the figures are not. Tests never depend on times. Seconds are wall-clock
time unless a note says CPU; memory is the peak of the whole process (MB are 10^6 bytes). Parts that failed or were not
run are marked.

`make bench` measures all parts in turn. `python tests/bench/run_all.py training export` measures these two again and
keeps the rest; `--from-json` only writes this page from `benchmarks.json`.
"""

GPU = """## On a GPU

{}
`python tests/bench/on_a_gpu.py` measures it on a machine with one in under five minutes, without TensorFlow, and
`python tests/bench/run_all.py --gpu FILE` adds its results here. The rows are random, which does not affect the speed.
"""

NO_GPU = "Not measured: no GPU was available.\n"

LOAD = "The load is the average of the minute before the command began; 0 means that nothing else ran.\n"

GROWTH = """Time and peak memory of preparation, training and metering against rows, packets and open connections, and
runs a minute of the grid against workers; the table below has the figures"""

SMOKE = "> **A smoke run** (`--quick`): it shows that the scripts run. Its figures are not measurements.\n"


def page(results: Mapping[str, Mapping]) -> str:
    """The page; `results` are part -> what `run_all.run_part` returns."""
    printed = [line for part in PARTS if part in results for line in results[part]["lines"]]
    growth = [line for line in printed if "growth" in line]
    on_gpu = [line for line in printed if line.get("device") == "gpu"]
    gpu = tables(on_gpu).lstrip() if on_gpu else NO_GPU
    if "gpu" in results:
        facts = results["gpu"]["machine"]
        gpu = f"On one {facts['processor']}; {facts['versions']}.\n{tables(results['gpu']['lines'])}"
    sections = [HEAD, *([SMOKE] if any(result["quick"] for result in results.values()) else []), machines(results)]
    sections += [section(part, results.get(part)) for part in PARTS]
    sections.append(GPU.format(gpu))
    return "\n".join([*sections, growth_section(growth)])


def machines(results: Mapping[str, Mapping]) -> str:
    """Each machine with the parts that ran on it, and how busy it was before."""
    told: dict[str, list[str]] = {}
    for part in PARTS:
        if part in results:
            facts = "; ".join(f"{name} {fact}" for name, fact in results[part]["machine"].items())
            told.setdefault(facts, []).append(f"{part} (load {results[part]['load']:.1f})")
    said = "".join(f"- {facts}: {', '.join(parts)}.\n" for facts, parts in told.items())
    return f"## Machine\n\n{said}\n{LOAD}"


def section(part: str, result: Mapping | None) -> str:
    """One part: its tables, or why there are none."""
    title = f"## {part.capitalize()}\n\n{PARTS[part]}\n"
    if result is None:
        return f"{title}\nNot measured: `python tests/bench/run_all.py {part}` does.\n"
    made = tables(line for line in result["lines"] if "part" in line and line.get("device") != "gpu")
    before = "The table below is from an earlier run." if made else "There is no earlier run."
    failed = f"\n> **Failed** ({result['failure']}). {before}\n" if result["failure"] else ""
    return title + failed + made


def tables(lines: Iterable[Mapping]) -> str:
    """Comparisons as one table, figures without comparison as another."""
    lines = list(lines)
    compared = [comparison(line) for line in lines if "ratio" in line]
    alone = [(line["what"], amount(line), line.get("note", "")) for line in lines if "ratio" not in line]
    made = [table(("what", "against", "here", "there", "ratio", "note"), compared)] if compared else []
    return "".join(f"\n{one}" for one in [*made, *([table(("what", "figure", "note"), alone)] if alone else [])])


def comparison(line: Mapping) -> tuple[str, ...]:
    """One row of a table of ratios; the target is beside the ratio."""
    wanted = line.get("wanted")
    wish = "" if wanted is None else f" (target {number(wanted)}{'' if line['ratio'] >= wanted else ': **missed**'})"
    return (line["what"], line["against"], amount(line), amount(line, "other"), f"**{number(line['ratio'])}**{wish}",
            line.get("note", ""))  # fmt: skip


def growth_section(points: Sequence[Mapping]) -> str:
    """The figure and its numbers."""
    title = "## Cost of growth\n\n"
    if not points:
        return f"{title}Not measured.\n"
    rows = [(point["growth"].replace("_", " ") + (f", {point['series']}" if "series" in point else ""),
             f"{point[counted(point)]:,} {COUNTED[counted(point)]}",
             *(number(point[name]) if name in point else "-" for name in ("seconds", "peak_mb", "runs_per_min")))
            for point in points]  # fmt: skip
    figure = f"Each point is a separate process.\n\n![{GROWTH}](growth.png)\n"
    return f"{title}{figure}\n{table(('growth of', 'size', 'seconds', 'peak MB', 'runs a minute'), rows)}"


def amount(line: Mapping, key: str = "value") -> str:
    """A figure with its unit; a share as a percentage."""
    value, unit = line[key], line.get("unit", "")
    if value is None:
        return "-"
    return f"{100 * value:.2f} %" if unit == "of 1" else f"{number(value)} {unit}".strip()


def number(value: float) -> str:
    """Three digits where there are fewer than three before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (names, ["---"] * len(names), *rows))


def marks(target: str) -> tuple[str, str]:
    """What a table that this make target makes stands between."""
    return f"<!-- make {target}: begin -->", f"<!-- make {target}: end -->"


def between(text: str, target: str, made: str) -> str:
    """The page with what is made, which ends with a newline, between the marks of a make target.

    Raises:
        ValueError: the page has no such marks.
    """
    begin, end = marks(target)
    start, stop = text.index(begin) + len(begin), text.index(end)
    return f"{text[:start]}\n{made}{text[stop:]}"
