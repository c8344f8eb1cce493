"""The page of all runs: it loads nothing, says what is simulated, and shows the numbers that the runs left."""

import base64
import shutil
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from browser.lab import chromium, missing
from finished_runs import leave, run
from http_files import serving, whole
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tlids_helpers.common.errors import InputError
from tlids_helpers.notebooks import find_notebook
from tlids_helpers.results import page
from tlids_helpers.results.__main__ import main

SCORES = ("accuracy", "precision", "recall", "f1", "macro_f1", "mcc")
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\nrest of a picture").decode()
VOID = {"meta", "link", "img", "br", "input", "hr"}


def leave_notebook(file: Path, *cells, heading="# 06 · The testbed") -> Path:
    """An executed notebook with these cells below its title."""
    file.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=[new_markdown_cell(heading), *cells]), file)
    return file


def printed(text: str, name: str = "stdout") -> nbformat.NotebookNode:
    return new_code_cell("secret_code()", outputs=[new_output("stream", name=name, text=text)])


def shown(**data) -> nbformat.NotebookNode:
    bundle = {name.replace("_", "/"): value for name, value in data.items()}
    return new_code_cell("secret_code()", outputs=[new_output("display_data", data=bundle)])


def evil(address: str) -> list[nbformat.NotebookNode]:
    """Cells that try to act, and to load from `address`, in every way a notebook has."""
    html = (
        f"<style scoped>@import url({address}/a.css); td {{color: red}}</style><script src='{address}/b.js'></script>"
        f"<iframe src='{address}/c'></iframe><img src='{address}/d.png' onerror='document.title = 1'>"
        f"<link rel='stylesheet' href='{address}/e.css'><a href='javascript:alert(3)'>link</a>"
        f"<p style='background: url({address}/f.png)'>prose</p><svg onload='document.title = 2'></svg>"
        "<table onclick='alert(4)'><tr><th colspan='2' style='x'>head</th></tr><tr><td>a &lt;b&gt; cell</td></tr>"
        "</table>"
    )
    return [
        new_markdown_cell(f"## The home\n\nProse *here* {html} ![x]({address}/g.png) [y](javascript:alert(5))"),
        shown(text_html=html), shown(image_png=PNG),
        shown(image_png=f"x\"><script src='{address}/h.js'></script>"), shown(text_markdown=f"![x]({address}/i.png)"),
        shown(**{"image_svg+xml": f"<svg><image href='{address}/j.png'/></svg>", "application_javascript": "alert(7)"}),
        printed("<b>printed</b>"), printed("a progress bar", "stderr"),
    ]  # fmt: skip


