"""The notebooks as a person meets them: JupyterLab in a real browser, Run All Cells, and a look at what is there.

The copies run here are small (`small_copies`): fewer rows, two epochs, two seeds. What is looked at is the page, not
the numbers. Screenshots go to a temporary folder, or to TLIDS_SCREENSHOTS: with `-k theme` and the folder docs they are
the README's.
"""

import os
import re
import shutil
from pathlib import Path

import lab
import nbformat
import pytest
import small_copies
from selenium.webdriver.common.by import By

from tlids_helpers.notebooks import NOTEBOOKS

ALL = sorted(NOTEBOOKS.glob("*.ipynb"))
READABLE = 4.5  # WCAG 2's least contrast of text
RUN_LIMIT = 900  # seconds for one notebook; on two idle cores they take 10 to 60

pytestmark = pytest.mark.skipif(bool(lab.missing()), reason=lab.missing() or "a browser is here")

# what a run leaves in the page: cells without a number, and what is painted red: errors, and standard error
STATE = r"""
const cells = [...document.querySelectorAll(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell")];
const red = ["error", "stderr"].map(kind => `.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.${kind}"]`);
return {
  unfinished: cells.filter(c => !/^\[\d+\]:$/.test(c.querySelector(".jp-InputPrompt").textContent.trim())).length,
  red: [...document.querySelectorAll(red.join())].map(output => output.textContent),
  idle: window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === "idle",
};
"""
# every text that a progress bar shows, as it changes
WATCH_BARS = r"""
window.bars = new Set();
new MutationObserver(changes => {
  for (const change of changes) {
    const node = change.target.nodeType === Node.TEXT_NODE ? change.target.parentElement : change.target;
    const output = node?.closest?.(".jp-OutputArea-output") ?? node?.querySelector?.(".jp-OutputArea-output");
    for (const line of (output?.textContent ?? "").split("\n")) if (/\d+%\|/.test(line)) window.bars.add(line.trim());
  }
}).observe(document.body, {subtree: true, childList: true, characterData: true});
"""
# the figures, each scrolled to: drawn, on the screen, not wider than its column; and how many the notebook holds
FIGURES = """
const done = arguments[0];
(async () => {
  const seen = [];
  for (const image of document.querySelectorAll(".jp-NotebookPanel .jp-OutputArea-output img")) {
    image.scrollIntoView({block: "center"});
    await image.decode();
    await new Promise(requestAnimationFrame);
    const box = image.getBoundingClientRect(), column = image.closest(".jp-OutputArea-output").getBoundingClientRect();
    const middle = [(box.left + box.right) / 2, (Math.max(box.top, 0) + Math.min(box.bottom, innerHeight)) / 2];
    seen.push({
      drawn: image.complete && image.naturalWidth > 0 && box.width > 100 && box.height > 50,
      shown: image.checkVisibility({opacityProperty: true, visibilityProperty: true})
        && document.elementFromPoint(...middle) === image,
      fits: box.right <= column.right + 1,
    });
  }
  const held = window.jupyterapp.shell.currentWidget.model.sharedModel.cells
    .flatMap(cell => cell.outputs ?? []).filter(output => output.data?.["image/png"]).length;
  return {seen, held};
})().then(done, error => done({error: String(error)}));
"""


# what a person reads on what: the ratio of luminances (WCAG 2) of some text of each kind, 21 for black on white
CONTRASTS = r"""
const channel = v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const parse = text => (text.match(/[\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
const luminance = c => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
const ground = element => {
  for (let e = element; e; e = e.parentElement) {
    const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] === 1) return c;
  }
  return [255, 255, 255];
};
const kinds = {heading: "h2", sentence: "p", link: "p a", table: "td", printed: "pre", code: ".cm-line"};
return Object.fromEntries(Object.entries(kinds).map(([kind, selector]) => {
  const element = document.querySelector(`.jp-NotebookPanel .jp-Notebook ${selector}`);
  const [a, b] = [parse(getComputedStyle(element).color), ground(element)].map(luminance);
  return [kind, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
}));
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The small copies, and in stored/ the notebooks as they are, with their outputs."""
    folder = tmp_path_factory.mktemp("notebooks")
    small_copies.write(ALL, folder)
    (folder / "stored").mkdir()
    for path in ALL:
        shutil.copy(path, folder / "stored")
    return folder


