"""JupyterLab and a headless Chromium that looks at it: started on empty settings, ended by their process ids.

Nothing here is the user's: settings, workspaces, runtime files and the browser's profile lie in a temporary folder.
"""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement

BROWSER = "/usr/bin/chromium"  # Debian's packages chromium and chromium-driver
DRIVER = "/usr/bin/chromedriver"
WINDOW = (1280, 800)
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
)  # fmt: skip
SETTINGS = {
    # all cells in the page, not only those on the screen
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
    # no question whether news may be fetched
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
PATIENCE = 60.0  # seconds for a page, a menu or a process; a run has a limit of its own


def missing() -> str:
    """Why no browser can be started here; empty when one can."""
    absent = [path for path in (BROWSER, DRIVER) if not shutil.which(path)]
    return f"no {' and no '.join(absent)}: install Debian's chromium and chromium-driver" if absent else ""


def await_true(condition: Callable[[], object], what: str, seconds: float = PATIENCE):
    """The first true value of `condition`, looked at ten times a second; fails after `seconds`."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        with contextlib.suppress(StaleElementReferenceException):  # the page was being redrawn
            if value := condition():
                return value
        time.sleep(0.1)
    raise AssertionError(f"waited {seconds:.0f} s for {what}")


@contextlib.contextmanager
def server(root: Path, home: Path, scratch: Path) -> Iterator[str]:
    """JupyterLab over `root`, with data/ and runs/ under `home`; yields its address with the token.

    Progress bars are on, as for a person at the keyboard.
    """
    places = {"CONFIG_DIR": "config", "RUNTIME_DIR": "runtime", "DATA_DIR": "data"}
    environment = {name: value for name, value in os.environ.items() if name not in ("TQDM_DISABLE", "CI")}
    environment |= {f"JUPYTER_{name}": str(scratch / place) for name, place in places.items()}
    environment |= {f"JUPYTERLAB_{name}_DIR": str(scratch / name.lower()) for name in ("SETTINGS", "WORKSPACES")}
    environment |= {"TLIDS_HOME": str(home), "IPYTHONDIR": str(scratch / "ipython")}
    for plugin, values in SETTINGS.items():
        path = scratch / "settings" / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    token = secrets.token_hex(16)
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0",
        f"--ServerApp.token={token}", f"--ServerApp.root_dir={root}", "--expose-app-in-browser",
    ]  # fmt: skip
    log = scratch / "server.log"
    with open(log, "w") as output:
        process = subprocess.Popen(command, env=environment, cwd=root, stdout=output, stderr=output)
    with ended(process.pid):
        yield await_true(lambda: _address(process, scratch / "runtime", log), f"JupyterLab to start, see {log}")


def _address(process: subprocess.Popen, runtime: Path, log: Path) -> str:
    """The server's address from the file it leaves when it listens; empty before that."""
    assert process.poll() is None, log.read_text()
    for path in runtime.glob(f"jpserver-{process.pid}.json"):
        with contextlib.suppress(ValueError):  # half written
            told = json.loads(path.read_text())
            return f"http://127.0.0.1:{told['port']}/lab/tree/{{}}?token={told['token']}"
    return ""


@contextlib.contextmanager
def chromium(profile: Path) -> Iterator[WebDriver]:
    """A browser with a profile of its own, 1280 by 800; nothing is downloaded for it."""
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (*FLAGS, f"--user-data-dir={profile}", "--window-size={},{}".format(*WINDOW)):
        options.add_argument(flag)
    service = Service(DRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    with ended(service.process.pid):
        # the window's size counts frames that a headless browser does not draw
        driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": WINDOW[0], "height": WINDOW[1], "deviceScaleFactor": 1, "mobile": False},
        )
        try:
            yield driver
        finally:
            with contextlib.suppress(WebDriverException):
                driver.quit()


@contextlib.contextmanager
def ended(pid: int) -> Iterator[None]:
    """On leaving, nothing is left of the process `pid` and of what it started: asked first, then killed."""
    try:
        yield
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            first = psutil.Process(pid)
            family = [first, *first.children(recursive=True)]
            first.terminate()
            _, stubborn = psutil.wait_procs(family, timeout=20)
            for process in stubborn:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(stubborn, timeout=20)


def open_notebook(driver: WebDriver, address: str, name: str) -> None:
    """Open a notebook in a fresh workspace, and wait until its cells are drawn and its kernel listens."""
    driver.get(address.format(name) + "&reset")
    await_true(lambda: driver.execute_script(READY, name), f"{name} to open")


def close_notebook(driver: WebDriver) -> None:
    """End the kernel of the notebook on the screen, and wait until it is gone."""
    driver.execute_async_script(
        "window.jupyterapp.shell.currentWidget.sessionContext.shutdown().then(arguments[0], arguments[0])"
    )


def contents(driver: WebDriver) -> list[str]:
    """Open the table of contents at the left; its headings, in order."""
    click_menu(driver, "View", "Table of Contents")
    headings = ".jp-TableOfContents-content .jp-tocItem-content"
    await_true(lambda: driver.find_elements(By.CSS_SELECTOR, headings), "the table of contents")
    return [entry.text.strip() for entry in driver.find_elements(By.CSS_SELECTOR, headings)]


def show(driver: WebDriver, element: WebElement) -> None:
    """Scroll an element to the middle of the screen, and wait until it is drawn there."""
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")


def click_menu(driver: WebDriver, menu: str, *entries: str) -> None:
    """Choose an entry of the menu bar by its words, as a person does; several `entries` go through a submenu."""
    _click(driver, ".lm-MenuBar-itemLabel", menu)
    for entry in entries:
        _click(driver, ".lm-Menu-itemLabel", entry)


def _click(driver: WebDriver, selector: str, words: str) -> None:
    def found():
        for element in driver.find_elements(By.CSS_SELECTOR, selector):
            if element.text.strip() == words and element.is_displayed():
                element.click()
                return True
        return False

    await_true(found, f"the menu's {words!r}")


# a notebook is ready when each of its cells is in the page and the kernel has told its state
READY = """
const widget = window.jupyterapp?.shell.currentWidget;
return widget?.context?.path === arguments[0] && widget.context.isReady
  && widget.sessionContext.session?.kernel?.status === "idle"
  && widget.node.querySelectorAll(".jp-Cell").length === widget.model.cells.length;
"""
