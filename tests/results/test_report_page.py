"""The page of all runs: it loads nothing, says what is simulated, and shows the numbers that the runs left."""

import base64
import json
import os
import re
import shutil
import subprocess
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from statistics import mean, stdev

import matplotlib
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tlids_helpers.common.errors import InputError
from tlids_helpers.data.catalog import DATASETS
from tlids_helpers.notebooks import find_notebook
from tlids_helpers.results import comparison, paper
from tlids_helpers.results.report_page import blocks, executed, page, parts
from tlids_helpers.results.report_page.__main__ import main

PARTS = ["runs", "simulated", "tables", "figures", "audit", "testbed", "versions"]
SCORES = ("accuracy", "precision", "recall", "f1", "macro_f1", "mcc")
NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
PNG = base64.b64encode(blocks.PNG_SIGNATURE + b"rest of a picture").decode()
VOID = {"meta", "link", "img", "br", "input", "hr"}


@pytest.fixture(autouse=True, scope="module")
def _no_screen():
    before = matplotlib.get_backend()
    matplotlib.use("Agg")
    yield
    matplotlib.use(before)


def run(dataset="nf-ton-iot", task="binary", protocol="scratch", seed=42, accuracy=0.7, mark="simulated", **other):
    """A result as a run of notebooks 02 and 03 leaves it; every score differs from the others."""
    found, transfer = DATASETS[dataset], protocol != "scratch"
    classes = ["Benign", "Attack"]
    scores = {name: accuracy - 0.0123 * place for place, name in enumerate(SCORES)}
    return {
        "schema": 1, "run": f"{dataset}-{task}-{protocol}-s{seed}", "notebook": "03_transfer", "dataset": dataset,
        "title": found.title, "family": found.family, "version": found.version, "paper_slug": found.paper_slug,
        "task": task, "protocol": protocol, "split": "paper", "seed": seed, "mark": mark,
        "source": found.source if transfer else "", "source_mark": mark if transfer else "", "source_run": "",
        "rows": {"train": 70, "validation": 10, "test": 20}, "classes": classes, "scores": scores,
        "per_class": {name: {"precision": 0.5, "recall": 0.25, "f1": 0.3, "support": 10} for name in classes},
        "confusion": [[7, 3], [4, 6]], "history": {"loss": [2.0, 1.0], "accuracy": [0.5, 0.6]},
        "epochs": 2, "best_epoch": 2, "seconds": {"total": 20.0, "per_epoch": 10.0},
        "parameters": {"epochs": 50, "batch_size": 128, "seed": seed}, "versions": {"python": "3.11.7", "keras": "3.1"},
    } | other  # fmt: skip


def leave(runs_dir: Path, *results: dict) -> Path:
    """The results under `runs_dir` as runs leave them, the first the oldest."""
    for age, result in enumerate(results):
        folder = runs_dir / f"run{age}"
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(result))
        os.utime(folder / "result.json", (1_700_000_000 + age,) * 2)
    return runs_dir


def leave_notebook(file: Path, *cells, heading="# 07 · The audit: what the numbers hide", **parameters) -> Path:
    """An executed notebook with these cells below its title."""
    file.parent.mkdir(parents=True, exist_ok=True)
    notebook = new_notebook(cells=[new_markdown_cell(heading), *cells])
    notebook.metadata["papermill"] = {"parameters": parameters, "end_time": "2026-01-01T10:20:30.5"}
    nbformat.write(notebook, file)
    return file


def printed(text: str) -> nbformat.NotebookNode:
    return new_code_cell("secret_code()", outputs=[new_output("stream", name="stdout", text=text)])


def shown(**data) -> nbformat.NotebookNode:
    bundle = {name.replace("_", "/"): value for name, value in data.items()}
    return new_code_cell("secret_code()", outputs=[new_output("display_data", data=bundle)])


