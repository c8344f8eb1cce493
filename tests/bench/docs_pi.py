"""The table of `make test-pi` in edge/MANUAL.md, from docs/results/test-pi.json."""

from collections.abc import Mapping

import page

PAGE = "edge/MANUAL.md"
TARGET = "test-pi"
BEGIN, END = page.marks(TARGET)
KERNEL = {
    "none": "Debian's kernel as Debian boots it", "raspi3b": "Debian's kernel on QEMU's model of a Raspberry Pi 3 B",
    "cgroup_disable=memory": "Debian's kernel as Raspberry Pi OS boots its own, with `cgroup_disable=memory`",
}  # fmt: skip


def filled(text: str, result: Mapping) -> str:
    """The page with the tables between its two marks."""
    return page.between(text, TARGET, tables(result))


def tables(result: Mapping) -> str:
    """One table for each boot, every check in it, run or not."""
    return "\n".join([f"{result['date']}, {result['emulator']}.\n", *map(boot, result["boots"])])


def boot(boot: Mapping) -> str:
    """One boot: how it went in a sentence, and a row for each check."""
    results = [check["result"] for check in boot["checks"]]
    counts = ", ".join(f"{results.count(name)} {name}" for name in ("passed", "failed", "not run"))
    booted = f" (in {boot['seconds']} s)" if "seconds" in boot else ""
    rows = [(check["check"], cell(check["done"]), check["result"], cell(check["seen"])) for check in boot["checks"]]
    title = f"{KERNEL[boot['options']]}{booted}: {counts}.\n\n"
    return title + page.table(("check", "what was done", "result", "what was seen"), rows)


def cell(text: str) -> str:
    """A text that breaks no table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").rstrip(".")