class Page(HTMLParser):
    """A page as a browser sees it: tags, text and the rows of tables by section, all well nested."""

    def __init__(self, html: str):
        super().__init__()
        self.html, self.tags, self.texts, self.rows, self.section = html, [], {}, {}, ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == [], f"not closed: {self._open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "section":
            self.section = dict(attrs)["id"]
        if tag == "tr":
            self.rows.setdefault(self.section, []).append([])
        if tag in ("td", "th"):
            self.rows[self.section][-1].append("")

    def handle_endtag(self, tag):
        assert tag in VOID or self._open.pop() == tag, f"</{tag}> closes another tag in {self.section}"

    def handle_data(self, data):
        self.texts[self.section] = self.texts.get(self.section, "") + data
        if "td" in self._open or "th" in self._open:
            self.rows[self.section][-1][-1] += data

    def text(self, section: str) -> str:
        return " ".join(self.texts[section].split())

    def about(self, path: str) -> str:
        """The text of a notebook's section."""
        (text,) = [self.text(section) for section in self.texts if self.text(section).startswith(f"From {path}")]
        return text

    def of(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


def build(runs_dir: Path) -> Page:
    return Page(page.build(runs_dir))


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> tuple[list[dict], Page]:
    """Simulated, real and half-simulated runs, with the stored notebooks of the testbed and of the results."""
    folder = tmp_path_factory.mktemp("runs")
    results = [
        *(run(seed=seed, accuracy=value, mark="simulated") for seed, value in ((1, 0.61), (2, 0.72), (3, 0.86))),
        run("nf-bot-iot", accuracy=0.9),
        run("nf-bot-iot", source_mark="simulated", accuracy=0.95, run="half simulated"),
        run("nf-bot-iot", protocol="leave_target_out", mark="subset", accuracy=0.5),
    ]
    leave(folder, *results)
    (folder / "demo").mkdir()
    for number in ("04", "06"):
        shutil.copy(find_notebook(number), folder / "demo")
    return results, build(folder)


def assert_harmless(found: Page) -> None:
    assert {name for name, _ in found.tags} & {"script", "iframe", "object", "embed", "base", "form", "svg"} == set()
    assert [attributes["href"] for attributes in found.of("link")] == ["data:,"]
    for name, attributes in found.tags:
        assert not [one for one in attributes if one.startswith("on") or one in ("style", "srcset")], (name, attributes)
        assert attributes.get("src", "data:image/png;base64,").startswith("data:image/png;base64,")
        if name == "a" and "href" in attributes:
            assert attributes["href"].startswith(("#", "https://", "http://"))
    (styles,) = [text.split("</style>")[0] for text in found.html.split("<style>")[1:]]
    assert "url(" not in styles and "@import" not in styles


def test_the_page_loads_nothing_and_runs_nothing(full):
    _, found = full
    assert found.of("img")
    assert_harmless(found)
    assert {"http-equiv": "Content-Security-Policy", "content": page.POLICY} in found.of("meta")


def test_the_contents_lead_to_the_runs_and_to_every_notebook(full):
    _, found = full
    sections = [f"#{attributes['id']}" for attributes in found.of("section")]
    assert [one["href"] for one in found.of("a") if one["href"].startswith("#part")] == sections
    assert len(sections) == 3
    assert "Runs" in found.text("") and "demo/04_results_comparison.ipynb" in found.text("")
    assert "The paper's tables beside ours" in found.about("demo/04_results_comparison.ipynb")


def test_the_page_is_for_phones_and_for_paper_and_for_the_dark(full):
    _, found = full
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in found.of("meta")
    assert "@media print" in found.html and "prefers-color-scheme: dark" in found.html


def test_every_runs_scores_are_those_of_its_result(full):
    results, found = full
    names, *_ = found.rows["part0"]
    rows = {row[-1]: dict(zip(names, row, strict=True)) for row in found.rows["part0"] if row != names}
    assert rows.keys() == {result["run"] for result in results}
    for result in results:
        row = rows[result["run"]]
        assert [float(row[score]) for score in SCORES] == [round(result["scores"][score], 4) for score in SCORES]
        assert (row["dataset"], row["seed"]) == (result["title"], str(result["seed"]))


def test_runs_on_simulated_rows_are_a_table_of_their_own_below_the_others(full):
    _, found = full
    real, simulated = found.html.split("<h3>On simulated rows</h3>")
    rows = [(row[1], row[-1]) for row in found.rows["part0"] if row[0] != "dataset"]
    assert [mark for mark, _ in rows] == ["subset", "published", "source simulated", *["simulated"] * 3]
    assert "simulated</td>" not in real.split("<h3>On real rows</h3>")[1]
    assert simulated.index(page.SIMULATED) < simulated.index("<table")
    assert "6 runs, 4 of them on simulated rows" in found.text("part0")


def test_without_simulated_rows_nothing_is_called_so(tmp_path):
    found = build(leave(tmp_path, run()))
    assert page.SIMULATED not in found.html and "0 of them on simulated rows" in found.text("part0")


def test_a_notebook_that_shows_simulated_rows_says_so_and_no_other_does(tmp_path):
    frame = "<table><thead><tr><th>{}</th><th>rows</th></tr></thead></table>"
    leave_notebook(tmp_path / "a.ipynb", shown(text_html=frame.format("simulated")))  # shown last
    leave_notebook(tmp_path / "b.ipynb", printed("2 simulated runs not shown"), new_markdown_cell("`simulated` means"))
    found = build(tmp_path)
    assert page.SIMULATED in found.about("a.ipynb") and page.SIMULATED not in found.about("b.ipynb")


def test_a_notebook_is_shown_without_its_code(full):
    _, found = full
    assert "Section 5.4" in found.about("demo/06_testbed.ipynb")
    assert found.of("img") and "import pandas" not in found.html


def test_a_users_names_are_text(tmp_path):
    script, picture = "<script>alert(1)</script>", "<img src=x onerror=alert(2)>"
    found = build(leave(tmp_path, run(mark="own", title=picture, run=f"{script}-s1")))
    assert_harmless(found)
    assert picture in found.text("part0") and script in found.text("part0")


def test_what_a_notebook_brings_along_can_neither_act_nor_load(tmp_path):
    leave_notebook(tmp_path / "06.ipynb", *evil("http://example.invalid"))
    found = build(tmp_path)
    assert_harmless(found)
    assert found.of("img")[0]["src"] == f"data:image/png;base64,{PNG}"
    leads = [one["href"] for one in found.of("a") if "href" in one]
    assert not [one for one in leads if "javascript" in one]
    text = found.text("part1")
    assert "a <b> cell" in text and "<b>printed</b>" in text and "Prose here" in text
    assert "secret_code" not in found.html and "color: red" not in text and "progress bar" not in text


def test_a_notebook_that_stopped_and_what_cannot_be_read_are_named(tmp_path):
    leave(tmp_path, run())
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "result.json").write_text("{")
    (tmp_path / "broken.ipynb").write_text("{")
    leave_notebook(tmp_path / "unrun.ipynb", new_code_cell("1"))
    error = new_code_cell(
        "", outputs=[new_output("error", ename="InputError", evalue="expected", traceback=["no rows"])]
    )
    leave_notebook(tmp_path / "half.ipynb", printed("x"), error)
    found = build(tmp_path)
    assert "half.ipynb, which stopped before its end" in found.text("part1") and "no rows" in found.text("part1")
    assert "broken.ipynb" in found.text("") and "other/result.json" in found.text("")
    assert "unrun" not in found.html