@pytest.fixture(scope="module")
def address(folder, tmp_path_factory):
    """JupyterLab's; runs are shared by all notebooks, so that later ones take what earlier ones trained."""
    with lab.server(folder, tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("server")) as address:
        yield address


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with lab.chromium(tmp_path_factory.mktemp("profile")) as driver:
        driver.set_script_timeout(lab.PATIENCE)
        yield driver


@pytest.fixture(scope="module")
def screenshots(tmp_path_factory) -> Path:
    folder = Path(os.environ.get("TLIDS_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_all_cells_run_without_an_error_and_each_figure_is_visible(path, address, driver, screenshots):
    lab.open_notebook(driver, address, path.name)
    driver.execute_script(WATCH_BARS)
    lab.click_menu(driver, "Run", "Run All Cells")
    state = lab.await_true(lambda: finished(driver), f"{path.name} to end", RUN_LIMIT)
    driver.save_screenshot(str(screenshots / f"{path.stem}-end.png"))
    assert state["red"] == []
    assert lab.contents(driver) == headings(path)
    figures = driver.execute_async_script(FIGURES)
    driver.save_screenshot(str(screenshots / f"{path.stem}-figure.png"))
    assert figures["held"] == len(figures["seen"]) > 0
    assert [figure for figure in figures["seen"] if not all(figure.values())] == []
    if path.stem == "02_cnn_training":
        moved = [text for text in driver.execute_script("return [...window.bars]") if text.startswith("training")]
        assert len(moved) >= 2, moved
        assert "val_loss" in moved[-1]
    lab.close_notebook(driver)


def finished(driver) -> dict | None:
    """The notebook's state once every cell has its number and the kernel rests, or once something is painted red."""
    state = driver.execute_script(STATE)
    return state if state["red"] or (state["unfinished"] == 0 and state["idle"]) else None


def headings(path: Path) -> list[str]:
    """The headings of a notebook's text, in order."""
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]
    return [line.lstrip("# ") for source in cells for line in source.splitlines() if line.startswith("#")]


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_heading_levels_skip_none_so_that_the_table_of_contents_is_a_tree(path):
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]
    levels = [len(found[0]) for source in cells for found in re.finditer(r"^#+(?= )", source, re.MULTILINE)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))


def test_a_heading_folds_its_cells_and_unfolds_them(address, driver, screenshots):
    lab.open_notebook(driver, address, "stored/06_testbed.ipynb")
    cells = driver.find_elements(By.CSS_SELECTOR, ".jp-Notebook .jp-Cell")
    starts = [i for i, cell in enumerate(cells) if cell.find_elements(By.CSS_SELECTOR, "h1, h2")]
    first, following = starts[1], starts[2]
    fold = cells[first].find_element(By.CSS_SELECTOR, ".jp-collapseHeadingButton")
    shown = lambda: [cell.is_displayed() for cell in cells[first : following + 1]]  # noqa: E731
    assert all(shown())
    driver.execute_script("arguments[0].click()", fold)
    lab.await_true(lambda: not any(shown()[1:-1]), "the cells to fold")
    lab.show(driver, cells[first])
    driver.save_screenshot(str(screenshots / "folded.png"))
    assert shown()[0] and shown()[-1]
    driver.execute_script("arguments[0].click()", fold)
    lab.await_true(lambda: all(shown()), "the cells to unfold")
    lab.close_notebook(driver)


# theme -> what body[data-jp-theme-light] says, the figure of notebook 06 that is shown, the picture's name in docs/
THEMES = {"JupyterLab Light": ("true", 4, "jupyterlab.png"), "JupyterLab Dark": ("false", 1, "jupyterlab-dark.png")}


def test_text_can_be_read_in_the_light_and_in_the_dark_theme(address, driver, screenshots):
    lab.open_notebook(driver, address, "stored/06_testbed.ipynb")
    lab.contents(driver)
    for theme, (light, figure, picture) in THEMES.items():
        lab.click_menu(driver, "Settings", "Theme", theme)
        body = f"body[data-jp-theme-light='{light}']"
        lab.await_true(lambda body=body: driver.find_elements(By.CSS_SELECTOR, body), theme)
        contrasts = driver.execute_script(CONTRASTS)
        lab.show(driver, driver.find_elements(By.CSS_SELECTOR, ".jp-Notebook .jp-OutputArea-output img")[figure])
        driver.save_screenshot(str(screenshots / picture))
        assert min(contrasts.values()) >= READABLE, contrasts
    lab.close_notebook(driver)