class Page(HTMLParser):
    """A page as a browser sees it: tags, text by part, rows of each table by part, items and picture descriptions."""

    def __init__(self, html: str):
        super().__init__()
        self.html, self.tags, self.texts, self.rows, self.items, self.part = html, [], {}, {}, {}, ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == [], f"not closed: {self._open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "section":
            self.part = dict(attrs)["id"]
        if tag == "tr":
            self.rows.setdefault(self.part, []).append([])
        if tag in ("td", "th"):
            self.rows[self.part][-1].append("")
        if tag == "li":
            self.items.setdefault(self.part, []).append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag, f"</{tag}> closes another tag in {self.part}"

    def handle_data(self, data):
        self.texts[self.part] = self.texts.get(self.part, "") + data
        if "td" in self._open or "th" in self._open:
            self.rows[self.part][-1][-1] += data
        if "li" in self._open:
            self.items[self.part][-1] += data

    def text(self, part: str) -> str:
        return " ".join(self.texts[part].split())

    def table(self, part: str) -> list[list[str]]:
        return [[" ".join(cell.split()) for cell in row] for row in self.rows[part]]

    def of(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


def closing_lines(file: Path) -> list[str]:
    """What a notebook printed below its last heading."""
    cells = nbformat.read(file, as_version=4).cells
    last = max(place for place, cell in enumerate(cells) if cell.source.startswith("## "))
    outputs = [output for cell in cells[last:] for output in cell.get("outputs", [])]
    return [line for output in outputs for line in output.get("text", "").splitlines()]


def build(runs_dir: Path) -> Page:
    return Page(page.build(runs_dir, NOW))


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> tuple[Path, Page]:
    """Simulated, real and half-simulated runs, one of three seeds, with the stored audit and testbed notebooks."""
    folder = tmp_path_factory.mktemp("runs")
    leave(
        folder,
        *(run(seed=seed, accuracy=value) for seed, value in ((1, 0.61), (2, 0.72), (3, 0.86))),
        run("nf-bot-iot", mark="", accuracy=0.9),
        run("nf-bot-iot", protocol="paper", mark="", source_mark="simulated", accuracy=0.95),
        run("nf-bot-iot", protocol="leave_target_out", mark="subset", accuracy=0.5, versions={"python": "3.12.1"}),
    )
    for number in ("06", "07"):
        (folder / "demo").mkdir(exist_ok=True)
        shutil.copy(find_notebook(number), folder / "demo")
    return folder, build(folder)


def test_the_page_loads_nothing_and_runs_nothing(full):
    _, found = full
    assert {name for name, _ in found.tags} & {"script", "iframe", "object", "embed", "base", "form", "video"} == set()
    sources = [value for _, attributes in found.tags for name, value in attributes.items()
               if name in ("src", "srcset", "data", "poster", "background")]  # fmt: skip
    assert sources and all(source.startswith("data:image/png;base64,") for source in sources)
    assert [attributes["href"] for attributes in found.of("link")] == ["data:,"]
    for name, attributes in found.tags:
        assert not [one for one in attributes if one.startswith("on") or one == "style"], (name, attributes)
        if name == "a":
            assert attributes["href"].startswith(("#", "https://", "http://"))
    styles = re.search(r"<style>(.*?)</style>", found.html, re.DOTALL)[1]
    assert "url(" not in styles and "@import" not in styles


def test_the_parts_come_in_order_and_the_contents_lead_to_them(full):
    _, found = full
    assert [attributes["id"] for attributes in found.of("section")] == PARTS
    assert [one["href"] for one in found.of("a") if one["href"].startswith("#")] == [f"#{name}" for name in PARTS]
    assert [int(n) for n in re.findall(r"<h2>(\d)\. ", found.html)] == [1, 2, 3, 4, 5, 6, 7]


def test_the_page_is_for_phones_and_for_paper(full):
    _, found = full
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in found.of("meta")
    assert "@media print" in found.html and "prefers-color-scheme: dark" in found.html
    assert all(one["alt"] for one in found.of("img"))


def test_every_runs_scores_are_those_of_its_result(full):
    folder, found = full
    wanted = [json.loads((folder / f"run{age}" / "result.json").read_text()) for age in range(6)]
    rows = [row for row in found.table("runs") if row[-1] in {one["run"] for one in wanted}]
    assert [row[-1] for row in rows] == [one["run"] for one in wanted]
    for row, one in zip(rows, wanted, strict=True):
        assert [float(cell) for cell in row[1:7]] == [round(one["scores"][name], 4) for name in SCORES]
        assert row[0].startswith(" ".join(filter(None, (one["title"], comparison.full_mark(one)))))
        assert f"seed {one['seed']}" in row[0]


def test_several_seeds_are_mean_and_deviation_and_one_is_called_so(full):
    _, found = full
    ton, *others = [row for row in found.table("runs") if "seed (" in row[0] or "seeds (" in row[0]][::-1]
    values = [0.61, 0.72, 0.86]
    assert "3 seeds (1, 2, 3)" in ton[0] and "simulated" in ton[0]
    assert ton[1] == f"{mean(values):.4f} ± {stdev(values):.4f}"
    assert len(others) == 3 and all("one seed (42)" in row[0] and "±" not in "".join(row[1:]) for row in others)
    assert "Fewer than 5 seeds are no result: 4 of 4 set-ups here have fewer." in found.text("runs")


def test_the_papers_tables_hold_notebook_04s_numbers_each_with_its_mark(full):
    folder, found = full
    results = [json.loads((folder / f"run{age}" / "result.json").read_text()) for age in range(6)]
    frame = comparison.beside(paper.table(4).query("model == 'Proposed'"), results)
    bot = frame[frame["dataset"] == "nf-bot-iot"].to_dict("records")
    rows = found.table("tables")
    start = next(place for place, row in enumerate(rows) if row[0].startswith("NF-BoT-IoT"))
    assert "ours: transfer, protocol paper; one seed (42)" in rows[start][0]
    for row, wanted in zip(rows[start + 1 : start + 5], bot, strict=True):
        assert row[1] == wanted["printed"]
        assert row[2] == f"{wanted['ours']:.2%} source simulated"
        assert row[3] == f"{wanted['difference']:+.2f} source simulated"
        assert row[4] == f"{wanted['scratch']:.2%}"
        assert row[5] == f"{wanted['leave_target_out']:.2%} subset"


def test_no_number_of_a_simulated_run_stands_without_its_mark(full):
    folder, found = full
    ton = [row for row in found.table("tables") if any("simulated" in cell for cell in row)]
    assert ton
    for row in found.table("tables"):
        for cell in row[1:]:
            if "±" in cell:  # only the simulated set-up has several seeds
                assert cell.endswith("simulated")
    pictures = [one["alt"] for one in found.of("img")]
    assert sum("[simulated]" in alt for alt in pictures) == 2  # confusion and curves of the first seed
    assert sum("[source simulated]" in alt for alt in pictures) == 4  # and a bar, and the training times
    titles = re.findall(r"<h3>(.*?)</h3>", found.html)
    assert [t for t in titles if "NF-ToN-IoT, binary" in t] == [
        'NF-ToN-IoT, binary, paper split, from scratch, seed 1 <span class="mark">simulated</span>'
    ]


def test_the_box_counts_the_simulated_runs_and_names_the_file_that_replaces_them(full):
    _, found = full
    text = found.text("simulated")
    assert "4 of 6 runs rest on simulated rows: 3 on a stand-in for their dataset, 1 on a stand-in in their" in text
    assert f"put {DATASETS['nf-ton-iot'].file} into data/raw (from {DATASETS['nf-ton-iot'].page})" in text
    assert "demo/07_audit.ipynb looked in part at simulated rows." in text
    assert found.text("").endswith("Versions") and "6 runs, 4 of them on simulated rows" in found.text("")


def test_without_simulated_rows_the_box_says_nothing_was(tmp_path):
    found = build(leave(tmp_path, run(mark="")))
    assert "Nothing: no run on this page rests on simulated rows." in found.text("simulated")
    assert 'class="mark"' not in found.html


def test_every_sentence_of_the_audit_is_there_and_those_from_simulated_rows_are_marked(full):
    folder, found = full
    said = closing_lines(folder / "demo" / find_notebook("07").name)
    lines = [line[2:] for line in said if line.startswith("- ")]
    items = [" ".join(item.split()) for item in found.items["audit"]]
    assert len(lines) > 10
    printed = [re.sub(r" \[(partly |source )?simulated\]$", " simulated", " ".join(line.split())) for line in lines]
    assert items == printed
    (moved,) = [item for item in items if item.startswith("Taken to another network")]
    (repeated,) = [item for item in items if "repeat an earlier row" in item]
    assert moved.endswith(" simulated") and not repeated.endswith("simulated")
    assert f"<h3>{said[0].replace(' [published file]', '').rstrip(':')}</h3>" in found.html
    assert any(row[0] == "random forest" and "±" in row[2] for row in found.table("audit"))


def test_the_testbed_is_shown_without_its_code(full):
    folder, found = full
    assert [item.strip() for item in found.items["testbed"]] == closing_lines(folder / "demo/06_testbed.ipynb")
    assert "Section 5.4 redone" in found.text("testbed") and "False alarms" in found.text("testbed")
    assert "import " not in found.text("testbed") and "replay.verdicts" not in found.html
    assert "demo/06_testbed.ipynb" in found.text("testbed")


def test_versions_and_time_are_told(full):
    _, found = full
    assert "made on 2026-01-02 03:04 UTC" in found.text("versions")
    rows = found.table("versions")
    assert ["package", "5 runs", "1 run"] in rows
    assert ["python", "3.11.7", "3.12.1"] in rows and ["keras", "3.1", "–"] in rows


def test_a_users_names_are_text_and_no_html_or_formula(tmp_path):
    script, picture = "<script>alert(1)</script>", "<img src=x onerror=alert(2)>"
    classes = ["Benign & co", script, r"$\frac{"]
    one = run(
        mark="own", title=picture, run=f"{picture}-s1", classes=classes, versions={script: picture},
        per_class={name: {"precision": 0.5, "recall": 0.25, "f1": 0.3, "support": 10} for name in classes},
        confusion=[[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    )  # fmt: skip
    found = build(leave(tmp_path, one | {"dataset": picture, "paper_slug": ""}))
    assert found.of("script") == [] and all(one["src"].startswith("data:image/png") for one in found.of("img"))
    assert [row[0] for row in found.table("figures")][-3:] == classes
    assert picture in found.text("runs") and script in found.text("versions")


def test_what_a_notebook_brings_along_can_neither_act_nor_load(tmp_path):
    evil = (
        "<style scoped>td {color: red}</style><script>alert(1)</script><iframe src='http://x'></iframe>"
        "<img src='http://x/y.png' onerror='alert(2)'><a href='javascript:alert(3)'>link</a>"
        "<table onclick='alert(4)'><tr><th colspan='2' style='x'>head</th></tr><tr><td>a &lt;b&gt; cell</td></tr>"
        "</table>"
    )
    leave_notebook(
        tmp_path / "06.ipynb",
        new_markdown_cell(f"## The home\n\nProse *here* {evil} ![x](http://x/z.png) [y](javascript:alert(5))"),
        shown(text_html=evil), shown(image_png=PNG), shown(image_png="bm90IGEgcGljdHVyZQ=="),
        shown(**{"image_svg+xml": "<svg onload=alert(6)>", "application_javascript": "alert(7)"}),
        printed("<b>printed</b>"),
        heading="# 06 · The testbed",
    )  # fmt: skip
    found = build(tmp_path)
    assert {"script", "iframe", "svg", "b"} & {name for name, _ in found.tags} == set()
    assert [one["src"] for one in found.of("img")] == [f"data:image/png;base64,{PNG}"]
    assert not [a for _, a in found.tags if any(name.startswith("on") or name == "style" for name in a)]
    leads = [value for _, one in found.tags for name, value in one.items() if name in ("href", "src")]
    assert not [one for one in leads if one.startswith(("javascript:", "http://x"))]
    assert "a <b> cell" in found.text("testbed") and "<b>printed</b>" in found.text("testbed")
    assert "secret_code" not in found.html and "color: red" not in found.text("testbed")


def test_a_missing_part_says_so_in_a_sentence_with_the_command(tmp_path):
    found = build(leave(tmp_path / "one", run()))
    assert (
        "No audit was executed here. To make one: python -m tlids_helpers.notebooks --into runs/audit 07"
        in found.text("audit")
    )
    assert "python -m tlids_helpers.notebooks --into runs/testbed 06" in found.text("testbed")
    assert "No pair of a transfer run" in found.text("figures")
    missing = found.text("tables").split("What is missing")[1]
    for command in comparison.missing([run()], real=True)["command"]:
        assert command in missing
    (tmp_path / "two").mkdir()
    shutil.copy(find_notebook("07"), tmp_path / "two")
    found = build(tmp_path / "two")
    assert "No run of notebook 02 or 03 has left a result here. To make one: make demo" in found.text("runs")
    assert "No run, no figure." in found.text("figures") and "–" in found.text("tables")


def test_with_nothing_at_all_there_is_a_sentence_and_no_page(tmp_path, capsys):
    for folder in (tmp_path, tmp_path / "absent"):
        assert main(["--runs-dir", str(folder), "--into", str(tmp_path / "page.html")]) == 1
        said = capsys.readouterr()
        assert said.err.count("\n") == 1 and "make demo" in said.err and not said.out
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_read_is_named(tmp_path):
    leave(tmp_path, run(), {"schema": 1, "run": "half"})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "result.json").write_text("{")
    (tmp_path / "broken.ipynb").write_text("{")
    leave_notebook(tmp_path / "foreign.ipynb", printed("hello"), heading="# My own notes")
    text = build(tmp_path).text("runs")
    assert "1 run of 1 set-up" in text and "half is left out: its result has no best_epoch, no classes" in text
    assert "other/result.json is left out" in text and "broken.ipynb is left out: it is not a notebook" in text
    assert "foreign" not in text


def closing(*lines: str) -> list:
    return [new_markdown_cell("## What was found\n\nIn counts."), printed("\n".join(lines))]


def test_of_equal_audits_the_newest_speaks_and_one_that_stopped_is_named(tmp_path):
    for age, word in enumerate(("older", "newer")):
        about = "NF-ToN-IoT [simulated], multiclass, paper split, seed 42:"
        file = leave_notebook(tmp_path / f"{word}.ipynb", *closing(about, f"- {word} sentence"), dataset="nf-ton-iot")
        os.utime(file, (1_700_000_000 + age,) * 2)
    leave_notebook(tmp_path / "other.ipynb", *closing("Home [own], binary:", "- other", "  goes on"), dataset="home")
    error = new_code_cell("", outputs=[new_output("error", ename="E", evalue="e", traceback=[])])
    leave_notebook(tmp_path / "half.ipynb", printed("x"), error, dataset="third")
    found = build(tmp_path)
    assert [" ".join(item.split()) for item in found.items["audit"]] == ["newer sentence simulated", "other goes on"]
    assert "half.ipynb stopped in a cell before its end" in found.text("audit")
    assert "newer.ipynb looked at simulated rows." in found.text("simulated")
    assert ["newer.ipynb", "2026-01-01 10:20", "dataset=nf-ton-iot"] in found.table("versions")


def test_a_frames_counter_gives_way_to_its_names_and_its_corner_to_a_mark():
    frame = "<table><thead><tr><th>v2 &amp; own</th><th>m</th></tr></thead><tbody>{}</tbody></table>"
    rows = "".join(f"<tr>\n<th>{n}</th>\n<td>name{n}</td></tr>" for n in range(2))
    html, mark = executed.without_counter(frame.format(rows))
    assert mark == "v2 & own" and "<th>name1</th>" in html and "<td>" not in html and "v2" not in html
    named = frame.format("<tr><th>a</th><td>0</td></tr>")
    assert executed.without_counter(named) == (named, "")


def test_only_the_latest_setups_get_figures_and_the_page_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "MOST_PICTURED", 1)
    found = build(leave(tmp_path, run("nf-ton-iot"), run("nf-bot-iot")))
    assert "The 1 latest of 2 set-ups are shown." in found.text("figures")
    assert len(found.of("img")) == 2  # confusion and curves of one
    assert "NF-BoT-IoT, binary" in found.text("figures") and "NF-ToN-IoT, binary" not in found.text("figures")


def test_the_command_leaves_one_file_beside_the_runs_and_replaces_it_whole(tmp_path, capsys):
    leave(tmp_path, run())
    target = tmp_path / "report.html"
    target.write_text("an old page")
    assert main(["--runs-dir", str(tmp_path)]) == 0
    assert "report.html: 0." in capsys.readouterr().out
    assert target.read_text().endswith("</html>") or target.read_text().endswith("</html>\n")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["report.html", "run0"]


def test_a_page_that_cannot_be_written_is_refused_and_nothing_is_left(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="expected to write .*folder.*--into"):
        page.write("page", tmp_path / "folder")
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]


def test_on_a_phone_nothing_but_a_tables_own_box_scrolls_sideways(full, tmp_path):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser:
        pytest.skip("no browser: install chromium")
    measure = "document.title = [innerWidth, document.documentElement.scrollWidth].join(' ')"
    file = tmp_path / "page.html"
    file.write_text(full[1].html.replace("</body>", f"<script>{measure}</script></body>"))
    command = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
        f"--user-data-dir={tmp_path / 'profile'}", "--window-size=390,844", "--dump-dom", file.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    inner, content = map(int, re.search(r"<title>(\d+) (\d+)</title>", done.stdout).groups())
    assert inner <= 500 and content <= inner