def test_the_notebooks_of_a_grid_are_counted_for_their_runs_are_in_the_table(tmp_path):
    leave(tmp_path, run())
    for name in ("one", "two"):
        leave_notebook(tmp_path / page.GRID_NOTEBOOKS / f"{name}.ipynb", printed("x"))
    found = build(tmp_path)
    assert "2 notebooks of a grid" in found.text("") and len(found.of("section")) == 1


def test_with_nothing_at_all_there_is_a_sentence_and_no_page(tmp_path, capsys):
    for folder in (tmp_path, tmp_path / "absent"):
        assert main(["--runs-dir", str(folder), "--into", str(tmp_path / "page.html")]) == 1
        printed = capsys.readouterr()
        assert printed.err.count("\n") == 1 and "make demo" in printed.err and not printed.out
    assert list(tmp_path.iterdir()) == []


def test_the_command_leaves_one_file_beside_the_runs_and_replaces_it_whole(tmp_path, capsys):
    leave(tmp_path, run())
    target = tmp_path / "report.html"
    target.write_text("an old page")
    assert main(["--runs-dir", str(tmp_path)]) == 0
    assert "report.html: 0." in capsys.readouterr().out
    assert target.read_text().endswith("</html>\n")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["report.html", "run0"]


def test_a_page_that_cannot_be_written_is_refused_and_nothing_is_left(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="expected to write .*folder.*--into"):
        page.write("page", tmp_path / "folder")
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]


def test_a_browser_asks_for_nothing_reports_no_error_and_shows_the_marks_in_the_dark_and_on_a_phone(tmp_path):
    if reason := missing():
        pytest.skip(reason)
    folder, file = tmp_path / "runs", tmp_path / "page.html"
    leave(folder, run(), run(seed=1, mark="simulated"))
    with serving(whole(b"")) as server, chromium(tmp_path / "profile") as driver:
        leave_notebook(folder / "06.ipynb", *evil(server.url))
        shutil.copy(find_notebook("04"), folder)
        page.write(page.build(folder), file)
        emulate = driver.execute_cdp_cmd
        emulate("Emulation.setDeviceMetricsOverride",
                {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True})  # fmt: skip
        backgrounds = {}
        for scheme in ("light", "dark"):
            media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
            emulate("Emulation.setEmulatedMedia", media)
            driver.get(file.as_uri())
            backgrounds[scheme] = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert backgrounds == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 29)"}
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
        marks = driver.find_elements("xpath", "//td[text()='simulated']") + driver.find_elements(
            "class name", "warning"
        )
        assert len(marks) >= 2 and all(one.is_displayed() for one in marks)
        requests = driver.execute_script("return performance.getEntriesByType('resource').map(one => one.name)")
        assert [one for one in requests if not one.startswith("data:")] == []
        assert driver.title == page.TITLE
        errors = [one["message"] for one in driver.get_log("browser") if one["level"] == "SEVERE"]
        assert [one for one in errors if not one.startswith("data:image/png;base64,x")] == []  # a picture that is none
    assert server.seen == []
